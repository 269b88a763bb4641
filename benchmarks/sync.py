"""A full sync beside the EndpointSliceMirroring controller's. ``python -m benchmarks.sync``.

Both make one slice for each of 1,000 Services with 20 endpoints in one real API server: the controller for Endpoints
that are there, extsync for manifests. The Services were there before, nothing is checked, and neither limits its
requests. They take turns, each alone in a process that begins with its turn; afterwards its slices are deleted. A first
turn of each is not counted: it warms up the API server. The goal: extsync takes at most 1.1 of the controller's time
from the first slice to the last. How long each takes from its start is printed besides, and the CPU until the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cluster
from benchmarks.figures import SHORT, Row, all_good, print_table
from benchmarks.servers import MissingError, Running
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

PART = "sync"
COMMAND = Path(sys.executable).with_name("extsync")
UNLIMITED = "1000000"
KEPT, MIRRORED = "kept", "mirrored"
GIVEN_UP = 120.0
"""Seconds after which a turn that does not end is given up."""
GOAL = 1.1
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


@dataclass(frozen=True)
class Size:
    """``rounds`` are counted, one more is made before them."""

    services: int = 1_000
    each: int = 20
    rounds: int = 3


SIZE = Size()
SHORT_SIZE = Size(services=20, each=5, rounds=1)


@dataclass(frozen=True)
class Turn:
    """Seconds from the first slice to the last, from the start of the process to the last slice, and CPU until then."""

    sync: float
    all: float
    cpu: float


def rows(size: Size | None = None) -> list[Row]:
    """Medians of turns of both; none where no control plane can be had here."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    try:
        with tempfile.TemporaryDirectory() as name, cluster.control_plane() as plane:
            ours, theirs = measure(plane, Path(name), size)
    except MissingError as error:
        print(f"without a control plane: {error}", file=sys.stderr)
        return []
    return [
        _row(size, "first slice to last", "s", ours, theirs, lambda turn: turn.sync, GOAL),
        _row(size, "start of the process to last slice", "s", ours, theirs, lambda turn: turn.all, None),
        _row(size, "CPU, start of the process to last slice", "s", ours, theirs, lambda turn: turn.cpu, None),
    ]


def _row(
    size: Size,
    what: str,
    unit: str,
    ours: list[Turn],
    theirs: list[Turn],
    of: Callable[[Turn], float],
    goal: float | None,
) -> Row:
    return Row(
        part=PART,
        what=f"full sync, {size.services:,} x {size.each} endpoints, {what}",
        figure=statistics.median(map(of, ours)),
        unit=unit,
        reference=statistics.median(map(of, theirs)),
        reference_is="EndpointSliceMirroring",
        goal=goal,
    )


def measure(plane: ControlPlane, folder: Path, size: Size) -> tuple[list[Turn], list[Turn]]:
    """The turns of extsync and those of the controller."""
    asyncio.run(cluster.fill(plane, MIRRORED, size.services, endpoints_each=size.each))
    asyncio.run(cluster.fill(plane, KEPT, size.services))
    cluster.write_manifests(folder / KEPT, KEPT, size.services, size.each)
    ours, theirs = [], []
    for _ in range(size.rounds + 1):
        theirs.append(_turn(plane, MIRRORED, lambda: _manager(plane), size))
        ours.append(_turn(plane, KEPT, lambda: _extsync(plane, folder), size))
    return ours[1:], theirs[1:]


def _turn(
    plane: ControlPlane, namespace: str, run: Callable[[], contextlib.AbstractContextManager[int]], size: Size
) -> Turn:
    watching = Watching(plane, namespace, size.services)
    began = time.monotonic()
    with run() as pid:
        watching.join(GIVEN_UP)
        cpu = Running(pid).cpu()
    if len(watching.times) < size.services:
        raise RuntimeError(f"{len(watching.times)} of {size.services} slices in {namespace} within {GIVEN_UP:g} s")
    path = SLICES.format(namespace)
    plane.request("DELETE", path)
    wait_for(lambda: not plane.request("GET", f"{path}?limit=1")["items"], "end of the slices")
    return Turn(watching.times[-1] - watching.times[0], watching.times[-1] - began, cpu)


@contextlib.contextmanager
def _manager(plane: ControlPlane) -> Iterator[int]:
    """kube-controller-manager with the one controller."""
    plane.start_manager()
    try:
        assert plane.manager_pid is not None
        yield plane.manager_pid
    finally:
        plane.stop_manager()


@contextlib.contextmanager
def _extsync(plane: ControlPlane, folder: Path) -> Iterator[int]:
    """``extsync run``, with its default settings but for the limit of requests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTSYNC_")}
    environment |= {"KUBECONFIG": str(plane.kubeconfig()), "EXTSYNC_QPS": UNLIMITED, "EXTSYNC_BURST": UNLIMITED}
    environment["EXTSYNC_LISTEN"] = "none"  # another one may have the port
    command = [str(COMMAND), "run", "-f", str(folder / KEPT)]
    with (
        (folder / "extsync.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process.pid
        finally:
            process.kill()


class Watching(threading.Thread):
    """Notes when each slice of a namespace is made, until there are ``count`` of them.

    It watches metadata alone, which costs the API server the same on either side, and little.
    """

    def __init__(self, plane: ControlPlane, namespace: str, count: int) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self._count = count
        path = SLICES.format(namespace)
        version = plane.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        request = urllib.request.Request(
            f"{plane.url}{path}?watch=true&resourceVersion={version}",
            headers={
                "Authorization": f"Bearer {plane.admin_token}",
                "Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            },
        )
        tls = ssl.create_default_context(cafile=str(plane.ca_file))
        self._answer = urllib.request.urlopen(request, timeout=GIVEN_UP, context=tls)
        self.start()

    def run(self) -> None:
        with self._answer:
            while len(self.times) < self._count and self._answer.readline():
                self.times.append(time.monotonic())


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
