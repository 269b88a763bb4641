"""The whole first day, done as a newcomer does it: installed, looked at, a night with both backends down, and its end.

What is installed is ``deploy/kustomize/base`` with the example in it, untouched. extsync runs with the ServiceAccount's
token, in a network from which the addresses of the example are reached, on the port that it has in a pod.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.api.apart import Apart
from tests.api.extsync_command import COMMAND, Cluster
from tests.api.installed import Installed, install, remove
from tests.api.test_walkthroughs import tidied
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.deploy.chart import KUSTOMIZE
from tests.deploy.replay import Scrape, parsed, replay
from tests.networks import require_networks
from tests.servers.programs import Programs

BASE: Final = KUSTOMIZE / "base"
A, B = "192.0.2.10", "192.0.2.11"
FETCH: Final = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())"


@pytest.fixture
def installed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Installed]:
    require_networks("nsenter")
    with tidied(control_plane):
        yield install(control_plane, BASE, tmp_path)
        remove(control_plane, BASE)


@dataclass(frozen=True)
class Newcomer:
    """Who types commands on a machine that has kubectl's usual rights and reaches what extsync reaches."""

    network: Apart
    kubectl_path: Path
    kubeconfig: Path

    def extsync(self, *arguments: str, status: int = 0) -> str:
        return self._type(COMMAND, *arguments, status=status)

    def kubectl(self, *arguments: str) -> str:
        return self._type(self.kubectl_path, *arguments)

    def fetch(self, path: str) -> str:
        """What extsync answers on the port that ``kubectl port-forward`` would lead to."""
        return self._type(sys.executable, "-c", FETCH, f"http://127.0.0.1:9440{path}")

    def events(self, kind: str) -> dict[str, str]:
        """The latest message of each reason, of the events on the ``kind`` orders."""
        selector = f"involvedObject.kind={kind},involvedObject.name=orders"
        columns = "custom-columns=:.reason,:.message"
        told = self.kubectl("get", "events", "--no-headers", "--field-selector", selector, "-o", columns)
        return {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in told.splitlines()}

    def scrape(self) -> Scrape:
        """Every sample of ``/metrics``, with the labels of the target where honorLabels lets them be."""
        return parsed(self.fetch("/metrics"), {"instance": "extsync-0", "job": "extsync", "namespace": "extsync"})

    def _type(self, program: str | Path, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [*self.network.command, "env", f"KUBECONFIG={self.kubeconfig}", str(program), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == status, f"{program} {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.mark.timeout(120)
def test_a_newcomer_installs_it_and_is_told_at_night_what_broke(
    control_plane: ControlPlane,
    installed: Installed,
    prometheus_programs: Programs,
    measured: Callable[[str, float, float], None],
    tmp_path: Path,
) -> None:
    cluster = Cluster(control_plane.kubectl, "default")
    began = time.monotonic()

    def took(what: str, promised: float) -> None:
        nonlocal began
        measured(f"day one: {what}", time.monotonic() - began, promised)
        began = time.monotonic()

    api_port = urlsplit(control_plane.url).port or 443
    with Apart([A, B], api_port=api_port, folder=tmp_path, ports=[3306]) as network:
        user = Newcomer(network, control_plane.kubectl_path, control_plane.kubeconfig("admin"))
        installed.mount(config_map(user))
        with installed.run(within=network.command):
            # The example of the base, as it is.
            wait_for(lambda: cluster.ready() == {A: True, B: True}, "endpoints")
            took("from the start of extsync, with leader election, until two endpoints are ready", 14)
            assert re.search(r"^default +orders +2 +0 +0 +ok$", user.extsync("status"), re.MULTILINE)
            assert "http://localhost:9440, on all addresses" in (installed.folder / "run.log").read_text()
            assert f"this replica leads, as {holder(user)}" in (installed.folder / "run.log").read_text()
            assert_the_page_is_whole(user)

            # Probed more often from now on: an edit of the ConfigMap, which the kubelet mounts.
            quicker = config_map(user)["data"]["orders.yaml"].replace(
                "{port: mysql}", "{port: mysql}\n    periodSeconds: 1\n    failureThreshold: 2"
            )
            patch = json.dumps({"data": {"orders.yaml": quicker}})
            user.kubectl("-n", "extsync", "patch", "configmap", "extsync-manifests", "--patch", patch)
            installed.mount(config_map(user))
            wait_for(lambda: "its manifest changed in" in (installed.folder / "run.log").read_text(), "new manifest")
            took("until an edited ConfigMap, once mounted, is followed", 5)
            well = user.scrape()
            assert_healthy(user)

            network.far(f"addr del {A}/32 dev lo")
            wait_for(lambda: cluster.ready() == {A: False, B: True}, "failure of one")
            took("until a backend that went away is not ready", 6)
            degraded = user.scrape()
            network.far(f"addr del {B}/32 dev lo")
            wait_for(lambda: cluster.ready() == {A: False, B: False}, "failure of both")
            began = time.monotonic()
            told = wait_for(lambda: told_of_the_end(user), "events")
            took("until kubectl shows the events of an empty Service", 10)
            assert A in told["EndpointDown"] or B in told["EndpointDown"]
            down = user.scrape()

            why = user.extsync("explain", "default/orders", A)
            assert re.search(rf"{re.escape(A)}:3306 +NotReady .*its checks fail: tcpSocket {re.escape(A)}:3306: ", why)
            found = json.loads(user.extsync("doctor", "default/orders", "-o", "json", status=1))["findings"]
            assert [one["code"] for one in found if one["severity"] == "error"] == ["NoneReady"]
            assert A in str(found[0]["evidence"])
            assert B in str(found[0]["evidence"])
            took("explain and doctor, with the reason", 10)

            for address in (A, B):
                network.far(f"addr add {address}/32 dev lo")
            wait_for(lambda: cluster.ready() == {A: True, B: True}, "return")
            took("until both are ready again", 6)
            wait_for(lambda: "ServiceRecovered" in user.events("Service"), "event of the return")
            again = user.scrape()
            assert_healthy(user)

    available = [value(scrape, "kube_endpoint_address_available", endpoint="orders") for scrape in (well, down, again)]
    assert available == [2, 0, 2]
    assert value(again, "kube_endpoint_address_not_ready", endpoint="orders") == 0
    began = time.monotonic()
    # What Prometheus saw that night: all well for 3 minutes, degraded for 10, down for 5, and well again.
    seen = [(well, 3), (degraded, 10), (down, 5), (again, 10)]
    expected = {"2m": [], "7m": [], "9m": ["EndpointDegraded"], "15m": ["EndpointDown"], "25m": []}
    replay(prometheus_programs, tmp_path, seen, expected, {"namespace": "default", "endpoint": "orders"})
    took("promtool's replay of all alerts", 5)


def config_map(user: Newcomer) -> dict[str, Any]:
    return dict(json.loads(user.kubectl("-n", "extsync", "get", "configmap", "extsync-manifests", "-o", "json")))


def holder(user: Newcomer) -> str:
    """Who holds the Lease."""
    lease = json.loads(user.kubectl("-n", "extsync", "get", "lease", "extsync-default", "-o", "json"))
    return str(lease["spec"]["holderIdentity"])


def assert_the_page_is_whole(user: Newcomer) -> None:
    """The page at / is there, and so is what it is made of."""
    page = user.fetch("/")
    assert "<title>extsync</title>" in page
    parts = re.findall(r'(?:src|href)="(?!#|data:)([^"]+)"', page)
    assert parts
    for part in parts:
        assert user.fetch(f"/{part.lstrip('/')}")


def assert_healthy(user: Newcomer) -> None:
    """doctor has nothing to say."""
    assert "\n0 errors, 0 warnings, " in user.extsync("doctor", "default/orders")


def told_of_the_end(user: Newcomer) -> Mapping[str, str] | None:
    """The events on the Endpoints, once they tell of failure, and those on the Service that it is empty."""
    on_endpoints = user.events("Endpoints")
    told = "EndpointDown" in on_endpoints and "ServiceEmpty" in user.events("Service")
    return on_endpoints if told else None


def value(scrape: Scrape, name: str, **labels: str) -> float:
    """Of the only sample that has this name and these labels."""
    [found] = [number for (its_name, its), number in scrape.items() if its_name == name and labels.items() <= its]
    return found
