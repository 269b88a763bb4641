from __future__ import annotations

from collections.abc import Sequence

import pytest

from extsync.model import (
    UNKNOWN,
    Backend,
    Endpoint,
    Health,
    Identity,
    PortValue,
    ProbeOverride,
    State,
    TargetRef,
    Verdict,
    Why,
)
from extsync.plan.judge import Judged, judge
from extsync.plan.merge import Candidate, HealthRule, Tier

HEALTHY, UNHEALTHY = Verdict(Health.HEALTHY), Verdict(Health.UNHEALTHY)
PORTS = (PortValue("mysql", 3306),)
READY, NOT_READY, DRAINING = State.READY, State.NOT_READY, State.DRAINING


def candidate(
    address: str = "10.0.0.1",
    *,
    ready: bool = True,
    drain: bool = False,
    health: HealthRule = "both",
    probe: ProbeOverride | None = None,
) -> Candidate:
    backend = Backend(address, ready=ready, drain=drain, probe=probe)
    return Candidate(Identity(address, PORTS), backend, "rack", "", Tier(0), health)


def judge_one(one: Candidate, verdict: Verdict | None, last: State | None = None) -> tuple[State, Why]:
    states = {} if last is None else {one.identity: last}
    (endpoint,) = judge((one,), [verdict], states)
    return endpoint.state, endpoint.why


@pytest.mark.parametrize(
    ("ready", "drain", "expected"),
    [
        (True, False, (READY, Why.DECLARED)),
        (False, False, (NOT_READY, Why.SOURCE_NOT_READY)),
        (True, True, (DRAINING, Why.DRAINING)),
        (False, True, (NOT_READY, Why.DRAINING_DOWN)),
    ],
)
@pytest.mark.parametrize("health", ["source", "probe", "both"])
def test_where_nothing_checks_an_endpoint_is_as_its_source_declares(
    ready: bool, drain: bool, expected: tuple[State, Why], health: HealthRule
) -> None:
    assert judge_one(candidate(ready=ready, drain=drain, health=health), None) == expected


def test_a_backend_that_is_not_to_be_probed_is_as_its_source_declares() -> None:
    one = candidate(probe=ProbeOverride(enabled=False))
    assert judge_one(one, UNHEALTHY) == (READY, Why.DECLARED)
    assert judge_one(candidate(probe=ProbeOverride(port=8080)), UNHEALTHY) == (NOT_READY, Why.UNHEALTHY)


@pytest.mark.parametrize(
    ("health", "ready", "verdict", "expected"),
    [
        ("both", True, HEALTHY, (READY, Why.HEALTHY)),
        ("both", True, UNHEALTHY, (NOT_READY, Why.UNHEALTHY)),
        ("both", False, HEALTHY, (NOT_READY, Why.SOURCE_NOT_READY)),
        ("both", False, UNHEALTHY, (NOT_READY, Why.SOURCE_NOT_READY)),
        ("probe", False, HEALTHY, (READY, Why.HEALTHY)),
        ("probe", True, UNHEALTHY, (NOT_READY, Why.UNHEALTHY)),
        ("source", True, UNHEALTHY, (READY, Why.DECLARED)),
        ("source", False, HEALTHY, (NOT_READY, Why.SOURCE_NOT_READY)),
    ],
)
def test_the_health_rule_says_whose_word_counts(
    health: HealthRule, ready: bool, verdict: Verdict, expected: tuple[State, Why]
) -> None:
    assert judge_one(candidate(ready=ready, health=health), verdict) == expected


def test_a_draining_endpoint_serves_only_while_it_is_healthy() -> None:
    assert judge_one(candidate(drain=True), HEALTHY) == (DRAINING, Why.DRAINING)
    assert judge_one(candidate(drain=True), UNHEALTHY) == (NOT_READY, Why.DRAINING_DOWN)


def test_an_endpoint_whose_failures_are_not_believed_says_so_also_where_it_drains() -> None:
    doubted = Verdict(Health.HEALTHY, doubted=True)
    assert judge_one(candidate(), doubted) == (READY, Why.DOUBTED)
    assert judge_one(candidate(drain=True), doubted) == (DRAINING, Why.DOUBTED)


def test_a_new_endpoint_is_not_ready_until_its_checks_pass() -> None:
    assert judge_one(candidate(), UNKNOWN) == (NOT_READY, Why.NEW)


@pytest.mark.parametrize(
    ("last", "drain", "expected"),
    [
        (READY, False, READY),
        (NOT_READY, False, NOT_READY),
        (DRAINING, True, DRAINING),
        (READY, True, DRAINING),
        (DRAINING, False, READY),
    ],
)
def test_an_endpoint_found_published_stays_as_it_is_until_there_is_a_verdict(
    last: State, drain: bool, expected: State
) -> None:
    assert judge_one(candidate(drain=drain), UNKNOWN, last)[0] is expected


def test_the_source_can_take_a_kept_endpoint_away_by_saying_not_ready() -> None:
    assert judge_one(candidate(ready=False), UNKNOWN, READY) == (NOT_READY, Why.SOURCE_NOT_READY)


def test_what_was_decided_last_counts_before_what_is_published() -> None:
    one, memo = candidate(), Judged()
    judge((one,), [HEALTHY], {}, memo)
    (endpoint,) = judge((one,), [UNKNOWN], {one.identity: NOT_READY}, memo)
    assert (endpoint.state, endpoint.why) == (READY, Why.KEPT)


def test_a_new_endpoint_stays_new_while_its_verdict_is_unknown() -> None:
    one, memo = candidate(), Judged()
    judge((one,), [UNKNOWN], {}, memo)
    (endpoint,) = judge((one,), [Verdict(Health.UNKNOWN, 5.0)], {one.identity: NOT_READY}, memo)
    assert endpoint.why is Why.NEW


def test_an_endpoint_that_left_and_came_back_is_new() -> None:
    one, memo = candidate(), Judged()
    judge((one,), [HEALTHY], {}, memo)
    judge((), [], {}, memo)
    (endpoint,) = judge((one,), [UNKNOWN], {}, memo)
    assert endpoint.why is Why.NEW


def test_the_fields_of_the_backend_are_published_and_empty_ones_are_not() -> None:
    backend = Backend("10.0.0.1", hostname="db-1", node_name="", zone="dc-1", target_ref=TargetRef(name="vm-1"))
    one = Candidate(Identity("10.0.0.1", PORTS), backend, "rack", "canary", Tier(0), "both")
    assert judge((one,), [HEALTHY], {}) == (
        Endpoint("10.0.0.1", PORTS, "canary", READY, Why.HEALTHY, "db-1", None, "dc-1", TargetRef(name="vm-1")),
    )


def judged(memo: Judged, candidates: Sequence[Candidate], verdicts: list[Verdict | None]) -> tuple[Endpoint, ...]:
    return judge(candidates, verdicts, {}, memo)


def test_when_nothing_changed_the_result_is_the_same_object() -> None:
    candidates, memo = (candidate("10.0.0.1"), candidate("10.0.0.2")), Judged()
    first = judged(memo, candidates, [HEALTHY, None])
    assert judged(memo, candidates, [HEALTHY, None]) is first


def test_endpoints_that_did_not_change_are_the_same_objects() -> None:
    candidates, memo = tuple(candidate(f"10.0.0.{i}") for i in range(1, 4)), Judged()
    verdicts: list[Verdict | None] = [HEALTHY, HEALTHY, HEALTHY]
    first = judged(memo, candidates, verdicts)
    verdicts[1] = UNHEALTHY  # in place, as a prober's list changes
    second = judged(memo, candidates, verdicts)
    assert second[0] is first[0]
    assert second[2] is first[2]
    assert second[1].state is NOT_READY


def test_endpoints_of_another_merge_are_the_same_objects_where_they_are_equal() -> None:
    memo = Judged()
    first = judged(memo, (candidate("10.0.0.1"), candidate("10.0.0.2")), [HEALTHY, HEALTHY])
    second = judged(memo, (candidate("10.0.0.3"), candidate("10.0.0.2")), [HEALTHY, HEALTHY])
    assert second[1] is first[1]


def test_verdicts_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        judge((candidate(),), [], {})
