"""The guards of one service: what is a removal, whose it is, and what is found after a start. No loop."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.changes import Update
from extsync.model import Backend, Observation, Outcome, ProbeOverride, several
from extsync.objects import Endpoints
from extsync.plan.plan import Current
from tests.engine.support import feed, rack
from tests.engine.test_service import NOTHING, Looks, found, shown, states

TEN = tuple(f"192.0.2.{number}" for number in range(1, 11))
OTHERS = tuple(f"198.51.100.{number}" for number in range(1, 6))
NO_HOLD: dict[str, Any] = {"hold": {"nodata": "0s", "nx": "0s"}}


def at(*addresses: str) -> Current:
    return shown(**{f"a{address.replace('.', '_')}": True for address in addresses})


def known(*sources: dict[str, Any], **spec: Any) -> Looks:
    """A service whose source has ten backends."""
    service = Looks(*(sources or (feed(),)), checks=[], **spec)
    service.state.observe("feed", found(*TEN), 0.0)
    for source in sources:
        if "static" in source:
            service.state.observe(source["name"], found(*(b["address"] for b in source["static"]["backends"])), 0.0)
    service.look()
    return service


def says(service: Looks, observation: Observation, now: float = 1.0) -> set[str]:
    service.state.observe("feed", observation, now)
    return set(states(service.look(now=now)))


def labelled(*addresses: str, **changes: Any) -> Observation:
    backends = tuple(Backend(a, labels=(("env", "a" if i < 2 else "b"),), **changes) for i, a in enumerate(addresses))
    return Observation(Outcome.FOUND, backends)


def test_a_backend_that_changes_anything_but_address_and_ports_is_the_same() -> None:
    service = known()
    assert says(service, labelled(*TEN, zone="other", hostname=None, drain=True)) == set(TEN)
    decision = service.look(now=2.0)
    assert decision.suppressed is None
    assert not any(states(decision).values())


def test_a_drain_of_all_goes_out_at_once() -> None:
    service = known()
    service.state.observe("feed", labelled(*TEN[:2], drain=True), 1.0)
    decision = service.look(now=1.0)
    assert states(decision) == {**dict.fromkeys(TEN, True), **dict.fromkeys(TEN[:2], False)}


def test_other_rules_of_relabelling_that_drop_most_are_an_accident() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", labelled(*TEN), 0.0)
    service.look()
    service.take(feed(relabel=[{"sourceLabels": ["env"], "regex": "a", "action": "keep"}]), checks=[])
    assert set(states(service.look(now=1.0))) == set(TEN)


def test_another_block_under_the_same_name_that_has_much_less_is_withheld() -> None:
    service = known()
    service.take({"name": "feed", "http": {"url": "http://192.0.2.99/"}}, checks=[])
    assert says(service, found(TEN[0])) == set(TEN)


def test_a_source_that_leaves_the_manifest_is_meant() -> None:
    service = known(feed(), rack("203.0.113.1"))
    service.take(rack("203.0.113.1"), checks=[])
    assert set(states(service.look(at(*TEN, "203.0.113.1"), now=1.0))) == {"203.0.113.1"}


@pytest.mark.parametrize("answer", [found(TEN[0]), Observation(Outcome.EMPTY)], ids=["one", "none"])
def test_a_source_under_another_name_that_has_much_less_is_withheld(answer: Observation) -> None:
    service = known()
    service.take(feed("new", **NO_HOLD), checks=[])
    assert set(states(service.look(at(*TEN), now=1.0))) == set(TEN)
    service.state.observe("new", answer, 2.0)
    decision = service.look(at(*TEN), now=2.0)
    assert set(states(decision)) == set(TEN)
    assert decision.suppressed is not None
    assert len(decision.suppressed.entries) == 10 - len(answer.backends)
    assert set(states(service.look(at(*TEN), now=601.0))) == set(TEN)
    assert set(states(service.look(at(*TEN), now=602.0))) == {one.address for one in answer.backends}


def test_a_source_under_another_name_that_has_about_as_much_loses_what_it_does_not_name() -> None:
    service = known()
    service.take(feed("new"), checks=[])
    service.look(at(*TEN), now=1.0)
    service.state.observe("new", found(*TEN[:6]), 2.0)
    decision = service.look(at(*TEN), now=2.0)
    assert set(states(decision)) == set(TEN[:6])
    assert decision.suppressed is None


def test_a_source_that_stays_makes_up_for_nothing_that_one_in_the_place_of_another_lacks() -> None:
    stays = feed("stays")
    service = Looks(stays, feed(), checks=[])
    service.state.observe("stays", found(*OTHERS, *(f"203.0.113.{number}" for number in range(20))), 0.0)
    service.state.observe("feed", found(*TEN), 0.0)
    everything = set(states(service.look()))
    service.take(stays, feed("new"), checks=[])
    service.state.observe("new", found(TEN[0]), 2.0)
    assert set(states(service.look(at(*everything), now=2.0))) == everything


def test_what_is_withheld_already_stays_withheld_where_a_source_is_replaced() -> None:
    """However large the new source is."""
    service = known()
    service.take(feed("new"), checks=[])
    service.look(at(*TEN), now=1.0)
    service.state.observe("new", found(TEN[0]), 2.0)
    assert set(states(service.look(at(*TEN), now=2.0))) == set(TEN)
    service.take(feed("newer"), checks=[])
    many = tuple(f"203.0.113.{number}" for number in range(1, 40))
    service.state.observe("newer", found(*many), 3.0)
    assert set(states(service.look(at(*TEN), now=3.0))) == {*TEN, *many}


def test_a_source_that_is_new_beside_one_that_leaves_a_static_one_guards_nothing_that_was_declared() -> None:
    machines = rack(*TEN)
    service = Looks(machines, checks=[])
    service.state.observe("rack", found(*TEN), 0.0)
    service.look()
    service.take(feed(), checks=[])
    service.state.observe("feed", found(TEN[0]), 1.0)
    assert set(states(service.look(at(*TEN), now=1.0))) == {TEN[0]}


def test_a_source_that_becomes_useless_is_no_removal_and_confirms_none() -> None:
    service = known()
    says(service, found(TEN[0]))
    useless = Observation(Outcome.FOUND, (Backend("192.0.2.50", ports=(("gone", 1),)),))
    assert says(service, useless, 2.0) == set(TEN)
    assert says(service, useless, 5000.0) == set(TEN)
    assert says(service, found(TEN[0]), 5001.0) == set(TEN)
    assert set(states(service.look(now=5001.0 + 598.0))) == set(TEN)
    assert set(states(service.look(now=5001.0 + 600.0))) == {TEN[0]}


@pytest.mark.parametrize(
    "wrong",
    [{"group": "not a label"}, {"probe": ProbeOverride(port="gone")}],
    ids=["group", "probe"],
)
def test_most_of_the_backends_becoming_wrong_is_an_accident(wrong: dict[str, Any]) -> None:
    """By anything that does not make them other backends."""
    service = known()
    bad = tuple(Backend(address, **wrong) for address in TEN[1:])
    decision_at = Observation(Outcome.FOUND, (Backend(TEN[0]), *bad))
    assert says(service, decision_at) == set(TEN)
    decision = service.look(now=2.0)
    assert decision.suppressed is not None
    assert len(decision.suppressed.entries) == 9
    assert any("set aside" in line for line in service.state.remarks(decision))
    assert set(states(service.look(now=601.0))) == {TEN[0]}


def test_one_backend_that_becomes_wrong_leaves_at_once_and_is_not_counted_twice() -> None:
    service = known()
    wrong = Backend(TEN[9], group="not a label")
    for now, good in enumerate((TEN[:9], TEN[:8], TEN[:7]), start=1):
        assert says(service, Observation(Outcome.FOUND, (*map(Backend, good), wrong)), float(now)) == set(good)
    assert service.look(now=4.0).suppressed is None


def test_a_question_that_fails_while_another_is_emptied_is_no_removal() -> None:
    service = Looks(feed(**NO_HOLD), checks=[])
    error = Observation(Outcome.ERROR, detail="SERVFAIL")
    service.state.observe("feed", several([("a", found(*TEN)), ("b", found(*OTHERS))]), 0.0)
    service.look()
    assert says(service, several([("a", found(TEN[0])), ("b", error)])) == {*TEN, *OTHERS}
    suppressed = service.look(now=2.0).suppressed
    assert suppressed is not None
    assert suppressed.until is None


def test_what_another_source_names_has_not_left() -> None:
    service = Looks(feed(), feed("other", priority=1), checks=[])
    service.state.observe("feed", found(*TEN), 0.0)
    service.state.observe("other", found(*OTHERS), 0.0)
    service.look()
    service.state.observe("other", found(*OTHERS, *TEN[1:]), 1.0)
    service.state.observe("feed", found(TEN[0]), 1.0)
    decision = service.look(now=1.0)
    assert decision.suppressed is None
    assert {c.source for c in decision.candidates if c.identity.address in TEN[1:]} == {"other"}


def test_another_policy_counts_at_once_for_what_is_withheld_already() -> None:
    service = known()
    says(service, found(TEN[0]))
    service.take(feed(), checks=[], policy={"guard": {"confirmAfter": "1h"}})
    assert set(states(service.look(now=700.0))) == set(TEN)
    service.take(feed(), checks=[], policy={"guard": {"maxRemovalPercent": 100}})
    assert set(states(service.look(now=701.0))) == {TEN[0]}


def test_it_says_what_how_many_until_when_and_how_to_let_it_through() -> None:
    service = known()
    says(service, found(TEN[0], TEN[1]))
    decision = service.look(now=2.0)
    assert decision.suppressed is not None
    line, listed = decision.suppressed.lines()
    assert line.startswith("source 'feed' no longer names 8 of its 10 backends: they stay until 1970-01-01T00:10:01Z")
    assert f"extsync.dev/allow-removal: {decision.suppressed.hash}" in line
    assert listed.endswith(": " + ", ".join(sorted(f"{address}:80" for address in TEN[2:])))
    assert decision.remarks == (line, listed)
    assert service.look(now=300.0).remarks == decision.remarks
    assert decision.look_again == 601.0


# ---- what is found after a start -------------------------------------------------------------------------------------


def started(*answer: str, current: Current) -> Looks:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", found(*answer), 0.0)
    service.look(current)
    return service


def test_of_several_replicas_the_one_that_writes_names_the_removal() -> None:
    leader, standby = known(publish=["Endpoints"]), known(publish=["Endpoints"])
    says(leader, found(TEN[0]), 1.0)
    says(standby, found(TEN[0]), 3.0)
    decision = leader.look(at(*TEN), now=4.0)
    (written,) = (change.obj for change in decision.plan.changes if isinstance(change, Update))
    assert isinstance(written, Endpoints)
    followed = standby.look(replace(at(*TEN), endpoints=written), now=5.0)
    assert decision.suppressed is not None
    assert followed.suppressed is not None
    assert (followed.suppressed.hash, followed.suppressed.since) == (decision.suppressed.hash, 1.0)


def evidence_of(service: Looks, current: Current, *, now: float) -> Current:
    """``current`` with the evidence that ``service`` writes at a look."""
    (written,) = (c.obj for c in service.look(current, now=now).plan.changes if isinstance(c, Update))
    assert isinstance(written, Endpoints)
    return replace(current, endpoints=written)


def test_what_another_replica_let_go_is_not_brought_back() -> None:
    """It began later and has seen less of the source; the one that leads has seen that some were back for a while."""
    leader, standby = known(publish=["Endpoints"]), known(publish=["Endpoints"])
    says(standby, found(*TEN[:4]), 1.0)
    says(leader, found(*TEN[:9]), 1.0)
    assert standby.look(at(*TEN), now=2.0).suppressed is not None
    current = evidence_of(leader, at(*TEN), now=2.0)
    assert set(states(standby.look(current, now=3.0))) == set(TEN[:9])


def test_what_is_withheld_and_was_deleted_by_hand_is_brought_back() -> None:
    service = known(publish=["Endpoints"])
    says(service, found(TEN[0]), 1.0)
    current = evidence_of(service, at(*TEN), now=2.0)
    assert service.look(current, now=3.0).suppressed is not None
    assert current.endpoints is not None
    left = replace(current, endpoints=replace(current.endpoints, subsets=None))
    assert set(states(service.look(left, now=4.0))) == set(TEN)
    assert set(states(service.look(at(TEN[0]), now=5.0))) == set(TEN)


def test_what_is_found_and_comes_back_is_no_longer_withheld_and_a_small_rest_leaves() -> None:
    service = started(TEN[0], current=at(*TEN))
    service.state.observe("feed", found(*TEN[:3]), 1.0)
    assert set(states(service.look(at(*TEN), now=1.0))) == set(TEN)
    service.state.observe("feed", found(*TEN[:8]), 2.0)
    assert set(states(service.look(at(*TEN), now=2.0))) == set(TEN)
    assert set(states(service.look(at(*TEN), now=122.0))) == set(TEN[:8])


def test_what_left_at_the_start_counts_with_what_leaves_after_it() -> None:
    service = started(*TEN[:6], current=at(*TEN))
    assert set(states(service.look(at(*TEN[:6]), now=1.0))) == set(TEN[:6])
    service.state.observe("feed", found(*TEN[:4]), 2.0)
    assert set(states(service.look(at(*TEN[:6]), now=2.0))) == set(TEN[:6])


def test_time_in_which_the_source_fails_confirms_nothing_of_what_was_found() -> None:
    service = started(TEN[0], current=at(*TEN))
    service.state.observe("feed", Observation(Outcome.ERROR, detail="status 500"), 1.0)
    service.look(at(*TEN), now=1.0)
    assert set(states(service.look(at(*TEN), now=5000.0))) == set(TEN)


def test_a_source_that_is_new_in_the_manifest_and_silent_takes_nothing_of_it_away() -> None:
    service = started(TEN[0], current=at(*TEN))
    service.take(feed(), feed("new"), checks=[])
    assert set(states(service.look(at(*TEN), now=1.0))) == set(TEN)
    service.state.observe("new", found(*OTHERS), 5000.0)
    assert set(states(service.look(at(*TEN), now=5000.0))) == {*TEN, *OTHERS}


def test_few_endpoints_that_are_found_and_nobody_names_leave() -> None:
    assert set(states(started("203.0.113.1", current=at(*TEN[:2])).look(at(*TEN[:2])))) == {"203.0.113.1"}


@pytest.mark.parametrize("sources", [(rack("203.0.113.1"),), (rack("203.0.113.1"), rack("203.0.113.2", name="more"))])
def test_a_service_of_static_sources_alone_is_not_guarded(sources: tuple[dict[str, Any], ...]) -> None:
    service = Looks(*sources, checks=[])
    for source in sources:
        (backend,) = source["static"]["backends"]
        service.state.observe(source["name"], found(backend["address"]), 0.0)
    assert not set(states(service.look(at(*TEN)))) & set(TEN)


def test_nothing_published_is_nothing_found() -> None:
    service = Looks(feed(), checks=[])
    service.state.observe("feed", found(), 0.0)
    assert service.look(NOTHING).suppressed is None
    assert service.look(replace(NOTHING, slices=())).suppressed is None
