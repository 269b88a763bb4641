"""Events on a real API server, with the rights that deploy/ ships."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from extsync.kube.events import Recorder
from extsync.objects import ObjectMeta, Service
from extsync.seams import SystemClock, SystemRandom
from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.api.kube_stores import kube_store
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}


async def test_what_is_said_again_is_counted(
    control_plane: ControlPlane, namespace: str, extsync_kubeconfig: Path
) -> None:
    about = Service(metadata=ObjectMeta(name="orders", namespace=namespace, uid="1", resource_version="1"))

    def counts() -> dict[str, int]:
        listed = json.loads(control_plane.kubectl("-n", namespace, "get", "events", "-o", "json"))
        return {event["message"]: event["count"] for event in listed["items"]}

    async with kube_store(extsync_kubeconfig) as store:
        recorder = Recorder(store, clock=SystemClock(), random=SystemRandom(), instance="extsync-1")
        task = asyncio.create_task(recorder.run())
        for message in ("down", "down", "up", "down"):
            recorder.tell(about, "Normal", "Tested", message)
        await asyncio.to_thread(wait_for, lambda: counts() == {"down": 3, "up": 1}, "counted events")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert recorder.dropped == 0


def test_kubectl_finds_what_happened_to_endpoints(
    control_plane: ControlPlane, namespace: str, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    """As somebody asks who is paged: on the Endpoints, on the Service, and in ``kubectl describe``."""

    def events(kind: str) -> set[tuple[str, str, str]]:
        selector = f"involvedObject.kind={kind},involvedObject.name=orders"
        text = control_plane.kubectl("-n", namespace, "get", "events", "--field-selector", selector, "-o", "json")
        listed = json.loads(text)["items"]
        return {(event["type"], event["reason"], event["involvedObject"]["uid"]) for event in listed}

    def uid(kind: str) -> str:
        found = json.loads(control_plane.kubectl("-n", namespace, "get", kind, "orders", "-o", "json"))
        return str(found["metadata"]["uid"])

    with Backend() as backend:
        listed = [{"address": "192.0.2.1", "probe": {"host": "127.0.0.1", "port": backend.port}}]
        path = write(tmp_path / "m.yaml", manifest(namespace, listed, check=QUICK))
        with Running("-f", path, kubeconfig=extsync_kubeconfig, log=tmp_path / "run.log"):
            cluster = Cluster(control_plane.kubectl, namespace)
            wait_for(lambda: cluster.split() == ({"192.0.2.1"}, set()), "ready address")
            backend.stop()
            wanted = {("Warning", "EndpointDown"), ("Warning", "ServiceEmpty")}
            for kind in ("Endpoints", "Service"):
                wait_for(lambda kind=kind: wanted <= {one[:2] for one in events(kind)}, f"events on {kind}")  # type: ignore[misc]
                assert {one[2] for one in events(kind)} == {uid(kind.lower())}
            backend.start()
            wait_for(lambda: ("Normal", "EndpointUp") in {one[:2] for one in events("Endpoints")}, "EndpointUp")
            described = control_plane.kubectl("-n", namespace, "describe", "endpoints", "orders")
    assert "192.0.2.1:" in described.split("Events:")[1]
    assert "EndpointDown" in described
