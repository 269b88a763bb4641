"""What goes on counting because it is published."""

from __future__ import annotations

from extsync.engine.carry import CARRIED, Carrying, carried
from extsync.model import Backend, Endpoint, Identity, PortValue, State, Why
from extsync.plan.merge import Candidate, Merged, SourceSet, Tier
from extsync.plan.published import Published
from tests.engine.support import PORT, A, B, C

PORTS = (PortValue("", PORT),)


class Shown(Published):
    """Endpoints as if they were published."""

    def __init__(self, *addresses: str) -> None:
        self.endpoints = tuple(Endpoint(one, PORTS, "", State.READY, Why.KEPT) for one in addresses)


def merged(*addresses: str) -> Merged:
    return Merged(
        tuple(Candidate(Identity(one, PORTS), Backend(one), "feed", "", Tier(0), "both") for one in addresses)
    )


def addresses(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [endpoint.address for endpoint in endpoints]


def test_what_a_source_has_named_once_is_its_own_affair_from_then_on() -> None:
    carrying = Carrying()
    assert addresses(carrying.unnamed_of(Shown(A, B, C), merged(A))) == [B, C]
    assert addresses(carrying.unnamed_of(Shown(A, B, C), merged(B))) == [C]
    assert addresses(carrying.unnamed_of(Shown(A, B, C), merged())) == [C]


def test_what_is_published_later_was_named_by_a_source() -> None:
    carrying = Carrying()
    carrying.unnamed_of(Shown(A), merged())
    assert addresses(carrying.unnamed_of(Shown(A, B), merged())) == [A]


def test_where_everything_is_carried_again_nothing_is_remembered() -> None:
    carrying = Carrying()
    carrying.unnamed_of(Shown(A, B), merged(A))
    assert addresses(carrying.all_of(Shown(A, B))) == [A, B]
    assert addresses(carrying.unnamed_of(Shown(A, B), merged())) == [A, B]


def test_carried_endpoints_are_of_the_first_tier_and_behind_all_sources() -> None:
    made = carried(
        Shown(A).endpoints, [SourceSet("one", (), priority=3), SourceSet("two", (), priority=1)], probed=True
    )
    assert (made.name, made.priority, made.health) == (CARRIED, 1, "proven")
    assert [(backend.address, backend.ports) for backend in made.backends] == [(A, (("", PORT),))]
