"""Events on a real API server, with the rights that deploy/ ships."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from extsync.kube.events import Recorder
from extsync.objects import ObjectMeta, Service
from extsync.seams import SystemClock, SystemRandom
from tests.api.kube_stores import kube_store
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for


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
