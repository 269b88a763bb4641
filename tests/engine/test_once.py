"""``apply``, ``diff`` and ``render``: one pass, against the in-memory store in virtual time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.engine.discovery import SOURCE_TIMEOUT
from extsync.engine.once import Once
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.errors import FORBIDDEN_CURE, Conflict, Forbidden, Invalid, TooManyRequests, Unavailable
from extsync.kube.memory import Fault
from extsync.model import Backend, Observation, Outcome, several
from extsync.objects import Endpoints, KubeObject, Service
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import BlackHole
from extsync.sources.base import Source, SourceContext
from tests.engine.support import (
    CHECK,
    NAMESPACE,
    PORT,
    THRESHOLD,
    A,
    B,
    C,
    Rig,
    feed,
    flat_service,
    manifest,
    not_ready,
    prepared,
    rack,
    ready,
)

D = "192.0.2.4"
ORDERS = manifest("orders", rack(A, B))
PLAIN = manifest("orders", rack(A, B), checks=[])


async def one(rig: Rig, service: dict[str, Any], **options: Any) -> ServiceResult:
    (result,) = await rig.once(service, **options)
    return result


def found(*addresses: str) -> Observation:
    return Observation(Outcome.FOUND, tuple(map(Backend, addresses)))


def done(result: ServiceResult) -> list[str]:
    return [type(step.change).__name__ for step in result.steps]


# ---- probing to a verdict --------------------------------------------------------------------------------------------


@virtual_time
async def test_it_probes_to_a_verdict_and_writes_everything() -> None:
    rig = Rig()
    rig.up(A)
    result = await one(rig, ORDERS)
    assert not result.failed
    assert rig.published("orders") == {A: True, B: False}
    assert done(result) == ["ApplyService", "Create", "Create"]
    assert rig.io.open_sockets == 0


@pytest.mark.parametrize(("success", "seconds"), [(1, 0.0), (4, 3.0)])
@virtual_time
async def test_a_backend_that_is_up_takes_its_success_threshold_with_probes_a_second_apart(
    success: int, seconds: float
) -> None:
    rig = Rig()
    rig.up(A)
    check = {**CHECK, "initialDelaySeconds": 60, "successThreshold": success}
    await one(rig, manifest("orders", rack(A), checks=[check]))
    assert rig.clock.monotonic() == pytest.approx(seconds, abs=0.1)
    assert rig.io.connections[A, PORT] == success


@virtual_time
async def test_a_backend_that_is_down_takes_its_failure_threshold() -> None:
    rig = Rig()
    await one(rig, manifest("orders", rack(A)))
    assert rig.clock.monotonic() == pytest.approx(THRESHOLD - 1, abs=0.1)
    assert rig.io.connections[A, PORT] == THRESHOLD
    assert rig.published("orders") == not_ready(A)


@virtual_time
async def test_endpoints_without_a_verdict_in_time_stay_as_they_are_and_fail_the_pass() -> None:
    rig = Rig()
    rig.up(A)
    await one(rig, manifest("orders", rack(A)))
    rig.io.script(A, PORT, BlackHole())
    rig.io.script(B, PORT, BlackHole())
    slow = {**CHECK, "timeoutSeconds": 30}
    result = await one(rig, manifest("orders", rack(A, B), checks=[slow]), timeout=20.0)
    assert result.errors == ["2 endpoints got no verdict within 20 s: their readiness stays as it is"]
    assert rig.published("orders") == {A: True, B: False}


@virtual_time
async def test_without_probing_published_readiness_stays_and_new_endpoints_are_as_declared() -> None:
    rig = Rig()
    rig.up(A)
    await one(rig, ORDERS)
    rig.down(A)
    result = await one(rig, manifest("orders", rack(A, B, C)), probe=False)
    assert not result.failed
    assert rig.published("orders") == {A: True, B: False, C: True}


@virtual_time
async def test_it_waits_until_enough_endpoints_are_ready_and_writes_what_changes_meanwhile() -> None:
    rig = Rig()
    rig.clock.call_later(12.0, rig.up, B)
    result = await one(rig, ORDERS, wait=True)
    assert result.ready_enough
    assert not result.failed
    assert rig.published("orders") == {A: False, B: True}
    assert rig.clock.monotonic() == pytest.approx(12.5, abs=1.0)


@virtual_time
async def test_waiting_ends_with_the_time_limit() -> None:
    rig = Rig()
    result = await one(rig, ORDERS, wait=True, timeout=15.0)
    assert not result.ready_enough
    assert rig.published("orders") == not_ready(A, B)
    assert rig.clock.monotonic() == pytest.approx(15.0, abs=0.1)


# ---- what is withheld ------------------------------------------------------------------------------------------------


@virtual_time
async def test_where_all_that_was_ready_fails_its_readiness_is_kept_unless_asked_otherwise() -> None:
    rig = Rig()
    rig.up(A, B)
    await one(rig, ORDERS)
    rig.down(A, B)
    result = await one(rig, ORDERS)
    assert result.failed
    assert "--allow-empty" in result.plan_withheld[0]
    assert rig.published("orders") == ready(A, B)
    result = await one(rig, ORDERS, allow_empty=True)
    assert not result.failed
    assert rig.published("orders") == not_ready(A, B)


@pytest.mark.parametrize("outcome", [Outcome.EMPTY, Outcome.GONE])
@virtual_time
async def test_an_empty_source_is_believed_only_on_demand(outcome: Outcome) -> None:
    rig = Rig()
    service = manifest("orders", feed(), checks=[])
    rig.feed().found(A)
    await one(rig, service)
    rig.feed().say(Observation(outcome))
    result = await one(rig, service)
    assert result.withheld == [
        "source 'feed' says that it has no backends: what is published stays; --allow-empty lets it go"
    ]
    assert rig.published("orders") == ready(A)
    result = await one(rig, service, allow_empty=True)
    assert not result.failed
    assert rig.published("orders") == {}


@virtual_time
async def test_what_is_withheld_of_an_empty_source_is_said_once() -> None:
    rig = Rig()
    service = manifest("orders", feed(), checks=[])
    rig.feed().found(A)
    await one(rig, service)
    rig.feed().say(Observation(Outcome.EMPTY))
    result = await one(rig, service)
    said = [*result.errors, *result.warnings, *result.withheld, *result.plan_errors, *result.plan_remarks]
    assert [line for line in said if "feed" in line] == result.withheld


@pytest.mark.parametrize("priority", [0, 1])
@virtual_time
async def test_an_empty_source_is_believed_where_that_removes_nothing(priority: int) -> None:
    rig = Rig()
    service = manifest("orders", rack(A), feed(priority=priority), checks=[])
    rig.feed().say(Observation(Outcome.EMPTY))
    results = [await one(rig, service), await one(rig, service)]
    assert not any(result.failed for result in results)
    assert results[1].warnings == ["source 'feed' says that it has no backends"]
    assert results[1].steps == []
    assert rig.published("orders") == ready(A)


@virtual_time
async def test_an_empty_standby_keeps_nothing_while_the_tier_before_it_serves() -> None:
    """What the rack no longer has cannot have been the standby's, which was not needed."""
    rig = Rig()
    rig.feed().say(Observation(Outcome.EMPTY))
    standby = feed(priority=1)
    await one(rig, manifest("orders", rack(A, B), standby, checks=[]))
    result = await one(rig, manifest("orders", rack(A), standby, checks=[]))
    assert not result.failed
    assert rig.published("orders") == ready(A)


@pytest.mark.parametrize(("priority", "policy"), [(0, {}), (1, {"minReady": 2})])
@virtual_time
async def test_what_may_have_been_of_an_empty_source_is_withheld(priority: int, policy: dict[str, Any]) -> None:
    rig = Rig()
    service = manifest("orders", rack(A), feed(priority=priority), checks=[], policy=policy)
    rig.feed().found(B)
    await one(rig, service)
    assert rig.published("orders") == ready(A, B)
    rig.feed().say(Observation(Outcome.EMPTY))
    assert (await one(rig, service)).withheld
    assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_a_command_that_writes_nothing_does_not_say_that_nothing_was_written() -> None:
    rig = Rig()
    rig.feed().fail()
    result = await one(rig, manifest("orders", feed()), write=False)
    assert result.errors == ["source 'feed': scripted; nothing was planned"]


@virtual_time
async def test_a_name_that_is_gone_beside_others_is_believed_only_on_demand() -> None:
    rig = Rig()
    service = manifest("orders", feed(), checks=[])
    rig.feed().say(several([("a", found(A)), ("b", found(B))]))
    await one(rig, service)
    rig.feed().say(several([("a", found(A, C)), ("b", Observation(Outcome.GONE))]))
    result = await one(rig, service)
    assert result.withheld == [
        "source 'feed' says that it has no backends for b: what is published stays; --allow-empty lets it go"
    ]
    assert rig.published("orders") == ready(A, B, C)
    result = await one(rig, service, allow_empty=True)
    assert not result.failed
    assert rig.published("orders") == ready(A, C)


@virtual_time
async def test_a_name_without_addresses_of_one_family_is_nothing_to_doubt() -> None:
    rig = Rig()
    service = manifest("orders", feed(), checks=[])
    rig.feed().found(A, B)
    await one(rig, service)
    rig.feed().say(several([("db A", found(A)), ("db AAAA", Observation(Outcome.EMPTY))]))
    assert not (await one(rig, service)).failed
    assert rig.published("orders") == ready(A)


def records(**targets: Observation) -> Observation:
    """A report on a set of SRV records and its targets."""
    parts = [(name, msgspec.structs.replace(part, named_by="set")) for name, part in targets.items()]
    return several([("set", Observation(Outcome.FOUND)), *parts])


@virtual_time
async def test_a_target_that_is_gone_is_believed_on_demand_only() -> None:
    rig = Rig()
    service = manifest("orders", feed(), checks=[])
    rig.feed().say(records(a=found(A), b=found(B), c=found(C)))
    await one(rig, service)
    assert rig.published("orders") == ready(A, B, C)
    rig.feed().say(records(a=found(A), b=Observation(Outcome.GONE)))
    result = await one(rig, service)
    assert result.withheld == [
        "source 'feed' says that it has no backends for b: what is published stays; --allow-empty lets it go"
    ]
    assert rig.published("orders") == ready(A, B, C)
    assert not (await one(rig, service, allow_empty=True)).failed
    assert rig.published("orders") == ready(A)


@virtual_time
async def test_a_target_that_fails_stops_its_service() -> None:
    rig = Rig()
    rig.feed().say(records(a=found(A), b=Observation(Outcome.ERROR, detail="SERVFAIL")))
    result = await one(rig, manifest("orders", feed(), checks=[]))
    assert result.errors == ["source 'feed': b: SERVFAIL; nothing was written"]


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SUSPECT])
@virtual_time
async def test_a_source_that_may_be_stale_stops_nothing_and_loses_nothing(outcome: Outcome) -> None:
    rig = Rig()
    service = manifest("orders", rack(A, B), feed("cloud"), checks=[])
    rig.feed("cloud").found(C)
    await one(rig, service)
    rig.feed("cloud").fail(outcome)
    changed = manifest("orders", rack(A, D), feed("cloud"), checks=[])
    assert (await one(rig, changed)).failed
    assert rig.published("orders") == ready(A, B, C)
    result = await one(rig, changed, allow_stale=frozenset({"cloud"}))
    assert not result.failed
    assert result.warnings == ["source 'cloud' is stale, as was allowed: what is published stays"]
    assert rig.published("orders") == ready(A, B, C, D)


@virtual_time
async def test_an_empty_source_of_a_new_service_is_a_warning() -> None:
    rig = Rig()
    rig.feed().say(Observation(Outcome.EMPTY))
    result = await one(rig, manifest("orders", feed()))
    assert not result.failed
    assert result.warnings == ["source 'feed' says that it has no backends"]
    assert rig.has_service("orders")


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.SUSPECT])
@virtual_time
async def test_a_source_that_fails_stops_its_service_and_no_other(outcome: Outcome) -> None:
    rig = Rig()
    rig.feed().fail(outcome)
    broken, sound = await rig.once(manifest("broken", feed(), rack(A), checks=[]), PLAIN)
    assert broken.errors == ["source 'feed': scripted; nothing was written"]
    assert not rig.has_service("broken")
    assert not sound.failed
    assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_a_source_that_says_nothing_is_given_up() -> None:
    rig = Rig()
    result = await one(rig, manifest("orders", feed()))
    assert result.errors == ["source 'feed': the source did not report within 10 s; nothing was written"]


# ---- tiers -----------------------------------------------------------------------------------------------------------

STANDBY = rack(B, name="standby", priority=1)
TIERED = manifest("orders", rack(A), STANDBY, policy={"failbackDelay": "60s"})
BOTH = {A: False, B: True}


async def served_by_the_standby(service: dict[str, Any] = TIERED) -> Rig:
    """A service whose first tier was down at the last pass, and is up since."""
    rig = Rig()
    rig.up(B)
    await one(rig, service)
    assert rig.published("orders") == BOTH
    rig.up(A)
    return rig


@virtual_time
async def test_a_standby_goes_at_once_when_the_tiers_before_it_are_proven() -> None:
    rig = await served_by_the_standby()
    assert not (await one(rig, TIERED)).failed
    assert rig.published("orders") == ready(A)


@virtual_time
async def test_a_standby_stays_where_nothing_is_probed() -> None:
    rig = await served_by_the_standby()
    await one(rig, TIERED, probe=False)
    assert rig.published("orders") == BOTH
    replaced = manifest("orders", rack(C), STANDBY, policy={"failbackDelay": "60s"})
    await one(rig, replaced, probe=False)
    assert rig.published("orders") == ready(B, C)


@virtual_time
async def test_a_standby_stays_where_an_endpoint_has_no_verdict_in_time() -> None:
    rig = await served_by_the_standby()
    rig.io.script(A, PORT, BlackHole())
    slow = {**CHECK, "timeoutSeconds": 60}
    await one(rig, manifest("orders", rack(A), STANDBY, checks=[slow]), timeout=5)
    assert rig.published("orders")[B] is True


@virtual_time
async def test_a_standby_stays_while_a_source_may_be_stale() -> None:
    rig = await served_by_the_standby()
    rig.feed().fail()
    stale = manifest("orders", rack(A), STANDBY, feed(priority=2))
    await one(rig, stale, allow_stale=frozenset({"feed"}))
    assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_a_source_is_told_how_long_it_is_waited_for() -> None:
    rig = Rig()
    rig.feed().found(A)
    told: list[float] = []

    def create(kind: str, config: Any, context: SourceContext) -> Source:
        told.append(context.patience)
        return rig.feed()

    rig.world = msgspec.structs.replace(rig.world, create_source=create)
    await one(rig, manifest("orders", feed(), checks=[]))
    await one(rig, manifest("orders", feed(), checks=[]), timeout=3.0)
    assert told == [SOURCE_TIMEOUT, 3.0]


# ---- policies --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_upsert_only_lets_no_endpoint_and_no_object_leave() -> None:
    rig = Rig()
    rig.up(A, B, C)
    await one(rig, ORDERS)
    rig.down(A)
    both = manifest("orders", rack(A, C), publish=["EndpointSlice"])
    result = await one(rig, both, policy="upsert-only")
    assert not result.failed
    assert rig.slices("orders") == {A: False, B: True, C: True}
    assert set(rig.endpoints("orders")) == {A, B}


@virtual_time
async def test_create_only_makes_what_is_missing_and_touches_nothing() -> None:
    rig = Rig()
    await one(rig, PLAIN)
    before = rig.versions()
    changed, new = await rig.once(
        manifest("orders", rack(C), checks=[], service={"sessionAffinity": "ClientIP"}),
        manifest("carts", rack(C), checks=[]),
        policy="create-only",
    )
    assert (changed.failed, new.failed) == (False, False)
    assert before.items() <= rig.versions().items()
    assert rig.published("carts") == ready(C)


# ---- without writing -------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_dry_run_writes_nothing_and_shows_all_that_would_be_written() -> None:
    rig = Rig()
    result = await one(rig, PLAIN, write=False)
    assert done(result) == ["ApplyService", "Create", "Create"]
    assert isinstance(result.steps[0].after, Service)
    assert rig.versions() == {}


@virtual_time
async def test_a_dry_run_of_what_is_there_shows_the_objects_before() -> None:
    rig = Rig()
    await one(rig, PLAIN)
    before = rig.versions()
    result = await one(rig, manifest("orders", rack(A), checks=[]), write=False)
    assert done(result) == ["Update", "Update"]
    assert all(step.before is not None for step in result.steps)
    assert done(await one(rig, PLAIN, write=False)) == []
    assert rig.versions() == before


@virtual_time
async def test_a_dry_run_needs_no_right_to_write() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: Fault(error=Forbidden("scripted")) if verb == "apply" else None
    result = await one(rig, PLAIN, write=False)
    assert not result.failed
    assert done(result) == ["ApplyService", "Create", "Create"]


@virtual_time
async def test_a_dry_run_tells_what_the_server_would_refuse() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: Fault(error=Invalid("scripted: no such family")) if verb == "apply" else None
    result = await one(rig, PLAIN, write=False)
    assert result.errors == ["apply service/orders failed: scripted: no such family"]


# ---- a cluster that does not make it easy ----------------------------------------------------------------------------


@virtual_time
async def test_a_second_pass_finds_nothing_to_do() -> None:
    rig = Rig()
    await one(rig, PLAIN)
    with rig.recorded() as writes:
        assert done(await one(rig, PLAIN)) == []
    assert writes == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(error=Conflict("scripted")),
        Fault(error=Unavailable("scripted")),
        Fault(error=TooManyRequests("scripted", retry_after=3.0)),
        Fault(lost=True),
    ],
    ids=["conflict", "away", "throttled", "answer lost"],
)
@virtual_time
async def test_what_may_do_better_the_next_time_is_tried_again(fault: Fault) -> None:
    rig = Rig()
    await one(rig, PLAIN)
    faults = [fault] * 2
    rig.faults = lambda verb, kind, at: faults.pop() if faults and verb == "update" else None
    result = await one(rig, manifest("orders", rack(C), checks=[]))
    assert not result.failed
    assert rig.published("orders") == ready(C)


@virtual_time
async def test_what_stays_refused_is_told_and_the_other_services_are_written() -> None:
    rig = Rig()
    await one(rig, PLAIN)

    def forbidden(verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
        return Fault(error=Forbidden("scripted: no rights")) if verb == "update" and kind is Endpoints else None

    rig.faults = forbidden
    refused, other = await rig.once(
        manifest("orders", rack(C), checks=[]), manifest("carts", rack(C), checks=[]), timeout=20.0
    )
    assert refused.errors == [f"update endpoints/orders failed: scripted: no rights{FORBIDDEN_CURE}"]
    assert not other.failed
    assert rig.published("carts") == ready(C)
    assert rig.clock.monotonic() < 10


@virtual_time
async def test_an_api_server_that_stays_away_ends_the_pass_in_time() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: (
        Fault(error=Unavailable("scripted: away")) if verb in ("create", "update", "apply") else None
    )
    result = await one(rig, PLAIN, timeout=20.0)
    assert result.errors == ["apply service/orders failed: scripted: away"]
    assert rig.clock.monotonic() <= 20.0


@virtual_time
async def test_a_cluster_that_cannot_be_read_is_an_error_before_anything_is_written() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: Fault(error=Unavailable("scripted: away")) if verb in ("get", "list") else None
    with rig.recorded() as writes, pytest.raises(Unavailable, match="away"):
        await one(rig, PLAIN)
    assert writes == []


@virtual_time
async def test_a_namespace_that_is_going_away_ends_the_pass_with_the_reason() -> None:
    rig = Rig()
    rig.store.put(Service, flat_service("orders"))
    rig.store.terminate_namespace(NAMESPACE)
    result = await one(rig, manifest("orders", rack(A), service=None, checks=[]))
    assert result.failed
    assert "being terminated" in result.errors[0]


@virtual_time
async def test_a_service_that_has_to_exist_and_does_not_is_an_error_with_its_cure() -> None:
    result = await one(Rig(), manifest("orders", rack(A), service=None, checks=[]))
    assert result.plan_errors[0].startswith("there is no Service test/orders: create it")


@pytest.mark.parametrize("delay", [1.0, 30.0])
@virtual_time
async def test_a_change_of_the_way_of_publishing_waits_for_the_mirror(delay: float) -> None:
    rig = Rig(controller_delay=delay)
    async with rig.store.running():
        await one(rig, PLAIN)
        await rig.clock.sleep(60)
        result = await one(rig, manifest("orders", rack(A, B), checks=[], publish=["Endpoints"]))
        assert not result.failed
        managers = {
            s["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for s in rig.slice_objects("orders")
        }
        assert managers == {"endpointslicemirroring-controller.k8s.io"}
        assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_where_there_is_no_mirror_our_slices_stay_and_the_pass_fails() -> None:
    rig = Rig()
    await one(rig, PLAIN)
    result = await one(rig, manifest("orders", rack(A, B), checks=[], publish=["Endpoints"]), timeout=20.0)
    assert "our slices go when" in result.errors[0]
    assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_a_budget_of_writes_that_is_used_up_is_waited_for() -> None:
    rig = Rig()
    async with rig.store.running():
        await one(rig, manifest("orders", rack(A, B), checks=[], publish=["Endpoints"]))
        await rig.clock.sleep(10)
        slow = manifest("orders", rack(A, C), checks=[], policy={"writesPerMinute": 1})
        result = await one(rig, slow, timeout=300.0)
        assert not result.failed
        assert rig.published("orders") == ready(A, C)


@virtual_time
async def test_external_name_is_applied_and_needs_no_ready_endpoint() -> None:
    rig = Rig()
    alias = {"service": {"type": "ExternalName", "externalName": "db.example.com"}, "ports": [], "checks": []}
    result = await one(rig, manifest("orders", **alias), wait=True)
    assert (result.failed, result.ready_enough) == (False, True)
    assert done(result) == ["ApplyService"]


@virtual_time
async def test_progress_says_what_is_being_done() -> None:
    rig, texts = Rig(), list[str]()
    await Once(rig.world, OnceOptions(), progress=texts.append).run(prepared(ORDERS))
    assert texts[0] == "reading the cluster and the sources"
    assert "probing: 2 endpoints without a verdict yet" in texts
    assert texts[-1] == "writing"


@pytest.mark.parametrize("hold", ["0s", "30s"])
@virtual_time
async def test_what_an_empty_source_had_stays_however_short_its_hold_and_long_the_pass(hold: str) -> None:
    rig = Rig()
    service = manifest("orders", {**feed(), "hold": {"nodata": hold}}, checks=[])
    rig.feed().found(A)
    await one(rig, service)
    rig.feed().say(Observation(Outcome.EMPTY))
    result = await one(rig, service, wait=True, timeout=90.0)
    assert result.failed
    assert rig.slices("orders") == {A: True}


@virtual_time
async def test_a_namespace_that_is_not_there_is_said_at_once() -> None:
    rig = Rig()
    service = manifest("orders", rack(A), checks=[])
    service["metadata"]["namespace"] = "nowhere"
    before = rig.clock.monotonic()
    result = await one(rig, service)
    assert any("nowhere" in text for text in result.errors)
    assert rig.clock.monotonic() - before < 1.0
