"""``extsync run`` on a real API server: an outage of its own network demotes nothing, one of a service does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.api.apart import PORT, Apart
from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for
from tests.networks import require_networks

QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}
NAMES = [f"s{number}" for number in range(5)]
ADDRESSES = {name: [f"203.0.113.{10 * number + last}" for last in (1, 2)] for number, name in enumerate(NAMES, 1)}
LONG_ENOUGH = 8.0
"""Seconds in which what is not to be shown would have shown twice over. Absence can only be seen by waiting."""


def test_a_cable_that_is_pulled_out_demotes_nothing_and_a_service_that_dies_alone_is_demoted(
    control_plane: ControlPlane, namespace: str, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    require_networks("nsenter")
    cluster = Cluster(control_plane.kubectl, namespace)
    up = {name: dict.fromkeys(addresses, True) for name, addresses in ADDRESSES.items()}
    manifests = [
        manifest(namespace, [{"address": a} for a in addresses], name=name, ports=[{"port": PORT}], check=QUICK)
        for name, addresses in ADDRESSES.items()
    ]
    path = write(tmp_path / "m.yaml", *manifests)
    server = yaml.safe_load(extsync_kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    api_port = urlsplit(server).port
    assert api_port is not None
    log = tmp_path / "run.log"

    def shown() -> dict[str, dict[str, bool]]:
        return {name: cluster.ready(name) for name in NAMES}

    with (
        Apart([a for pair in ADDRESSES.values() for a in pair], api_port=api_port, folder=tmp_path) as networks,
        Running("-f", path, kubeconfig=extsync_kubeconfig, log=log, within=networks.command),
    ):
        wait_for(lambda: shown() == up, "ready endpoints")
        both = {name: (set(addresses), set[str]()) for name, addresses in ADDRESSES.items()}
        wait_for(lambda: {name: cluster.split(name) for name in NAMES} == both, "Endpoints")
        before = cluster.versions()

        networks.pull_out()
        wait_for(lambda: "extsync itself seems to be cut off" in log.read_text(), "self-doubt")
        time.sleep(LONG_ENOUGH)
        assert cluster.versions() == before
        networks.plug_in()
        wait_for(lambda: "failures are believed again" in log.read_text(), "end of self-doubt")
        time.sleep(LONG_ENOUGH / 2)
        assert cluster.versions() == before
        around = {(name, reason) for name in NAMES for reason in ("ProberIsolated", "ProberConnected")}
        wait_for(lambda: told_of(cluster) >= around, "events of the outage and of its end")
        assert told_of(cluster) == around

        for address in ADDRESSES["s0"]:
            networks.far(f"addr del {address}/32 dev lo")
        expected = {**up, "s0": dict.fromkeys(ADDRESSES["s0"], False)}
        wait_for(lambda: shown() == expected, "endpoints that are not ready")
        wait_for(lambda: ("s0", "ServiceEmpty") in told_of(cluster), "the event on the service that died")
        assert {name for name, reason in told_of(cluster) if not reason.startswith("Prober")} == {"s0"}
        assert log.read_text().count("extsync itself seems to be cut off") == 1 + len(NAMES)


def told_of(cluster: Cluster) -> set[tuple[str, str]]:
    """The events there are: the name of the object and the reason of each."""
    events = json.loads(cluster.kubectl("get", "events", "-o", "json"))["items"]
    return {(event["involvedObject"]["name"], event["reason"]) for event in events}
