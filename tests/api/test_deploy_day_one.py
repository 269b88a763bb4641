"""The first day: extsync is installed, a Prometheus scrapes it as the ServiceMonitor says, and a backend breaks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, extsync, manifest
from tests.api.installed import Installed, install, remove
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.deploy.chart import CHART, KUSTOMIZE
from tests.deploy.test_alerts import promtool
from tests.deploy.test_dashboard import queries
from tests.servers.programs import Programs
from tests.servers.prometheus import Prometheus

DOCKERFILE = KUSTOMIZE.parents[1] / "Dockerfile"
BASE = KUSTOMIZE / "base"
MONITORING = KUSTOMIZE / "components" / "monitoring"
QUICK = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def installed(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Installed]:
    yield install(control_plane, BASE, tmp_path)
    remove(control_plane, BASE)


def job(name: str, port: int, *, honor_labels: bool) -> dict[str, Any]:
    """As the operator makes one of a ServiceMonitor: a target has the labels of its pod and of its Service's port."""
    pod = {
        "namespace": "extsync",
        "service": "extsync",
        "endpoint": "metrics",
        "container": "extsync",
        "pod": "extsync-0",
    }
    targets = [f"127.0.0.1:{port}"]
    return {
        "job_name": name,
        "honor_labels": honor_labels,
        "static_configs": [{"targets": targets, "labels": pod}],
    }


def test_an_alert_finds_the_service_whose_backend_broke(
    cluster: Cluster, installed: Installed, prometheus_programs: Programs, tmp_path: Path
) -> None:
    [endpoint] = yaml.safe_load((MONITORING / "servicemonitor.yaml").read_text())["spec"]["endpoints"]
    jobs = [
        job("extsync", installed.port, honor_labels=endpoint["honorLabels"]),
        job("renamed", installed.port, honor_labels=False),
    ]
    of_orders = f'kube_endpoint_address_available{{namespace="{cluster.namespace}",endpoint="orders"}}'
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with (
        Backend() as backend,
        installed.run(),
        Prometheus(prometheus_programs, folder, jobs, rules=[CHART / "files" / "alerts.yaml"]) as prometheus,
    ):
        backends = [{"address": "192.0.2.1", "probe": {"host": "127.0.0.1", "port": backend.port}}]
        installed.manifests(manifest(cluster.namespace, backends, check=QUICK))
        wait_for(lambda: cluster.ready() == {"192.0.2.1": True}, "endpoints")
        wait_for(lambda: [value for _, value in prometheus.query(of_orders)] == [1.0], "a scrape of a ready endpoint")

        [(labels, _)] = prometheus.query(of_orders)
        assert labels["job"] == "extsync"
        # What honorLabels is for: elsewhere the names of the Service are under other labels.
        [(renamed, _)] = wait_for(
            lambda: prometheus.query('kube_endpoint_address_available{job="renamed"}'), "a scrape without honor_labels"
        )
        assert (renamed["namespace"], renamed["endpoint"]) == ("extsync", "metrics")
        assert (renamed["exported_namespace"], renamed["exported_endpoint"]) == (cluster.namespace, "orders")

        wait_for(lambda: not unanswered(prometheus), "data for every panel")
        told = promtool(prometheus_programs, "check", "metrics", stdin=scrape(installed.port))
        assert (told.returncode, told.stderr.decode()) == (0, "")

        assert health(installed.port) == 0

        backend.stop()
        wait_for(lambda: cluster.ready() == {"192.0.2.1": False}, "failure")
        wait_for(lambda: prometheus.alerts()["EndpointDown"] == "pending", "alert")
        assert {name for name, state in prometheus.alerts().items() if state != "inactive"} == {"EndpointDown"}
        why = extsync(
            *("explain", f"{cluster.namespace}/orders", "--server", f"http://127.0.0.1:{installed.port}"),
            kubeconfig=installed.kubeconfig,
        )
        assert (why.returncode, "connection refused" in why.stdout) == (0, True), why.stdout + why.stderr
        backend.start()
        wait_for(lambda: prometheus.alerts()["EndpointDown"] == "inactive", "end of the alert")
    assert health(installed.port) == 1


def unanswered(prometheus: Prometheus) -> list[str]:
    """The panels of the dashboard whose query finds nothing, of those that should always find something."""
    quiet = ("Services with endpoints that are not ready", "Sources that fail", "Requests that failed")
    found = []
    for place, expression in queries():
        text = expression.replace("$__rate_interval", "10s").replace("$namespace", ".*").replace("$service", ".*")
        if not prometheus.query(text) and not place.startswith(quiet):
            found.append(place)
    return found


def health(port: int) -> int:
    """The exit status of the health check of the image, for an extsync that is served on ``port``."""
    [command] = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    program, *arguments = json.loads(command.replace(":9440/", f":{port}/"))
    assert program == "python"
    return subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, timeout=20, check=False).returncode


def scrape(port: int) -> bytes:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return bytes(answer.read())
