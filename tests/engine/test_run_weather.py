"""``run`` while the API server is in trouble: it keeps probing, keeps what is published, and converges afterwards."""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from extsync.engine.options import Options
from extsync.errors import Forbidden, StoreError, TooManyRequests, Unavailable
from extsync.kube.memory import Fault
from extsync.kube.memory.faults import Faults
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.seams.virtual import virtual_time
from tests.engine.support import NAMESPACE, PERIOD, THRESHOLD, A, B, C, Rig, feed, manifest, not_ready, rack, ready

SOON = 61.0
"""Seconds: two of the longest pauses between attempts, and a little."""
REFUSED = Unavailable("ask it: cannot connect to the server: Connection refused", connected=False)


def plain(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:
    """A manifest without checks, whose backends are ready as declared."""
    return manifest(name, rack(*addresses), checks=[], **spec)


def always(fault: Fault) -> Faults:
    """Every request meets ``fault``."""
    return lambda verb, kind, at: None if verb == "event" else fault


def on_write(error: StoreError, only: type[KubeObject] = KubeObject) -> Faults:
    """Every request that would change an object of the kind ``only`` meets ``error``."""
    verbs = ("create", "update", "delete", "apply")
    return lambda verb, kind, at: Fault(error=error) if verb in verbs and issubclass(kind, only) else None


def cut(rig: Rig) -> None:
    """Breaks all watches."""
    rig.store.restore(rig.store.backup())


# ---- away ------------------------------------------------------------------------------------------------------------


def weight(root: object) -> int:
    """How many elements the containers have that can be reached from ``root`` through objects of extsync."""
    seen: set[int] = set()
    queue: deque[object] = deque([root])
    total = 0
    while queue:
        one = queue.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict | list | tuple | set | deque):
            total += len(one)
        queue.extend(_parts(one))
    return total


def _parts(one: object) -> Iterator[object]:
    for part in gc.get_referents(one):
        module = type(part).__module__
        if module.startswith("extsync.") or isinstance(part, dict | list | tuple | set | deque):
            yield part


@pytest.mark.parametrize(
    "fault", [Fault(error=REFUSED), Fault(before=1e9), Fault(error=TooManyRequests("busy", 5.0))], ids=repr
)
@virtual_time
async def test_an_hour_without_an_api_server_makes_nothing_grow_and_ends_in_the_newest_state(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"s{number}" for number in range(8)]
    rig = Rig()
    rig.up(A, B)
    sources = {name: rig.feed(name) for name in names}
    for source in sources.values():
        source.found(A)

    async def restless(seconds: float) -> None:
        end = rig.clock.monotonic() + seconds
        turn = 0
        while rig.clock.monotonic() < end:
            turn += 1
            (rig.up if turn % 2 else rig.down)(A)
            for number, source in enumerate(sources.values()):
                source.found(*((A,), (A, B), (A, C), (B, C))[(turn + number) % 4])
            await rig.clock.sleep(7.0)

    async with rig.running(*(manifest(name, feed(name)) for name in names)):
        for name in names:
            await rig.until(rig.agree(name, ready(A)), within=60)
        rig.faults = always(fault)
        cut(rig)
        await restless(600)
        rig.requests.clear()
        gc.collect()
        before = weight(rig.engine)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            await restless(3000)
        asked = len(rig.requests)
        rig.requests.clear()
        gc.collect()
        assert weight(rig.engine) <= before * 1.1
        assert not [record for record in caplog.records if "API" in record.message or "connect" in record.message]
        assert asked < 2000  # 50 minutes, three watches, eight services that change every seven seconds
        rig.faults = None
        rig.up(A)
        for source in sources.values():
            source.found(A, B)
        for name in names:
            await rig.until(rig.agree(name, ready(A, B)), within=SOON + 3 * PERIOD)


@virtual_time
async def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.up(A, B)
    names = [f"s{number}" for number in range(20)]
    async with rig.running(*(manifest(name, rack(A, B)) for name in names)):
        for name in names:
            await rig.until(rig.agree(name, ready(A, B)), within=60)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            rig.faults = always(Fault(error=REFUSED))
            cut(rig)
            rig.down(B)
            await rig.clock.sleep(600)
            rig.faults = None
            for name in names:
                await rig.until(rig.agree(name, ready(A) | not_ready(B)), within=SOON)
            await rig.clock.sleep(SOON)
    said = [record.message for record in caplog.records if "connect to" in record.message]
    assert len(said) == 2
    assert said[0].endswith("Connection refused; extsync goes on with what it has, and tries again")
    assert said[1].startswith("over after 6")


@virtual_time
async def test_a_server_that_is_not_there_is_not_asked_by_each_service_again_and_again() -> None:
    rig = Rig()
    rig.up(A)
    names = [f"s{number}" for number in range(50)]
    async with rig.running(*(manifest(name, rack(A), publish=["EndpointSlice"]) for name in names)):
        for name in names:
            await rig.until(lambda name=name: rig.slices(name) == ready(A), within=60)  # type: ignore[misc]
        rig.faults = on_write(REFUSED)
        rig.down(A)
        with rig.recorded() as writes:
            await rig.clock.sleep(PERIOD * THRESHOLD + 300)
        assert 10 < len(writes) < 100  # four at a time may find out
        rig.faults = None
        for name in names:
            await rig.until(lambda name=name: rig.slices(name) == not_ready(A), within=SOON)  # type: ignore[misc]


@virtual_time
async def test_a_server_that_asks_for_time_gets_it_from_all_services() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A)):
        await rig.until(rig.agree("carts", ready(A)), within=2)
        rig.faults = on_write(TooManyRequests("busy", 40.0))
        with rig.recorded() as writes:
            rig.manifests.put(plain("orders", A, B), plain("carts", A, B))
            await rig.clock.sleep(39)
        assert len({write.name for write in writes}) <= 2  # both may have been under way
        assert len(writes) <= 2
        rig.faults = None
        await rig.until(rig.agree("orders", ready(A, B)), within=5)
        await rig.until(rig.agree("carts", ready(A, B)), within=5)


@virtual_time
async def test_a_429_about_one_object_leaves_all_others_alone_and_is_tried_ever_more_seldom() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A)):
        await rig.until(rig.agree("carts", ready(A)), within=2)
        refuse = on_write(TooManyRequests("a rule"))
        rig.faults = lambda verb, kind, at: refuse(verb, kind, at) if at[1].startswith("orders") else None
        with rig.recorded() as writes:
            rig.manifests.put(plain("orders", A, B), plain("carts", A, B))
            await rig.until(rig.agree("carts", ready(A, B)), within=2)
            for number in range(60):  # were it an outage, each of these writes would be a reason to try again
                rig.manifests.put(plain("orders", A, B), plain("carts", A, C if number % 2 else B))
                await rig.clock.sleep(2)
        assert 10 <= sum(write.name.startswith("orders") for write in writes) <= 20
        assert sum(write.name.startswith("carts") for write in writes) > 60
        rig.faults = None
        await rig.until(rig.agree("orders", ready(A, B)), within=31)


# ---- back with older data --------------------------------------------------------------------------------------------


def overtake(rig: Rig) -> None:
    """Somebody writes so much that the version of the lost data is reached again."""
    for number in range(100):
        rig.store.put(
            Service, {"metadata": {"name": f"o{number}", "namespace": NAMESPACE}, "spec": {"ports": [{"port": 1}]}}
        )


@pytest.mark.parametrize(("away", "overtaken"), [(0.0, False), (90.0, False), (90.0, True)])
@virtual_time
async def test_older_data_is_brought_up_to_date_within_a_minute(away: float, overtaken: bool) -> None:
    """As soon as watches have broken: whatever was published, changed and deleted since the backup."""
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A), plain("gone", A)):
        await rig.until(rig.agree("gone", ready(A)), within=2)
        backup = rig.store.backup()
        rig.manifests.put(plain("orders", A, B), plain("carts", C), plain("new", B))
        await rig.until(rig.agree("new", ready(B)), within=2)
        await rig.until(lambda: not rig.has_service("gone"), within=90)
        rig.store.remove(EndpointSlice, NAMESPACE, rig.slice_objects("carts")[0]["metadata"]["name"])
        await rig.until(rig.agree("carts", ready(C)), within=2)
        await rig.clock.sleep(1)
        rig.faults = always(Fault(error=REFUSED)) if away else None
        rig.store.restore(backup)
        if overtaken:
            overtake(rig)
        await rig.clock.sleep(away)
        rig.faults = None
        await rig.until(rig.agree("orders", ready(A, B)), within=SOON)
        await rig.until(rig.agree("carts", ready(C)), within=SOON)
        await rig.clock.sleep(SOON)
        assert rig.published("new") == ready(B)
        with rig.recorded() as writes:
            await rig.clock.sleep(900)
        assert not writes
        assert rig.published("orders") == ready(A, B)


@virtual_time
async def test_older_data_show_in_the_answer_to_a_write_although_watches_go_on_too_late_to_see_it() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A)):
        await rig.until(rig.agree("carts", ready(A)), within=2)
        backup = rig.store.backup()
        for address in (B, C, B, C):
            rig.manifests.put(plain("orders", A), plain("carts", address))
            await rig.until(rig.agree("carts", ready(address)), within=2)
        await rig.clock.sleep(1)
        rig.store.restore(backup)
        rig.manifests.put(plain("orders", A, B), plain("carts", C))
        await rig.until(rig.agree("orders", ready(A, B)), within=0.5)
        overtake(rig)
        await rig.until(rig.agree("carts", ready(C)), within=2 * SOON)


@virtual_time
async def test_older_data_show_where_an_object_is_older_than_an_update_took_it_for() -> None:
    """Nothing was written by extsync before the version of the lost data was reached again."""
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A)):
        await rig.until(rig.agree("carts", ready(A)), within=2)
        backup = rig.store.backup()
        rig.manifests.put(plain("orders", A), plain("carts", B))
        await rig.until(rig.agree("carts", ready(B)), within=2)
        await rig.clock.sleep(1)
        rig.store.restore(backup)
        overtake(rig)
        await rig.clock.sleep(10)
        rig.manifests.put(plain("orders", A), plain("carts", C))
        await rig.until(rig.agree("carts", ready(C)), within=2 * SOON)


@virtual_time
async def test_where_one_slice_is_not_as_the_watch_has_told_all_of_the_service_are_read_again() -> None:
    """One that is new beside others that are old would show an endpoint in two slices or in none."""
    rig = Rig()
    spec = plain("orders", A, B, C, policy={"maxEndpointsPerSlice": 1})
    async with rig.running(spec):
        await rig.until(rig.agree("orders", ready(A, B, C)), within=2)
        rig.faults = lambda verb, kind, at: Fault(before=60.0) if verb == "event" else None
        for body in rig.slice_objects("orders"):
            rig.store.put(EndpointSlice, {**body, "endpoints": []})
        rig.manifests.put({**spec, "metadata": {**spec["metadata"], "labels": {"team": "a"}}})
        await rig.until(rig.agree("orders", ready(A, B, C)), within=5)
        assert rig.engine._store.requests.failed["update", "EndpointSlice", "409"] == 1


# ---- refusals --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_namespace_that_is_deleted_and_made_anew_is_filled_again(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.running(plain("orders", A)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        body = rig.store.raw(Service, NAMESPACE, "orders")
        body["metadata"]["finalizers"] = ["example.com/held"]
        rig.store.put(Service, body)
        rig.store.terminate_namespace(NAMESPACE)
        await rig.clock.sleep(300)
        body = rig.store.raw(Service, NAMESPACE, "orders")
        body["metadata"]["finalizers"] = []
        rig.store.put(Service, body)
        await rig.until(lambda: not rig.has_service("orders"), within=10)
        await rig.clock.sleep(120)
        rig.store.create_namespace(NAMESPACE)
        await rig.until(rig.agree("orders", ready(A)), within=SOON)
    assert caplog.text.count("its namespace is being deleted") == 1


@virtual_time
async def test_a_write_without_an_answer_that_may_not_be_read_keeps_nothing_from_being_written() -> None:
    rig = Rig()
    async with rig.running(plain("orders", A, publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("orders") == ready(A), within=1)
        lost = [Fault(lost=True)]

        def faults(verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
            if verb == "get":
                return Fault(error=Forbidden("get it: no right"))
            return lost.pop() if verb == "update" and lost else None

        rig.faults = faults
        rig.manifests.put(plain("orders", A, B, publish=["EndpointSlice"]))
        await rig.until(lambda: rig.slices("orders") == ready(A, B), within=1)
        await rig.clock.sleep(5)
        rig.manifests.put(plain("orders", A, C, publish=["EndpointSlice"]))
        await rig.until(lambda: rig.slices("orders") == ready(A, C), within=SOON)


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (Forbidden("write it: x is forbidden: exceeded quota: few, used: 1, limited: 1"), "raise that ResourceQuota"),
        (Forbidden('write it: admission webhook "w.example" denied the request: no'), "has to let extsync write"),
        (Forbidden("write it: User cannot create resource"), "clusterrole.yaml has the rights"),
        (
            Unavailable('write it: Internal error: failed calling webhook "w.example": refused'),
            "see to it that it answers",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@virtual_time
async def test_a_refusal_is_told_once_with_its_cure_and_retried_while_others_are_written(
    error: StoreError, cure: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    async with rig.running(plain("orders", A), plain("carts", A)):
        await rig.until(rig.agree("orders", ready(A)), within=2)
        await rig.until(rig.agree("carts", ready(A)), within=2)
        refuse = on_write(error, Endpoints)
        rig.faults = lambda verb, kind, at: refuse(verb, kind, at) if at[1] == "orders" else None
        with rig.recorded() as writes:
            rig.manifests.put(plain("orders", A, B), plain("carts", A, B))
            await rig.until(rig.agree("carts", ready(A, B)), within=1)
            await rig.clock.sleep(600)
        assert 15 < sum(write.kind is Endpoints and write.name == "orders" for write in writes) < 40
        assert rig.slices("orders") == ready(A, B)
        told = [record.message for record in caplog.records if error.cause in record.message]
        assert len(told) == 1
        assert cure in told[0]
        rig.faults = None
        await rig.until(rig.agree("orders", ready(A, B)), within=SOON)


# ---- some are not answered -------------------------------------------------------------------------------------------

OTHER = "other"
HANGS = Unavailable("write it: Internal error: failed calling webhook: context deadline exceeded")


@virtual_time
async def test_writes_that_hang_in_one_namespace_do_not_keep_those_of_another_waiting() -> None:
    """Forty services of the one are tried all the time; each attempt takes a worker for ten seconds."""
    rig = Rig(options=Options(namespaces=(NAMESPACE, OTHER)))
    rig.store.create_namespace(OTHER)
    stuck = [f"stuck{number}" for number in range(40)]
    spec: dict[str, Any] = {"checks": [], "publish": ["EndpointSlice"]}
    free = manifest("free", feed("free"), **spec)
    free["metadata"]["namespace"] = OTHER

    def shown() -> list[str]:
        slices = rig.store.dump(EndpointSlice, OTHER)
        return sorted(one["addresses"][0] for slice_ in slices for one in slice_.get("endpoints") or ())

    for name in (*stuck, "free"):
        rig.feed(name).found(A)
    async with rig.running(free, *(manifest(name, feed(name), **spec) for name in stuck)):
        for name in stuck:
            await rig.until(lambda name=name: rig.slices(name) == ready(A), within=30)  # type: ignore[misc]
        rig.faults = lambda verb, kind, at: (
            Fault(before=10.0, error=HANGS) if verb == "update" and at[0] == NAMESPACE else None
        )
        for name in stuck:
            rig.feed(name).found(A, B)
        for number, within in enumerate((21.0, *[0.5] * 30)):  # at first each worker finds it out for itself
            addresses = (B,) if number % 2 else (A, B)
            rig.feed("free").found(*addresses)
            await rig.until(lambda addresses=addresses: shown() == sorted(addresses), within=within)  # type: ignore[misc]
            await rig.clock.sleep(7.0)
        rig.faults = None
        for name in stuck:
            await rig.until(lambda name=name: rig.slices(name) == ready(A, B), within=SOON)  # type: ignore[misc]


@virtual_time
async def test_what_fails_is_not_tried_more_often_because_others_are_written() -> None:
    rig = Rig()
    rig.feed("feed").found(A)
    spec: dict[str, Any] = {"checks": [], "publish": ["EndpointSlice"]}
    async with rig.running(manifest("orders", feed(), **spec), plain("carts", A, publish=["EndpointSlice"])):
        await rig.until(lambda: rig.slices("carts") == ready(A), within=2)
        refuse = on_write(HANGS)
        rig.faults = lambda verb, kind, at: refuse(verb, kind, at) if at[1].startswith("carts") else None
        with rig.recorded() as writes:
            rig.manifests.put(manifest("orders", feed(), **spec), plain("carts", A, B, publish=["EndpointSlice"]))
            for number in range(300):
                rig.feed("feed").found(A, *((B,) if number % 2 else ()))
                await rig.clock.sleep(2.0)
        assert sum(write.name.startswith("orders") for write in writes) > 250
        assert 15 < sum(write.name.startswith("carts") for write in writes) < 40
