"""Backends out of real registries, published in a real cluster: Consul and a name server, and what befalls them.

The times that users are promised are printed at the end of the run; the tests wait for longer, so that a machine that
is busy fails none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.servers.consul import Consul
from tests.servers.knot import Knot

SLACK = 15.0
"""Seconds beyond what is promised until a test gives up."""

Measured = Callable[[str, float, float], None]


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def run(cluster: Cluster, extsync_kubeconfig: Path, tmp_path: Path, log: Path) -> Callable[..., Running]:
    """Runs extsync with a manifest of these sources and further fields of its spec."""

    def start(*sources: dict[str, Any], **spec: Any) -> Running:
        path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [], sources=list(sources), **spec))
        return Running("-f", path, kubeconfig=extsync_kubeconfig, log=log)

    return start


def from_consul(consul: Consul, *services: str, **fields: Any) -> dict[str, Any]:
    return {"name": "consul", "consul": {"server": consul.url, "services": list(services or ("web",))}, **fields}


def from_dns(knot: Knot, *names: str, **fields: Any) -> dict[str, Any]:
    block = {"names": list(names), "nameservers": [knot.address], "type": "A", "port": 80}
    return {"name": "dns", "dns": block, **fields}


def until(
    cluster: Cluster, published: dict[str, bool], what: str, *, promised: float, measured: Measured | None = None
) -> float:
    """Waits until these addresses are published with this readiness; returns the seconds that it took."""
    started = time.monotonic()
    wait_for(lambda: cluster.ready() == published, f"{what}: {published}", seconds=promised + SLACK)
    took = time.monotonic() - started
    if measured is not None:
        measured(what, took, promised)
    return took


def test_what_consul_says_of_an_instance_is_published(
    cluster: Cluster, run: Callable[..., Running], consul: Consul, measured: Measured
) -> None:
    consul.register("web", "192.0.2.1", 80)
    other = consul.register("other", "192.0.2.3", 80)
    with run(from_consul(consul, "web", "other")):
        published = {"192.0.2.1": True, "192.0.2.3": True}
        until(cluster, published, "first instances", promised=10)
        second = consul.register("web", "192.0.2.2", 80)
        published["192.0.2.2"] = True
        until(cluster, published, "Consul: registered, in the slice", promised=2, measured=measured)
        consul.set_status(second, "critical")
        published["192.0.2.2"] = False
        until(cluster, published, "Consul: critical, not ready", promised=2, measured=measured)
        consul.set_maintenance(other, enabled=True)
        published["192.0.2.3"] = False
        until(cluster, published, "Consul: in maintenance, draining", promised=2, measured=measured)
        conditions = {e["addresses"][0]: e["conditions"] for s in cluster.slices() for e in s["endpoints"]}
        assert conditions["192.0.2.2"] == {"ready": False, "serving": False, "terminating": False}
        assert conditions["192.0.2.3"] == {"ready": False, "serving": True, "terminating": True}


def test_a_deregistered_instance_of_three_leaves_after_its_hold(
    cluster: Cluster, run: Callable[..., Running], consul: Consul, measured: Measured
) -> None:
    identities = [consul.register("web", f"192.0.2.{number}", 80) for number in (1, 2, 3)]
    with run(from_consul(consul, hold={"obsolete": "2s"})):
        until(cluster, {"192.0.2.1": True, "192.0.2.2": True, "192.0.2.3": True}, "instances", promised=10)
        consul.deregister(identities[1])
        left = {"192.0.2.1": True, "192.0.2.3": True}
        took = until(cluster, left, "Consul: deregistered, out of the slice, hold 2 s", promised=4, measured=measured)
        assert took >= 2


def test_an_agent_that_restarts_empty_removes_nothing(
    cluster: Cluster, run: Callable[..., Running], consul: Consul, log: Path
) -> None:
    known = [f"192.0.2.{number}" for number in (1, 2, 3)]
    for address in known:
        consul.register("web", address, 80)
    with run(from_consul(consul, hold={"nx": "1s", "nodata": "1s"})):
        until(cluster, dict.fromkeys(known, True), "instances", promised=10)
        wait_for(lambda: len(cluster.split()[0]) == 3, "Endpoints")
        before = cluster.versions()
        consul.restart()
        wait_for(lambda: "source 'consul': suspect: " in log.read_text(), "word on the suspect answer")
        time.sleep(3)  # the holds of an honest answer would be over
        assert cluster.versions() == before
        for address in [*known, "192.0.2.4"]:
            consul.register("web", address, 80)
        # A source in doubt is read every 15 s.
        until(cluster, dict.fromkeys([*known, "192.0.2.4"], True), "instances that are back, and one more", promised=15)


@pytest.mark.parametrize("back", [0, 1])
def test_an_agent_that_restarts_empty_while_others_register_first_removes_nothing(
    cluster: Cluster, run: Callable[..., Running], consul: Consul, log: Path, back: int
) -> None:
    known = [f"192.0.2.{number}" for number in (1, 2, 3)]
    for address in known:
        consul.register("web", address, 80)
    with run(from_consul(consul, hold={"nx": "1s", "nodata": "1s"})):
        until(cluster, dict.fromkeys(known, True), "instances", promised=10)
        wait_for(lambda: len(cluster.split()[0]) == 3, "Endpoints")
        before = cluster.versions()
        consul.kill()
        wait_for(lambda: "source 'consul': web: " in log.read_text(), "word on the failure")
        consul.start()
        for number in range(30):
            consul.register(f"other-{number}", "192.0.2.9", 80)
        for address in known[:back]:
            consul.register("web", address, 80)
        wait_for(lambda: "source 'consul': suspect: " in log.read_text(), "word on the suspect answer", seconds=40)
        time.sleep(3)  # the holds of an honest answer would be over
        assert cluster.versions() == before
        for address in [*known, "192.0.2.4"]:
            consul.register("web", address, 80)
        until(cluster, dict.fromkeys([*known, "192.0.2.4"], True), "instances that are back, and one more", promised=15)


def test_nine_of_ten_that_are_deregistered_leave_without_being_doubted_for_long(
    cluster: Cluster, run: Callable[..., Running], consul: Consul, measured: Measured
) -> None:
    identities = [consul.register("web", f"192.0.2.{number}", 80) for number in range(1, 11)]
    with run(from_consul(consul), policy={"guard": {"maxRemovalPercent": 100}}):
        until(cluster, {f"192.0.2.{number}": True for number in range(1, 11)}, "instances", promised=10)
        for identity in identities[1:]:
            consul.deregister(identity)
        # Nine changes in a row are read twice, and then after 15 s.
        until(cluster, {"192.0.2.1": True}, "Consul: nine of ten deregistered", promised=17, measured=measured)


def test_a_record_is_published_within_its_ttl(
    cluster: Cluster, run: Callable[..., Running], make_knot: Callable[..., Knot], measured: Measured
) -> None:
    knot = make_knot({"one.test": ["www 3 A 192.0.2.1"]})
    with run(from_dns(knot, "www.one.test")):
        until(cluster, {"192.0.2.1": True}, "first record", promised=10)
        knot.change("one.test", add=["www 3 A 192.0.2.2"])
        both = {"192.0.2.1": True, "192.0.2.2": True}
        until(cluster, both, "DNS: record of TTL 3 s added, in the slice", promised=5, measured=measured)


def test_a_name_server_that_fails_changes_nothing(
    cluster: Cluster, run: Callable[..., Running], make_knot: Callable[..., Knot], log: Path
) -> None:
    knot = make_knot({"one.test": ["www 1 A 192.0.2.1"]})
    with run(from_dns(knot, "www.one.test", hold={"nx": "0s", "nodata": "0s", "obsolete": "0s"})):
        until(cluster, {"192.0.2.1": True}, "record", promised=10)
        wait_for(lambda: cluster.endpoints(), "Endpoints")
        before = cluster.versions()
        knot.fail("one.test")
        wait_for(lambda: "SERVFAIL" in log.read_text(), "word on the failure", seconds=20)
        time.sleep(5)  # many TTLs
        assert cluster.versions() == before
        knot.load("one.test", ["www 1 A 192.0.2.2"])
        until(cluster, {"192.0.2.2": True}, "record of the mended zone", promised=20)


def test_a_name_that_is_gone_leaves_after_its_hold(
    cluster: Cluster, run: Callable[..., Running], make_knot: Callable[..., Knot], measured: Measured
) -> None:
    knot = make_knot({"one.test": ["www 1 A 192.0.2.1", "more 1 A 192.0.2.2"]})
    with run(from_dns(knot, "www.one.test", "more.one.test", hold={"nx": "3s"})):
        until(cluster, {"192.0.2.1": True, "192.0.2.2": True}, "records", promised=10)
        knot.change("one.test", remove=["www"])
        left = {"192.0.2.2": True}
        took = until(cluster, left, "DNS: NXDOMAIN, out of the slice, hold 3 s", promised=6, measured=measured)
        assert took >= 3


def test_the_second_tier_serves_while_the_whole_first_one_fails(
    cluster: Cluster,
    run: Callable[..., Running],
    consul: Consul,
    make_knot: Callable[..., Knot],
    measured: Measured,
) -> None:
    knot = make_knot({"one.test": ["www 1 A 198.51.100.1"]})
    first, second = (consul.register(service, f"192.0.2.{n}", 80) for n, service in enumerate(("web", "more"), 1))
    tiers = from_consul(consul, "web", "more"), from_dns(knot, "www.one.test", priority=1)
    with run(*tiers, policy={"failbackDelay": "2s"}):
        until(cluster, {"192.0.2.1": True, "192.0.2.2": True}, "first tier alone", promised=10)
        consul.set_status(first, "critical")
        until(cluster, {"192.0.2.1": False, "192.0.2.2": True}, "first tier with one left", promised=2)
        consul.set_status(second, "critical")
        failed_over = {"192.0.2.1": False, "192.0.2.2": False, "198.51.100.1": True}
        until(
            cluster,
            failed_over,
            "tiers: the first one fails, the second one in the slice",
            promised=2,
            measured=measured,
        )
        consul.set_status(second, "passing")
        back = {"192.0.2.1": False, "192.0.2.2": True}
        took = until(cluster, back, "tiers: the first one serves alone again, after 2 s", promised=4, measured=measured)
        assert took >= 2


def test_apply_writes_nothing_while_a_registry_is_away_unless_it_may_be_stale(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path, consul: Consul
) -> None:
    rack = {"name": "rack", "static": {"backends": [{"address": "192.0.2.1"}]}}
    sources = [from_consul(consul), rack]
    consul.register("web", "192.0.2.2", 80)
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [], sources=sources))
    consul.kill()
    refused = extsync("apply", "-f", path, kubeconfig=kubeconfig)
    assert refused.returncode == 1
    assert "source 'consul': web: " in refused.stderr + refused.stdout
    assert cluster.slices() == []
    assert extsync("apply", "-f", path, "--allow-stale-source=consul", kubeconfig=kubeconfig).returncode == 0
    assert cluster.ready() == {"192.0.2.1": True}
    consul.start()
    consul.register("web", "192.0.2.2", 80)
    assert extsync("apply", "-f", path, kubeconfig=kubeconfig).returncode == 0
    assert cluster.ready() == {"192.0.2.1": True, "192.0.2.2": True}
