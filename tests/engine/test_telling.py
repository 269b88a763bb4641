"""What the engine says in words."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from extsync.changes import ApplyService, Delete
from extsync.engine.service import Decision
from extsync.engine.telling import MOST_LINES, because, describe, place, transitions
from extsync.model import Backend, Endpoint, Health, Identity, PortValue, Rejected, State, Verdict, Why
from extsync.objects import EndpointSlice
from extsync.plan.merge import Candidate, Tier
from extsync.plan.plan import Plan
from extsync.plan.tier import Tiers, TierState
from tests.engine.support import A, B

PORTS = (PortValue("", 80),)
REFUSED = Verdict(Health.UNHEALTHY, reason="tcpSocket 192.0.2.1:80: connection refused")


def told(*arguments: Any, **more: Any) -> list[str]:
    """The texts of the lines."""
    return [line.text for line in transitions(*arguments, **more)]


def endpoint(address: str, state: State = State.READY, why: Why = Why.HEALTHY) -> Endpoint:
    return Endpoint(address, PORTS, "", state, why)


def decision(*endpoints: Endpoint, verdict: Verdict | None = None, like: Decision | None = None) -> Decision:
    """A decision on ``endpoints``; ``like``: on the same candidates as that one."""
    found = tuple(
        Candidate(Identity(e.address, PORTS), Backend(e.address), "rack", "", Tier(0), "both") for e in endpoints
    )
    candidates = found if like is None else like.candidates
    tiers = Tiers(endpoints, TierState())
    return Decision(Plan(), candidates, (verdict,) * len(endpoints), endpoints, tiers, endpoints)


UP = endpoint(A)
DOWN = endpoint(A, State.NOT_READY, Why.UNHEALTHY)


def test_changes_are_told_as_kubectl_names_objects() -> None:
    assert describe(Delete(EndpointSlice, "test", "orders-1", uid="u")) == "delete endpointslice/orders-1"
    body = {"metadata": {"namespace": "test", "name": "orders"}}
    assert describe(ApplyService(body)) == "apply service/orders"


def test_an_endpoint_is_its_address_and_first_port() -> None:
    assert place(endpoint("2001:db8::1")) == "[2001:db8::1]:80"


def test_where_probing_decided_the_error_of_the_probe_is_told() -> None:
    assert because(DOWN, REFUSED) == "its checks fail: tcpSocket 192.0.2.1:80: connection refused"
    assert because(UP, REFUSED) == "its checks pass"
    assert because(DOWN, None) == "its checks fail"


def test_the_first_look_tells_of_every_endpoint() -> None:
    assert told(None, decision(UP, endpoint(B))) == [
        "192.0.2.1:80 is ready: its checks pass",
        "192.0.2.2:80 is ready: its checks pass",
    ]


def test_a_transition_is_told_with_its_reason() -> None:
    before = decision(UP, endpoint(B))
    after = decision(DOWN, before.judged[1], verdict=REFUSED, like=before)
    assert told(before, after) == [
        "192.0.2.1:80 was ready and is not ready: its checks fail: tcpSocket 192.0.2.1:80: connection refused"
    ]


def test_a_new_reason_for_the_same_state_is_no_transition() -> None:
    before = decision(endpoint(A, why=Why.KEPT))
    assert told(before, decision(UP, like=before)) == []


def test_endpoints_that_come_change_and_leave_are_told() -> None:
    lines = told(decision(UP), decision(endpoint(B, State.DRAINING, Why.DRAINING)))
    assert lines == [
        "192.0.2.2:80 is draining: draining: its source asks for it, and it is healthy",
        "192.0.2.1:80 left: no source reports it",
    ]
    changed, _ = told(decision(UP), decision(DOWN, endpoint(B)))
    assert changed == "192.0.2.1:80 was ready and is not ready: its checks fail"


def test_an_endpoint_of_a_standby_tier_is_told_as_not_published() -> None:
    before = decision(UP, endpoint(B, State.NOT_READY, Why.NEW))
    standby = replace(before.candidates[1], tier=Tier(1))
    tiers = Tiers((UP,), TierState(), (Tier(0),), (Tier(1),))
    before = replace(before, candidates=(before.candidates[0], standby), tiers=tiers)
    assert told(None, before)[1] == f"{B}:80 is not ready (standby, not published): {Why.NEW.value}"
    after = replace(before, judged=(UP, endpoint(B)))
    [line] = told(before, after)
    assert line == f"{B}:80 was not ready and is ready (standby, not published): its checks pass"
    first, second = after.candidates
    [line] = told(after, replace(before, candidates=(replace(first), second)))
    assert "(standby, not published)" in line


def test_a_tier_that_comes_in_or_goes_out_is_told() -> None:
    out = replace(decision(UP), tiers=Tiers((UP,), TierState(), (Tier(0),), (Tier(1, 2),)))
    in_ = replace(out, tiers=Tiers((UP,), TierState(), (Tier(0), Tier(1, 2))))
    assert told(out, in_) == ["tier 1.2 comes in: the tiers before it have too few ready endpoints"]
    assert told(in_, out) == ["tier 1.2 goes out: the tiers before it have enough ready endpoints"]
    assert told(out, out) == []


def test_an_endpoint_that_left_since_it_cannot_be_published_is_still_reported() -> None:
    rejected = [("rack", Rejected(f"{A} port 80 (db-1)", "is of the wrong family"))]
    [line] = told(decision(UP), decision(), rejected=rejected)
    assert line == f"{A}:80 left: it is set aside"


def test_of_many_transitions_the_number_is_told() -> None:
    many = [f"198.51.100.{number}" for number in range(1, 101)]
    before = decision(*map(endpoint, many))
    after = decision(*(endpoint(address, State.NOT_READY, Why.UNHEALTHY) for address in many), like=before)
    lines = told(before, after)
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "and 80 more endpoints changed"


def test_endpoints_that_come_alike_share_a_line() -> None:
    racks = [endpoint(f"198.51.100.{number}") for number in range(1, 6)]
    alike, other = told(None, decision(*racks, DOWN))
    names = ", ".join(f"198.51.100.{number}:80" for number in range(1, 6))
    assert alike == f"5 endpoints, each ready: its checks pass: {names}"
    assert other == f"{A}:80 is not ready: its checks fail"


def test_of_many_endpoints_that_come_alike_some_are_named() -> None:
    [line] = told(None, decision(*(endpoint(f"198.51.100.{number}") for number in range(1, 101))))
    assert line.startswith("100 endpoints, each ready: its checks pass: 198.51.100.1:80, ")
    assert line.endswith(", 198.51.100.20:80 and 80 more")
