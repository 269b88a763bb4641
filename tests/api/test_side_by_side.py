"""Two installations and hand-written objects in one namespace, through every kind of trouble after another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api.backends import Backend
from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.api.sampling import Looking
from tests.cluster.control_plane import ControlPlane
from tests.cluster.rest import RequestFailedError
from tests.cluster.waiting import wait_for
from tests.servers.consul import Consul

QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}
FILED = {f"198.51.100.{number}": True for number in range(1, 6)}
REGISTERED = {f"203.0.113.{number}": True for number in range(1, 6)}
STRICT = {"guard": {"maxRemovalPercent": 10, "minRemovals": 0}}
"""While an agent is filled again one instance after another, some of them are missing, which is no large removal."""
AWAY = 5.0
"""Seconds for which the API server is away."""
CAUGHT_UP = 60.0
OWNER = "extsync.dev/owner"

BY_HAND: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "legacy"}, "spec": {"ports": [{"port": 80}]}},
    {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "legacy"},
        "subsets": [{"addresses": [{"ip": "192.0.2.200"}], "ports": [{"port": 80}]}],
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "by-hand-1", "labels": {"kubernetes.io/service-name": "by-hand"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.201"]}],
        "ports": [{"port": 80}],
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "picked"},
        "spec": {"selector": {"app": "picked"}, "ports": [{"port": 80}]},
    },
]
OF_OTHERS = ("Service/legacy", "Endpoints/legacy", "EndpointSlice/by-hand-1", "Service/picked", "Endpoints/picked")


class Staying(Looking):
    """Looks all the time, in a thread, whether endpoints that must not leave are published as ready.

    ``wanted`` are their addresses by service. What cannot be looked at, while the API server is away, is passed over.
    """

    def __init__(self, control_plane: ControlPlane, namespace: str, wanted: dict[str, dict[str, bool]]) -> None:
        super().__init__()
        self._control_plane = control_plane
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._wanted = wanted

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                slices = self._control_plane.request("GET", self._path)["items"]
            except (OSError, RequestFailedError):
                continue
            self.looks += 1
            for service, addresses in self._wanted.items():
                if (found := _published(slices, service)) != addresses:
                    self.faults.append(f"{service}: {found}")


def _published(slices: list[dict[str, Any]], service: str) -> dict[str, bool]:
    return {
        endpoint["addresses"][0]: endpoint["conditions"]["ready"]
        for slice_ in slices
        if slice_["metadata"]["labels"].get("kubernetes.io/service-name") == service
        for endpoint in slice_["endpoints"] or ()
    }


class Installation:
    """One extsync with an owner id and manifests of its own, which can be killed and started again."""

    def __init__(self, owner: str, folder: Path, kubeconfig: Path, *manifests: dict[str, Any]) -> None:
        self.owner = owner
        self.log = folder / f"{owner}.log"
        self._path = write(folder / f"{owner}.yaml", *manifests)
        self._kubeconfig = kubeconfig

    def run(self) -> Running:
        return Running("-f", self._path, "--owner", self.owner, kubeconfig=self._kubeconfig, log=self.log)


class Probed:
    """A service with one backend that can go down, and what is published of it."""

    def __init__(self, cluster: Cluster, name: str, address: str, backend: Backend) -> None:
        self._cluster = cluster
        self._name = name
        self._address = address
        self.backend = backend

    @property
    def manifest(self) -> dict[str, Any]:
        entry = {"address": self._address, "probe": {"host": "127.0.0.1", "port": self.backend.port}}
        return manifest(self._cluster.namespace, [entry], name=self._name, check=QUICK)

    def becomes(self, *, ready: bool) -> None:
        """Waits until its slice and its Endpoints say so."""
        split = ({self._address}, set[str]()) if ready else (set[str](), {self._address})
        wait_for(
            lambda: (
                self._cluster.ready(self._name) == {self._address: ready} and self._cluster.split(self._name) == split
            ),
            f"{self._name} as {'ready' if ready else 'not ready'}",
            seconds=CAUGHT_UP,
        )


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def backends() -> Iterator[tuple[Backend, Backend]]:
    with Backend() as east, Backend() as west:
        yield east, west


def file_source(path: Path) -> list[dict[str, Any]]:
    hold = {"nx": "1s", "nodata": "1s"}  # so that the guard has to keep what is gone
    return [{"name": "inventory", "file": {"files": [path.name], "refreshInterval": "1s"}, "hold": hold}]


def consul_source(consul: Consul) -> list[dict[str, Any]]:
    hold = {"nx": "1s", "nodata": "1s"}
    return [{"name": "agent", "consul": {"server": consul.url, "services": ["web"]}, "hold": hold}]


def register(consul: Consul) -> None:
    for address in REGISTERED:
        consul.register("web", address, 80)


def inventory(path: Path, addresses: dict[str, bool]) -> None:
    """Writes the file of a source, at once as an editor would."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps([{"address": address} for address in addresses]))
    draft.rename(path)


def raw(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """All objects of others as they are, to the last field."""
    objects = json.loads(cluster.kubectl("get", "services,endpoints,endpointslices", "-o", "json"))["items"]
    found = {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in objects}
    return {name: obj for name, obj in found.items() if OWNER not in obj["metadata"].get("labels", {})}


def owners(cluster: Cluster) -> dict[str, set[str]]:
    """The owner ids of the objects of each service that extsync keeps."""
    objects = json.loads(cluster.kubectl("get", "services,endpoints,endpointslices", "-l", OWNER, "-o", "json"))
    found: dict[str, set[str]] = {}
    for obj in objects["items"]:
        labels, name = obj["metadata"]["labels"], obj["metadata"]["name"]
        found.setdefault(labels.get("kubernetes.io/service-name", name), set()).add(labels[OWNER])
    return found


@pytest.mark.timeout(400)
def test_two_installations_and_hand_written_objects_get_through_every_trouble_side_by_side(
    control_plane: ControlPlane,
    cluster: Cluster,
    extsync_kubeconfig: Path,
    tmp_path: Path,
    backends: tuple[Backend, Backend],
    consul: Consul,
) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": BY_HAND}))
    wait_for(lambda: _is_complete(raw(cluster)), "objects of the controllers")
    filed = tmp_path / "inventory.json"
    inventory(filed, FILED)
    register(consul)
    east_probed = Probed(cluster, "east-probed", "192.0.2.1", backends[0])
    west_probed = Probed(cluster, "west-probed", "192.0.2.2", backends[1])
    east = Installation(
        "east",
        tmp_path,
        extsync_kubeconfig,
        east_probed.manifest,
        manifest(cluster.namespace, [], name="east-filed", sources=file_source(filed)),
        # What somebody keeps by hand is refused, also where a manifest names it.
        manifest(cluster.namespace, [{"address": "192.0.2.202"}], name="legacy", service=None),
    )
    west = Installation(
        "west",
        tmp_path,
        extsync_kubeconfig,
        west_probed.manifest,
        manifest(cluster.namespace, [], name="west-registered", sources=consul_source(consul), policy=STRICT),
        manifest(cluster.namespace, [{"address": "192.0.2.203"}], name="picked", service=None),
    )
    before = raw(cluster)
    wanted = {"east-filed": FILED, "west-registered": REGISTERED}
    with ExitStack() as running:
        running.enter_context(east.run())
        second = running.enter_context(west.run())
        for probed in (east_probed, west_probed):
            probed.becomes(ready=True)
        for service, addresses in wanted.items():
            wait_for(lambda s=service, a=addresses: cluster.ready(s) == a, service)  # type: ignore[misc]
        with Staying(control_plane, cluster.namespace, wanted):
            _backends_flip(east_probed, west_probed)
            _a_file_is_wiped(filed, east)
            _an_agent_is_emptied(consul, west)
            second.kill()
            west_probed.backend.stop()
            running.enter_context(west.run())
            west_probed.becomes(ready=False)
            _the_api_server_is_away(control_plane, east_probed)
            _rights_are_taken_away(control_plane, west_probed, west)
            inventory(filed, FILED)
            register(consul)
            for probed in (east_probed, west_probed):
                probed.becomes(ready=True)
        assert owners(cluster) == {
            "east-probed": {"east"},
            "east-filed": {"east"},
            "west-probed": {"west"},
            "west-registered": {"west"},
        }
    assert raw(cluster) == before


def _is_complete(objects: dict[str, dict[str, Any]]) -> bool:
    """Whether Kubernetes has made what it makes for the objects: Endpoints and a slice of one, a mirror of another."""
    slices = [obj for obj in objects.values() if obj["kind"] == "EndpointSlice"]
    return set(OF_OTHERS) <= set(objects) and len(slices) == 3


def _backends_flip(*services: Probed) -> None:
    for down in (True, False):
        for probed in services:
            probed.backend.stop() if down else probed.backend.start()
        for probed in services:
            probed.becomes(ready=not down)


def _a_file_is_wiped(path: Path, installation: Installation) -> None:
    """First there is nothing in it, which is no list; then an empty list, which the guard takes for an accident."""
    path.write_text("")
    _until_said(installation, "inventory")
    inventory(path, {})
    _until_said(installation, "withheld removal")


def _an_agent_is_emptied(consul: Consul, installation: Installation) -> None:
    consul.restart()
    _until_said(installation, "source 'agent': suspect: ")


def _the_api_server_is_away(control_plane: ControlPlane, probed: Probed) -> None:
    control_plane.stop_api()
    try:
        probed.backend.stop()
        time.sleep(AWAY)
    finally:
        control_plane.start_api()
    probed.becomes(ready=False)
    probed.backend.start()


def _rights_are_taken_away(control_plane: ControlPlane, probed: Probed, installation: Installation) -> None:
    """While ``probed``, which was down, comes up again."""
    control_plane.kubectl("delete", "clusterrolebinding", "shipped")
    try:
        probed.backend.start()
        _until_said(installation, "cannot update resource")
    finally:
        control_plane.kubectl("create", "clusterrolebinding", "shipped", "--clusterrole=shipped", "--user=extsync")


def _until_said(installation: Installation, text: str) -> None:
    wait_for(lambda: text in installation.log.read_text(), f"{text!r} in {installation.log}", seconds=CAUGHT_UP)
