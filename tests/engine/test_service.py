"""One service as the engine keeps it: the start barrier, holds, tiers and when to look again. No I/O, no loop."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.engine.remarks import MOST_SET_ASIDE
from extsync.engine.service import Decision, ServiceState
from extsync.model import (
    UNKNOWN,
    Backend,
    Endpoint,
    Health,
    Observation,
    Outcome,
    ProbeOverride,
    ServiceKey,
    State,
    Verdict,
    Why,
    several,
)
from extsync.objects import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
)
from extsync.plan.metadata import Frame
from extsync.plan.plan import Current
from extsync.plan.policy import PackPolicy
from extsync.plan.ports import PortSpec
from tests.engine.support import PORT, A, B, C, feed, manifest, prepared, rack

UID = "0b6f0d61-8d4d-4a29-a2d0-5c8e4f6f7a10"
HEALTHY, UNHEALTHY = Verdict(Health.HEALTHY), Verdict(Health.UNHEALTHY, reason="refused")
SERVICE = Service(
    metadata=ObjectMeta(name="orders", namespace="test", uid=UID, resource_version="1"),
    spec=ServiceSpec(ports=(ServicePort(port=PORT, protocol="TCP"),)),
)


def found(*addresses: str) -> Observation:
    return Observation(Outcome.FOUND, tuple(map(Backend, addresses)))


def shown(**readiness: bool) -> Current:
    """A cluster in which Endpoints of ours show addresses, given as a192_0_2_1=True."""
    addresses = {name[1:].replace("_", "."): state for name, state in readiness.items()}
    up = tuple(EndpointAddress(ip=ip) for ip, state in addresses.items() if state)
    down = tuple(EndpointAddress(ip=ip) for ip, state in addresses.items() if not state)
    subset = EndpointSubset(addresses=up, not_ready_addresses=down, ports=(EndpointPort(port=PORT, protocol="TCP"),))
    frame = Frame(SERVICE, PackPolicy())
    metadata = frame.new("orders", frame.endpoints_labels(skip_mirror=True), {})
    return Current(service=SERVICE, endpoints=Endpoints(metadata=metadata, subsets=(subset,)))


NOTHING = Current(service=SERVICE)
A_AND_B = shown(a192_0_2_1=True, a192_0_2_2=True)


class Looks:
    """A service whose verdicts are given by address; what is not given is not known yet."""

    def __init__(self, *sources: dict[str, Any], **spec: Any) -> None:
        (ready,) = prepared(manifest("orders", *sources, service=None, **spec))
        self.state = ServiceState(ready)
        self.verdicts: dict[str, Verdict] = {}

    def take(self, *sources: dict[str, Any], **spec: Any) -> None:
        (ready,) = prepared(manifest("orders", *sources, service=None, **spec))
        self.state.take(ready)

    def look(self, current: Current = NOTHING, *, now: float = 0.0) -> Decision:
        candidates = self.state.candidates(current, now, wall=now)
        checked = bool(self.state.prepared.rules)
        verdicts = tuple(self.verdicts.get(c.identity.address, UNKNOWN) if checked else None for c in candidates)
        return self.state.decide(current, verdicts, now=now, wall=now)


def states(decision: Decision) -> dict[str, bool]:
    return {one.address: one.state is State.READY for one in decision.endpoints}


def whys(decision: Decision) -> dict[str, Why]:
    return {one.address: one.why for one in decision.judged}


# ---- the start barrier -----------------------------------------------------------------------------------------------


def test_until_a_source_has_reported_what_is_published_is_carried_and_kept_as_it_is() -> None:
    service = Looks(feed())
    decision = service.look(shown(a192_0_2_1=True, a192_0_2_2=False))
    assert states(decision) == {A: True, B: False}
    assert set(whys(decision).values()) == {Why.KEPT}
    assert not service.state.gathering.settled


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SUSPECT, Outcome.EMPTY, Outcome.GONE])
def test_a_report_that_is_no_good_answer_yet_ends_the_carrying_of_nothing(outcome: Outcome) -> None:
    service = Looks(feed())
    service.state.observe("feed", Observation(outcome, detail="scripted"), 0.0)
    assert states(service.look(A_AND_B, now=1.0)) == {A: True, B: True}


def test_what_is_carried_is_demoted_when_it_dies() -> None:
    service = Looks(feed())
    service.verdicts = {A: HEALTHY}
    service.look(A_AND_B)
    service.verdicts = {A: UNHEALTHY}
    assert states(service.look(A_AND_B)) == {A: False, B: True}


def test_what_is_carried_stays_ready_where_its_checks_have_never_passed() -> None:
    """Nobody knows yet whether they probe it in the right place: its source would say, and has not spoken."""
    service = Looks(feed())
    service.verdicts = {A: UNHEALTHY}
    assert states(service.look(A_AND_B)) == {A: True, B: True}


def test_what_is_carried_leaves_when_every_source_has_reported() -> None:
    service = Looks(feed("one"), feed("two"))
    service.state.observe("one", found(B), 0.0)
    assert set(states(service.look(A_AND_B))) == {A, B}
    service.state.observe("two", found(C), 0.0)
    assert set(states(service.look(A_AND_B))) == {B, C}


def test_additions_do_not_wait_for_the_other_sources() -> None:
    service = Looks(feed(), rack(C), checks=[])
    service.state.observe("rack", found(C), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True, C: True}


def test_nothing_is_carried_from_a_service_that_is_not_there() -> None:
    service = Looks(feed())
    decision = service.look(Current())
    assert decision.candidates == ()
    assert [refusal.code for refusal in decision.plan.refusals] == ["NoService"]


def test_of_what_is_carried_nothing_is_said_twice() -> None:
    """A real source that names what is carried stands for it; the carried one is no duplicate to tell people of."""
    service = Looks(rack(A), feed(), checks=[])
    service.state.observe("rack", found(A), 0.0)
    decision = service.look(A_AND_B)
    assert [candidate.source for candidate in decision.candidates] == ["rack", "(published)"]
    assert list(service.state.remarks(decision)) == []


def test_a_source_that_is_new_in_the_manifest_starts_the_barrier_again() -> None:
    service = Looks(rack(A, B), checks=[])
    service.state.observe("rack", found(A, B), 0.0)
    service.look(A_AND_B)
    service.take(feed(), checks=[])
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.observe("feed", found(B), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}


def test_a_source_that_leaves_the_manifest_takes_its_backends_along_at_once() -> None:
    service = Looks(rack(A), feed(), checks=[])
    service.state.observe("rack", found(A), 0.0)
    service.state.observe("feed", found(B), 0.0)
    service.look(A_AND_B)
    service.take(rack(A), checks=[])
    assert states(service.look(A_AND_B)) == {A: True}


def test_a_report_of_a_source_that_left_is_ignored() -> None:
    service = Looks(rack(A), checks=[])
    service.state.observe("nobody", found(B), 0.0)
    assert states(service.look()) == {}


# ---- holds and when to look again ------------------------------------------------------------------------------------


def test_it_looks_again_when_a_hold_is_over() -> None:
    service = Looks(feed(hold={"nodata": "30s"}), checks=[])
    service.state.observe("feed", found(A), 0.0)
    assert service.look().look_again is None
    service.state.observe("feed", Observation(Outcome.EMPTY), 10.0)
    assert service.look(now=10.0).look_again == 40.0
    assert states(service.look(now=39.9)) == {A: True}
    assert states(service.look(now=40.0)) == {}


def test_another_hold_counts_at_once_and_loses_nothing() -> None:
    service = Looks(feed(hold={"nodata": "30s"}), checks=[])
    service.state.observe("feed", found(A), 0.0)
    service.take(feed(hold={"nodata": "90s"}), checks=[])
    service.state.observe("feed", Observation(Outcome.EMPTY), 10.0)
    decision = service.look(now=50.0)
    assert states(decision) == {A: True}
    assert decision.look_again == 100.0


def test_the_part_of_a_source_that_has_yet_to_report_keeps_all_that_is_published() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", several([("a", found(A)), ("b", Observation(Outcome.ERROR, detail="x"))]), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.observe("feed", several([("a", found(A)), ("b", found(C))]), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {A: True, C: True}


def test_a_report_that_says_the_same_once_more_calls_for_no_look() -> None:
    service = Looks(feed(), checks=[])
    assert service.state.observe("feed", found(A), 0.0)
    assert not service.state.observe("feed", found(A), 10.0)
    assert service.state.gathering.reports.standings()["feed"].age(11.0) == 1.0
    assert service.state.observe("feed", Observation(Outcome.ERROR, detail="x"), 20.0)
    assert not service.state.observe("feed", Observation(Outcome.ERROR, detail="x"), 30.0)
    assert service.state.observe("feed", found(A), 40.0)


# ---- tiers -----------------------------------------------------------------------------------------------------------


def test_the_steps_of_one_source_are_tiers_of_their_own() -> None:
    service = Looks(feed(), rack(C, name="last", priority=1))
    service.state.observe("feed", Observation(Outcome.FOUND, (Backend(A), Backend(B, step=1))), 0.0)
    service.state.observe("last", found(C), 0.0)
    service.verdicts = dict.fromkeys((A, B, C), HEALTHY)
    assert states(service.look()) == {A: True}
    service.verdicts[A] = UNHEALTHY
    assert states(service.look(now=1.0)) == {A: False, B: True}
    service.verdicts[B] = UNHEALTHY
    assert states(service.look(now=2.0)) == {A: False, B: False, C: True}


def test_a_standby_waits_for_the_first_answer_of_the_tier_before_it_but_not_for_ever() -> None:
    service = Looks(feed(), rack(B, name="standby", priority=1), checks=[])
    service.state.observe("standby", found(B), 0.0)
    decision = service.look(now=5.0)
    assert (states(decision), decision.look_again) == ({}, 15.0)
    assert states(service.look(now=15.0)) == {B: True}


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SUSPECT])
def test_a_standby_stands_in_for_a_tier_whose_source_fails_from_the_start(outcome: Outcome) -> None:
    service = Looks(feed(), rack(B, name="standby", priority=1), checks=[])
    service.state.observe("standby", found(B), 0.0)
    service.state.observe("feed", Observation(outcome, detail="scripted"), 0.0)
    assert states(service.look()) == {B: True}


STANDBY = rack(B, name="standby", priority=1)


def tiered(*, policy: dict[str, Any] | None = None) -> Looks:
    service = Looks(rack(A), STANDBY, policy=policy or {"failbackDelay": "60s"})
    service.state.observe("rack", found(A), 0.0)
    service.state.observe("standby", found(B), 0.0)
    service.verdicts = {A: HEALTHY, B: HEALTHY}
    return service


def test_the_standby_is_published_while_the_first_tier_is_down_and_until_the_failback_delay_is_over() -> None:
    service = tiered()
    assert states(service.look()) == {A: True}
    service.verdicts[A] = UNHEALTHY
    assert states(service.look(now=1.0)) == {A: False, B: True}
    service.verdicts[A] = HEALTHY
    back = service.look(now=5.3)
    assert states(back) == {A: True, B: True}
    assert back.look_again == pytest.approx(65.3)
    assert back.look_again is not None
    over = service.look(now=back.look_again)
    assert (states(over), over.look_again) == ({A: True}, None)


def test_a_standby_that_was_published_stays_over_a_restart() -> None:
    service = tiered()
    service.verdicts = {}
    assert states(service.look(shown(a192_0_2_1=False, a192_0_2_2=True))) == {A: False, B: True}


def test_a_restart_with_everything_unknown_brings_no_standby_in() -> None:
    service = tiered()
    service.verdicts = {}
    assert states(service.look(shown(a192_0_2_1=True))) == {A: True}


@pytest.mark.parametrize(
    "broken",
    [
        Observation(Outcome.ERROR, detail="scripted"),
        Observation(Outcome.FOUND, (Backend(C, ports=(("gone", 1),)),)),
    ],
    ids=["never reported", "unusable"],
)
def test_a_source_that_is_broken_from_the_start_does_not_keep_the_standby_for_ever(broken: Observation) -> None:
    service = Looks(rack(A), STANDBY, feed(priority=2), policy={"failbackDelay": "60s"})
    service.state.observe("rack", found(A), 0.0)
    service.state.observe("standby", found(B), 0.0)
    service.state.observe("feed", broken, 0.0)
    service.verdicts = {A: UNHEALTHY, B: HEALTHY}
    both = shown(a192_0_2_1=False, a192_0_2_2=True)
    assert states(service.look(both, now=1.0)) == {A: False, B: True}
    service.verdicts[A] = HEALTHY
    for now in (2.0, 30.0, 61.0):
        assert states(service.look(both, now=now)) == {A: True, B: True}
    for now in (62.0, 63.0, 300.0):  # the cluster shows it until its withdrawal is written
        assert states(service.look(both, now=now)) == {A: True}


# ---- parts that another part named -----------------------------------------------------------------------------------


def targets(**said: Observation) -> Observation:
    """A report on a set of SRV records and its targets."""
    parts = [(name, msgspec.structs.replace(part, named_by="set")) for name, part in said.items()]
    return several([("set", Observation(Outcome.FOUND)), *parts])


FAILS = Observation(Outcome.ERROR, detail="SERVFAIL")


def test_a_target_that_fails_from_the_start_keeps_what_may_be_its_and_nothing_else() -> None:
    service = Looks(feed(hold={"obsolete": "0s"}), checks=[])
    service.state.observe("feed", targets(a=found(A), b=FAILS), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.observe("feed", targets(c=found(C), b=FAILS), 1.0)
    after = shown(a192_0_2_1=True, a192_0_2_2=True, a192_0_2_3=True)
    for now in (1.0, 7200.0):
        assert states(service.look(after, now=now)) == {B: True, C: True}
    assert not service.state.gathering.settled


def test_a_target_that_fails_from_the_start_holds_the_rest_once_it_is_answered_no_more() -> None:
    service = Looks(feed(hold={"obsolete": "0s"}), checks=[])
    service.state.observe("feed", targets(a=FAILS), 0.0)
    assert states(service.look(A_AND_B)) == {A: True, B: True}
    service.state.observe("feed", targets(a=found(B)), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True}
    assert service.state.gathering.settled


def test_a_target_that_comes_later_and_fails_keeps_nothing() -> None:
    service = Looks(feed(hold={"obsolete": "0s"}), checks=[])
    service.state.observe("feed", targets(a=found(A), b=found(B)), 0.0)
    service.look(A_AND_B)
    service.state.observe("feed", targets(a=found(A), c=FAILS), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {A: True}


def test_what_a_target_no_longer_has_waits_for_no_other_source() -> None:
    service = Looks(feed(hold={"obsolete": "0s"}), feed("other"), checks=[])
    service.state.observe("feed", targets(a=found(A), b=FAILS), 0.0)
    service.state.observe("other", FAILS, 0.0)
    service.look(A_AND_B)
    service.state.observe("feed", targets(a=found(C), b=FAILS), 1.0)
    assert states(service.look(A_AND_B, now=1.0)) == {B: True, C: True}


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_without_a_change_the_same_candidates_come_back() -> None:
    service = Looks(rack(A))
    service.state.observe("rack", found(A), 0.0)
    before = service.look().candidates
    service.state.observe("rack", found(A), 1.0)
    assert service.look(now=1.0).candidates is before


def test_ports_come_from_the_manifest_or_else_from_the_service() -> None:
    service = Looks(rack(A), ports=None)
    assert service.state.gathering.ports(Current()) is None
    assert service.state.gathering.ports(NOTHING) == (PortSpec("", PORT),)
    assert Looks(rack(A), ports=[{"port": 8080}]).state.gathering.ports(NOTHING) == (PortSpec("", 8080),)


def test_while_the_service_is_away_its_endpoints_stay_candidates() -> None:
    service = Looks(rack(A), ports=None)
    service.state.observe("rack", found(A), 0.0)
    before = service.look(NOTHING).candidates
    assert service.look(Current()).candidates is before


def test_remarks_say_what_is_set_aside_and_which_source_is_stale() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", found(A, "127.0.0.1", A), 0.0)
    service.state.observe("feed", Observation(Outcome.ERROR, detail="scripted outage"), 1.0)
    remarks = list(service.state.remarks(service.look(now=1.0)))
    assert remarks[0] == "source 'feed': scripted outage; its last good set stays"
    assert any("127.0.0.1" in remark and "set aside" in remark for remark in remarks)
    assert sum("set aside" in remark for remark in remarks) == 1, "a second report of an endpoint is asked for"
    service.state.observe("feed", Observation(Outcome.SUSPECT, detail="scripted doubt"), 2.0)
    remarks = list(service.state.remarks(service.look(now=2.0)))
    assert remarks[0] == "source 'feed': suspect: scripted doubt; its last good set stays"


def test_what_is_published_may_be_adjusted_before_it_is_packed() -> None:
    service = Looks(rack(A, B), checks=[])
    service.state.observe("rack", found(A, B), 0.0)
    candidates = service.state.candidates(NOTHING, 0.0, wall=0.0)

    def only_the_first(endpoints: tuple[Endpoint, ...], published: object) -> tuple[Endpoint, ...]:
        return endpoints[:1]

    decision = service.state.decide(NOTHING, (None,) * len(candidates), now=0.0, wall=0.0, adjust=only_the_first)
    (slice_,) = [change.obj for change in decision.plan.changes.creates if hasattr(change.obj, "address_type")]
    assert [endpoint.addresses for endpoint in getattr(slice_, "endpoints", ())] == [(A,)]


def test_its_key_is_that_of_its_manifest() -> None:
    assert Looks(rack(A)).state.key == ServiceKey("test", "orders")


# ---- what cannot be used, and what is only known later ---------------------------------------------------------------


def test_a_source_of_which_nothing_can_be_used_empties_nothing_and_is_said() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", found(A, B), 0.0)
    assert states(service.look()) == {A: True, B: True}
    broken = tuple(Backend(address, ports=(("gone", 1),)) for address in (A, B))
    service.state.observe("feed", Observation(Outcome.FOUND, broken), 1.0)
    decision = service.look(A_AND_B, now=1.0)
    assert states(decision) == {A: True, B: True}
    assert any("none of its backends can be used" in line for line in service.state.remarks(decision))


def test_one_backend_with_an_unknown_probe_port_is_set_aside_and_the_others_are_served() -> None:
    service = Looks(feed())
    odd = Backend(B, probe=ProbeOverride(port="nope"))
    service.state.observe("feed", Observation(Outcome.FOUND, (Backend(A), odd)), 0.0)
    decision = service.look()
    assert set(states(decision)) == {A}
    assert any("probe.port 'nope'" in line for line in service.state.remarks(decision))


def test_a_standby_tier_that_serves_goes_on_serving_over_a_restart() -> None:
    service = Looks(feed("rack"), feed("cloud", priority=1))
    service.state.observe("rack", found(C), 0.0)  # a new machine, not probed yet
    service.look(shown(a192_0_2_2=True), now=0.0)
    service.state.observe("cloud", found(B), 2.0)
    service.verdicts = {C: UNHEALTHY}
    for now in (2.0, 3.0, 120.0):
        assert states(service.look(shown(a192_0_2_2=True), now=now))[B] is True


def test_what_a_silent_source_alone_vouches_for_is_not_demoted_by_probes() -> None:
    service = Looks(feed(health="source"))
    service.verdicts = {A: UNHEALTHY, B: UNHEALTHY}
    assert states(service.look(A_AND_B)) == {A: True, B: True}


def test_many_entries_that_are_set_aside_are_told_in_few_lines() -> None:
    service = Looks(feed(), checks=[])
    broken = tuple(Backend(f"198.51.100.{number}", ports=(("gone", 1),)) for number in range(1, 250))
    service.state.observe("feed", Observation(Outcome.FOUND, (Backend(A), *broken)), 0.0)
    lines = [line for line in service.state.remarks(service.look()) if "set aside" in line]
    assert len(lines) == MOST_SET_ASIDE + 1
    assert lines[-1] == "source 'feed': more entries than these are set aside"
    service.state.observe("feed", Observation(Outcome.FOUND, (*reversed(broken[:200]), Backend(A))), 1.0)
    again = [line for line in service.state.remarks(service.look(now=1.0)) if "set aside" in line]
    assert again[-1] == lines[-1], "its number is not said: it would be logged anew with each change"


def test_the_order_of_the_entries_that_are_set_aside_changes_no_line() -> None:
    service = Looks(feed(), checks=[])
    broken = tuple(Backend(f"198.51.100.{number}", ports=(("gone", 1),)) for number in range(1, 50))
    said = []
    for answer in (broken, broken[::-1]):
        service.state.observe("feed", Observation(Outcome.FOUND, (Backend(A), *answer)), 0.0)
        said.append([line for line in service.state.remarks(service.look()) if "set aside" in line])
    assert said[0] == said[1]
