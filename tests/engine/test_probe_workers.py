"""``run`` with probe workers, on real processes and sockets: what they find is published, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from extsync.engine.options import Options
from extsync.engine.prober import make_prober
from extsync.health.prober import Prober
from extsync.health.workers.pool import ProberPool
from tests.engine.support import NAMESPACE, PORT, A, B, Rig, manifest, ready
from tests.health.listeners import LOOPBACK

QUICK = {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2}


def test_without_workers_probes_are_made_in_this_process_and_otherwise_not() -> None:
    world = Rig().world
    kinds = [
        type(make_prober(world, workers=workers, source_addresses=(), max_in_flight=10, wake=lambda: None))
        for workers in (0, 1, 64)
    ]
    assert kinds == [Prober, ProberPool, ProberPool]


@pytest.mark.sockets
async def test_what_workers_find_is_published_and_stays_while_they_are_replaced() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), probe_workers=2))
    with socket.socket() as up, socket.socket() as down:
        for sock in (up, down):
            sock.bind((LOOPBACK, 0))
        up.listen(1000)
        backends = [backend(A, up), backend(B, down)]
        source = {"name": "rack", "static": {"backends": backends}}
        async with rig.running(manifest("orders", source, checks=[QUICK])):
            await rig.until(rig.agree("orders", {A: True, B: False}), within=30.0)
            workers = probe_workers()
            assert len(workers) == 2
            with rig.recorded() as writes:
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
                await rig.until(
                    lambda: len(probe_workers()) == 2 and not set(workers) & set(probe_workers()), within=30.0
                )
            assert writes == []
            down.listen(1000)
            await rig.until(rig.agree("orders", ready(A, B)), within=30.0)
    assert probe_workers() == []


def backend(address: str, sock: socket.socket) -> dict[str, object]:
    """A backend of that address which is probed where ``sock`` is."""
    return {"address": address, "probe": {"host": LOOPBACK, "port": sock.getsockname()[1]}}


def probe_workers() -> list[int]:
    """The probe workers among the children of this process."""
    children = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    return [pid for pid in children if b"extsync.health.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()]
