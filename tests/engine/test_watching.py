"""Sources that live in the cluster: one watch for all who ask the same, and pods published by the engine."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from extsync.engine.watching import LAST_APPLIED, Watching
from extsync.errors import Forbidden, StoreError, Unavailable
from extsync.kube.memory import Fault, MemoryStore
from extsync.objects import ZONE_LABEL, KubeObject, Node, Pod
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.engine.support import NAMESPACE, Rig, manifest, not_ready, rack, ready

CLOCK = VirtualClock()
MACHINE = "198.51.100.1"
PODS = {"name": "pods", "pods": {"selector": {"matchLabels": {"app": "db"}}}}
DENIED = Forbidden("pods is forbidden")


def pod(
    name: str, ip: str, *, ready: bool = True, app: str = "db", node: str = "node-1", **metadata: Any
) -> dict[str, Any]:
    """A pod as kubelets leave it, as plain JSON."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": app}, **metadata},
        "spec": {"nodeName": node, "hostname": name},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": str(ready)}],
        },
    }


def node(name: str, zone: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {ZONE_LABEL: zone, "kubernetes.io/os": "linux"}, **metadata}}


class Cluster:
    """A store with some pods, and a Watching on it; ``reads`` are the watches that were opened."""

    def __init__(self) -> None:
        self.reads: list[type[KubeObject]] = []
        self.error: Exception | None = None
        self.store = MemoryStore(
            clock=CLOCK, random=SeededRandom(1), namespaces=[NAMESPACE, "other"], faults=self._fault
        )
        self.watching = Watching(self.store, clock=CLOCK, random=SeededRandom(2))
        self.heard = 0

    def _fault(self, verb: str, kind: type[KubeObject], at: tuple[str, str]) -> Fault | None:
        if verb == "watch":
            self.reads.append(kind)
        if isinstance(self.error, StoreError):
            return Fault(error=self.error)
        if self.error is not None:
            raise self.error
        return None

    def hear(self) -> None:
        self.heard += 1

    def pods(self, *, selector: str = "app=db", namespace: str | None = NAMESPACE) -> Any:
        return self.watching.watch(Pod, namespace=namespace, label_selector=selector, on_change=self.hear)

    def nodes(self) -> Any:
        return self.watching.watch(Node, namespace=None, on_change=self.hear)

    def take_heard(self) -> int:
        heard, self.heard = self.heard, 0
        return heard


def names(watched: Any) -> list[str]:
    return [obj.metadata.name for obj in watched.all()]


# ---- sharing ---------------------------------------------------------------------------------------------------------


@virtual_time
async def test_what_several_ask_for_is_read_once() -> None:
    cluster = Cluster()
    cluster.store.put(Pod, pod("a", "192.0.2.1"))
    async with cluster.pods() as one, cluster.pods() as other:
        await CLOCK.sleep(1)
        assert names(one) == names(other) == ["a"]
        assert cluster.reads == [Pod]


@pytest.mark.parametrize("other", [{"selector": "app=web"}, {"namespace": "other"}, {"namespace": None}])
@virtual_time
async def test_another_question_is_another_watch(other: dict[str, Any]) -> None:
    cluster = Cluster()
    cluster.store.put(Pod, pod("a", "192.0.2.1"))
    async with cluster.pods() as one, cluster.pods(**other) as second:
        await CLOCK.sleep(1)
        assert cluster.reads == [Pod, Pod]
        assert (names(one), names(second)) == (["a"], ["a"] if other == {"namespace": None} else [])


@virtual_time
async def test_a_watch_ends_with_the_last_who_wanted_it() -> None:
    cluster = Cluster()
    before = asyncio.all_tasks()
    async with cluster.pods() as kept:
        async with cluster.pods():
            await CLOCK.sleep(1)
        cluster.store.put(Pod, pod("a", "192.0.2.1"))
        await CLOCK.sleep(1)
        assert names(kept) == ["a"]
    assert asyncio.all_tasks() == before
    async with cluster.pods() as again:
        await CLOCK.sleep(1)
        assert (names(again), cluster.reads) == (["a"], [Pod, Pod])


@virtual_time
async def test_a_watch_that_is_cancelled_leaves_nothing_behind() -> None:
    cluster = Cluster()
    before = asyncio.all_tasks()

    async def source() -> None:
        async with cluster.pods():
            await asyncio.Event().wait()

    task = asyncio.create_task(source())
    await CLOCK.sleep(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert asyncio.all_tasks() == before


# ---- what is heard ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_changes_are_heard_and_the_first_full_answer_too() -> None:
    cluster = Cluster()
    async with cluster.pods() as watched:
        assert not watched.is_synced
        await CLOCK.sleep(1)
        assert (watched.is_synced, cluster.take_heard()) == (True, 1)
        for change in (pod("a", "192.0.2.1"), pod("a", "192.0.2.1", ready=False), pod("a", "192.0.2.1", app="web")):
            cluster.store.put(Pod, change)
            await CLOCK.sleep(1)
            assert cluster.take_heard() == 1
        assert names(watched) == []  # it is selected no more
        cluster.store.put(Pod, pod("b", "192.0.2.2", app="web"))
        await CLOCK.sleep(1)
        assert cluster.take_heard() == 0


@virtual_time
async def test_a_change_of_what_nobody_looks_at_is_not_heard() -> None:
    cluster = Cluster()
    cluster.store.put(Node, node("node-1", "dc-1a"))
    async with cluster.nodes() as nodes:
        await CLOCK.sleep(1)
        cluster.take_heard()
        cluster.store.put(Node, node("node-1", "dc-1a", annotations={"example.com/heartbeat": "1"}))
        await CLOCK.sleep(1)
        assert cluster.take_heard() == 0
        cluster.store.put(Node, node("node-1", "dc-1b"))
        await CLOCK.sleep(1)
        assert cluster.take_heard() == 1
        assert nodes.all()[0].labels == {ZONE_LABEL: "dc-1b"}


@virtual_time
async def test_only_what_sources_use_is_kept_of_a_pod() -> None:
    cluster = Cluster()
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1"}
    body = pod(
        "a",
        "192.0.2.1",
        annotations={LAST_APPLIED: "{}", "example.com/shard": "7"},
        finalizers=["example.com/x"],
        ownerReferences=[{**owner, "controller": True}, {**owner, "kind": "ConfigMap", "uid": "2"}],
    )
    uid = cluster.store.put(Pod, body)["metadata"]["uid"]
    async with cluster.pods() as pods:
        await CLOCK.sleep(1)
        [kept] = pods.all()
    assert (kept.metadata.uid, kept.labels, kept.annotations) == (uid, {"app": "db"}, {"example.com/shard": "7"})
    assert [one.kind for one in kept.metadata.owner_references] == ["StatefulSet"]
    assert [one.type for one in kept.status.conditions] == ["Ready"]
    assert (kept.metadata.finalizers, kept.metadata.creation_timestamp) == (None, None)
    assert (kept.spec.node_name, kept.status.pod_ip) == ("node-1", "192.0.2.1")


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_error_and_its_end_are_heard_and_the_objects_stay() -> None:
    cluster = Cluster()
    cluster.store.put(Pod, pod("a", "192.0.2.1"))
    async with cluster.pods() as watched:
        await CLOCK.sleep(1)
        cluster.take_heard()
        cluster.error = Unavailable("the API server is away")
        cluster.store.put(Pod, pod("b", "192.0.2.2"))
        await CLOCK.sleep(1)
        assert (watched.error, cluster.take_heard()) == (cluster.error, 1)
        assert names(watched) == ["a"]
        cluster.error = None
        await CLOCK.sleep(60)
        assert (watched.error, names(watched)) == (None, ["a", "b"])
        assert cluster.take_heard() >= 1


@virtual_time
async def test_a_defect_ends_one_watch_only_and_the_next_who_asks_gets_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster()
    async with cluster.nodes() as nodes, cluster.pods() as watched:
        await CLOCK.sleep(1)
        cluster.take_heard()
        cluster.error = RuntimeError("a defect")
        with caplog.at_level(logging.ERROR, "extsync.engine.watching"):
            cluster.store.put(Pod, pod("a", "192.0.2.1"))
            await CLOCK.sleep(1)
        assert (watched.error, nodes.error, cluster.heard) == (cluster.error, None, 1)
        assert [record.message for record in caplog.records] == ["watch-pods-test-app=db: the watch ended"]
        cluster.error = None
        async with cluster.pods() as another:
            await CLOCK.sleep(1)
            assert (names(another), names(watched)) == (["a"], [])


@virtual_time
async def test_a_listener_that_fails_keeps_the_others_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("a plugin's defect")

    cluster = Cluster()
    failing = cluster.watching.watch(Pod, namespace=NAMESPACE, label_selector="app=db", on_change=fail)
    with caplog.at_level(logging.ERROR, "extsync.engine.watching"):
        async with failing, cluster.pods() as watched:
            await CLOCK.sleep(1)
            cluster.store.put(Pod, pod("a", "192.0.2.1"))
            await CLOCK.sleep(1)
            assert (cluster.heard, names(watched)) == (2, ["a"])
    assert len(caplog.records) == 2


# ---- by the engine ---------------------------------------------------------------------------------------------------


def hybrid(**spec: Any) -> dict[str, Any]:
    """Pods and a machine in one Endpoints object."""
    return manifest("db", PODS, rack(MACHINE), publish=["Endpoints"], checks=[], **spec)


@virtual_time
async def test_pods_and_machines_are_in_one_endpoints_object_that_follows_the_pods() -> None:
    rig = Rig()
    rig.store.put(Node, node("node-1", "dc-1a"))
    rig.store.put(Pod, pod("db-0", "192.0.2.1"))
    rig.store.put(Pod, pod("db-1", "192.0.2.2", ready=False, finalizers=["example.com/slow"]))
    async with rig.running(hybrid()):
        await rig.until(lambda: rig.endpoints("db") == ready("192.0.2.1", MACHINE) | not_ready("192.0.2.2"), within=3)
        rig.store.put(Pod, pod("db-1", "192.0.2.2", finalizers=["example.com/slow"]))
        await rig.until(lambda: rig.endpoints("db") == ready("192.0.2.1", "192.0.2.2", MACHINE), within=2)
        rig.store.remove(Pod, NAMESPACE, "db-1")  # it has time to finish
        await rig.until(lambda: rig.endpoints("db")["192.0.2.2"] is False, within=2)
        rig.store.put(Pod, pod("db-0", "192.0.2.1", app="web"))
        await rig.until(lambda: "192.0.2.1" not in rig.endpoints("db"), within=2)
        assert rig.endpoints("db") == ready(MACHINE) | not_ready("192.0.2.2")


@virtual_time
async def test_a_restart_of_the_engine_writes_nothing() -> None:
    rig = Rig()
    rig.store.put(Node, node("node-1", "dc-1a"))
    rig.store.put(Pod, pod("db-0", "192.0.2.1"))
    slices = manifest("db", PODS, publish=["EndpointSlice"], checks=[])
    async with rig.running(slices):
        await rig.until(lambda: rig.slices("db") == ready("192.0.2.1"), within=3)
        [endpoint] = rig.slice_objects("db")[0]["endpoints"]
        assert (endpoint["zone"], endpoint["nodeName"], endpoint["hostname"]) == ("dc-1a", "node-1", "db-0")
        assert (endpoint["targetRef"]["kind"], endpoint["targetRef"]["name"]) == ("Pod", "db-0")
        with rig.recorded() as writes:
            await rig.restart(slices)
            await rig.clock.sleep(30)
    assert writes == []


@virtual_time
async def test_pods_that_cannot_be_read_remove_nothing() -> None:
    rig = Rig()
    rig.store.put(Pod, pod("db-0", "192.0.2.1"))
    async with rig.running(hybrid()):
        await rig.until(lambda: rig.endpoints("db") == ready("192.0.2.1", MACHINE), within=3)
        rig.faults = lambda verb, kind, at: Fault(error=DENIED) if kind is Pod else None
        await rig.restart(hybrid())
        rig.store.remove(Pod, NAMESPACE, "db-0")
        await rig.clock.sleep(300)
        assert rig.endpoints("db") == ready("192.0.2.1", MACHINE)
        rig.faults = None
        await rig.until(lambda: rig.endpoints("db") == ready(MACHINE), within=90)  # a retry, and the hold of an answer


@virtual_time
async def test_apply_reads_pods_once() -> None:
    rig = Rig()
    rig.store.put(Pod, pod("db-0", "192.0.2.1"))
    before = asyncio.all_tasks()
    async with rig.store.running():
        [result] = await rig.once(hybrid())
        assert (result.errors, result.withheld) == ([], [])
        assert rig.endpoints("db") == ready("192.0.2.1", MACHINE)
    assert asyncio.all_tasks() == before


@virtual_time
async def test_apply_writes_nothing_where_it_may_not_read_pods() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: Fault(error=DENIED) if kind is Pod else None
    async with rig.store.running():
        [result] = await rig.once(hybrid())
    [error] = result.errors
    assert error == (
        "source 'pods': pods app=db in namespace 'test' cannot be read: pods is forbidden;"
        " deploy/kustomize/base/clusterrole.yaml has the rights that extsync needs; nothing was written"
    )
    assert not any(request.is_write for request in rig.requests)
