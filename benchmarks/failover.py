"""What it takes until another replica writes, on a real API server. ``python -m benchmarks.failover``.

Two ``extsync run`` keep 500 services with 20 endpoints each, all of them probed, and agree by a Lease with the default
timing who writes. When nothing changes any more, the one that does is ended by kill -9, and at the same moment one
backend begins to fail. The goals: the other one has written that within the time until the Lease may be taken and looks
at it (two ``retryPeriod``), and beside the Lease it asks nothing else of the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cluster, probes
from benchmarks.figures import SHORT, Row, all_good, print_table
from benchmarks.servers import MissingError
from benchmarks.sync import COMMAND, SLICES, Watching
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports
from tests.cluster.waiting import wait_for

PART = "failover"
NAMESPACE = "checked"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/extsync-default"
QUIET = 3.0
"""Seconds for which writes are counted once the first one was seen, and for which there must be none before."""
GIVEN_UP = 120.0
VERDICT = 2.0
"""Seconds for the failure of the backend, of which one is enough, to be found in its period, and to be written."""


@dataclass(frozen=True)
class Size:
    """``period`` is that of the checks; the others are the settings of those names, in seconds."""

    services: int = 500
    each: int = 20
    period: int = 10
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    @property
    def endpoints(self) -> int:
        return self.services * self.each


SIZE = Size()
SHORT_SIZE = Size(services=20, each=5, period=1, lease_duration=3.0, renew_deadline=2.0, retry_period=0.5)


class Replica:
    """One ``extsync run`` with leader election."""

    def __init__(self, plane: ControlPlane, folder: Path, name: str, size: Size) -> None:
        self._log = folder / f"{name}.log"
        (port,) = free_ports(1)
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTSYNC_")}
        environment |= {
            "KUBECONFIG": str(plane.kubeconfig()),
            "EXTSYNC_LISTEN": f"127.0.0.1:{port}",
            "EXTSYNC_QPS": "1000000",
            "EXTSYNC_BURST": "1000000",
            "EXTSYNC_LEADER_ELECTION": "true",
            "EXTSYNC_LEASE_NAMESPACE": NAMESPACE,
            "EXTSYNC_LEASE_DURATION": _milliseconds(size.lease_duration),
            "EXTSYNC_RENEW_DEADLINE": _milliseconds(size.renew_deadline),
            "EXTSYNC_RETRY_PERIOD": _milliseconds(size.retry_period),
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(COMMAND), "run", "-f", str(folder / "manifests")], env=environment, stdout=log, stderr=log
            )

    def identity(self) -> str:
        """Under which name it stands for election; waits until it does."""
        end = time.monotonic() + GIVEN_UP
        while time.monotonic() < end and self._process.poll() is None:
            if found := re.search(r"stands for election as (\S+),", self._log.read_text()):
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(f"a replica does not stand for election: {self._log.read_text()[-1000:]}")

    def requests(self) -> int:
        """How many requests it has sent to the API."""
        with urllib.request.urlopen(self._metrics, timeout=10.0) as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(one.split()[-1])) for one in lines if one.startswith("extsync_api_requests_total"))

    def kill(self) -> None:
        """Ends it without a farewell."""
        self._process.kill()
        self._process.wait()


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def rows(size: Size | None = None) -> list[Row]:
    """The figures of one take-over; none where no control plane can be had here."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    try:
        with tempfile.TemporaryDirectory() as name, cluster.control_plane() as plane, probes.listeners() as port:
            return _measure(plane, Path(name), port, size)
    except MissingError as error:
        print(f"without a control plane: {error}", file=sys.stderr)
        return []


def _measure(plane: ControlPlane, folder: Path, port: int, size: Size) -> list[Row]:
    asyncio.run(cluster.fill(plane, NAMESPACE, size.services))
    with socket.create_server(("127.0.0.1", 0)) as failing, contextlib.ExitStack() as resources:
        _write_manifests(folder / "manifests", port, failing.getsockname()[1], size)
        replicas = resources.enter_context(_replicas(plane, folder, size))
        _wait_until_ready(plane, size)
        time.sleep(size.period + QUIET)  # so the other one knows them as well
        holder = plane.request("GET", LEASE)["spec"]["holderIdentity"]
        watching = Watching(plane, NAMESPACE, size.services)
        time.sleep(QUIET)
        before = len(watching.times)
        heir = next(replica for identity, replica in replicas.items() if identity != holder)
        asked, began = heir.requests(), time.monotonic()
        replicas[holder].kill()
        failing.close()
        wait_for(lambda: len(watching.times) > before, "write of the other replica", seconds=GIVEN_UP)
        took, asked = watching.times[before] - began, heir.requests() - asked
        time.sleep(QUIET)
        return _rows(size, took, asked, len(watching.times) - 1)


def _rows(size: Size, took: float, asked: int, others: int) -> list[Row]:
    what = f"kill -9 of the replica that writes {size.endpoints:,} endpoints"
    limit = size.lease_duration + 2 * size.retry_period + VERDICT
    return [
        Row(
            part=PART,
            what=f"{what}: until another one has written what failed",
            figure=took,
            unit="s",
            reference=limit,
            reference_is="leaseDuration, two retryPeriod and a verdict",
        ),
        Row(
            part=PART,
            what="... what that one asked of the API until then, beside the Lease",
            figure=asked,
            unit="requests",
            reference=1,
            reference_is="the write",
        ),
        Row(part=PART, what="... other writes", figure=others, unit="writes", reference=0, reference_is="wanted"),
    ]


@contextlib.contextmanager
def _replicas(plane: ControlPlane, folder: Path, size: Size) -> Iterator[dict[str, Replica]]:
    """Two of them, by the name under which each stands for election."""
    started = [Replica(plane, folder, name, size) for name in ("one", "two")]
    try:
        yield {replica.identity(): replica for replica in started}
    finally:
        for replica in started:
            replica.kill()


def _wait_until_ready(plane: ControlPlane, size: Size) -> None:
    end = time.monotonic() + GIVEN_UP
    while time.monotonic() < end:
        slices = plane.request("GET", SLICES.format(NAMESPACE))["items"]
        endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or ()]
        if sum(endpoint["conditions"]["ready"] for endpoint in endpoints) == size.endpoints:
            return
        time.sleep(1.0)
    raise TimeoutError(f"not all endpoints are ready within {GIVEN_UP:g} s")


def _write_manifests(folder: Path, port: int, failing: int, size: Size) -> None:
    """The first endpoint of all is the one that will fail: its service is probed every second, and believed at once."""
    hosts = iter(probes.hosts(size.endpoints))
    places = [{"host": host, "port": port} for host in hosts]
    places[0] = {"host": "127.0.0.1", "port": failing}
    check = {"tcpSocket": {"port": "tcp"}, "periodSeconds": size.period, "timeoutSeconds": 1}
    cluster.write_manifests(folder, NAMESPACE, size.services, size.each, iter(places), checks=[check])
    first = folder / f"{cluster.name_of(0)}.json"
    manifest = json.loads(first.read_text())
    manifest["spec"]["checks"] = [{**check, "periodSeconds": 1, "failureThreshold": 1}]
    first.write_text(json.dumps(manifest))


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
