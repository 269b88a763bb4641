"""A cluster in miniature for tests of plans: it does what changes say, as strictly as the API server, and mirrors."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import msgspec

from extsync.changes import ApplyService, Change, Create, Delete, Update
from extsync.model import Endpoint, PortValue, ServiceKey, State, Why
from extsync.objects import (
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    EndpointConditions,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    KubeObject,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    SliceEndpoint,
    SlicePort,
)
from extsync.plan.metadata import is_ours
from extsync.plan.plan import Current
from extsync.plan.published import Place, places, port_set, read_endpoints

KEY = ServiceKey("default", "orders")
UID = "0b6f0d61-8d4d-4a29-a2d0-5c8e4f6f7a10"
MYSQL = (PortValue("mysql", 3306),)


def service(**spec: object) -> Service:
    """A Service with an address, both families and two ports, changed by ``spec``."""
    fields: dict[str, object] = {
        "type": "ClusterIP",
        "cluster_ip": "10.96.0.7",
        "ip_families": ("IPv4",),
        "ports": (ServicePort(name="mysql", port=3306, protocol="TCP"),),
    }
    metadata = ObjectMeta(name=KEY.name, namespace=KEY.namespace, uid=UID, resource_version="1", labels={"app": "db"})
    return Service(metadata=metadata, spec=ServiceSpec(**{**fields, **spec}))  # type: ignore[arg-type]


def endpoint(
    address: str,
    state: State = State.READY,
    *,
    ports: tuple[PortValue, ...] = MYSQL,
    group: str = "",
    hostname: str | None = None,
    node_name: str | None = None,
    zone: str | None = None,
) -> Endpoint:
    return Endpoint(address, ports, group, state, Why.HEALTHY, hostname, node_name, zone)


def addresses(number: int, *, first: int = 1) -> list[str]:
    return [f"10.0.{i >> 8}.{i & 255}" for i in range(first, first + number)]


def many(number: int, *, first: int = 1) -> tuple[Endpoint, ...]:
    return tuple(endpoint(address) for address in addresses(number, first=first))


class Cluster:
    """The objects of one Service. What it holds was encoded and decoded, as if it came from a watch."""

    def __init__(self, service_: Service | None = None) -> None:
        self.service: Service | None = service() if service_ is None else service_
        self.slices: dict[str, EndpointSlice] = {}
        self.endpoints: Endpoints | None = None
        self.writes = 0
        self._versions = count(100)

    @property
    def current(self) -> Current:
        return Current(self.service, tuple(self.slices.values()), self.endpoints)

    def carry_out(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.carry_out_one(change)

    def carry_out_one(self, change: Change) -> None:
        self.writes += 1
        if isinstance(change, ApplyService):
            applied = msgspec.convert(change.body, Service)
            uid = UID if self.service is None else self.service.metadata.uid
            self.service = msgspec.structs.replace(
                applied, metadata=msgspec.structs.replace(applied.metadata, uid=uid, resource_version="2")
            )
        elif isinstance(change, Create):
            assert not change.obj.metadata.uid
            assert not change.obj.metadata.resource_version
            assert self._get(type(change.obj), change.obj.metadata.name) is None, "AlreadyExists"
            self.put(change.obj)
        elif isinstance(change, Update):
            self._check(type(change.obj), change.obj.metadata.name, change.obj.metadata)
            self.put(change.obj)
        else:
            version = ObjectMeta(uid=change.uid, resource_version=change.resource_version)
            self._check(change.kind, change.name, version)
            self._remove(change)

    def put(self, obj: KubeObject) -> None:
        """Stores ``obj`` as a new version."""
        metadata = obj.metadata
        version = str(next(self._versions))
        metadata = msgspec.structs.replace(metadata, uid=metadata.uid or f"uid-{version}", resource_version=version)
        stored = msgspec.json.decode(
            msgspec.json.encode(msgspec.structs.replace(obj, metadata=metadata)), type=type(obj)
        )
        if isinstance(stored, EndpointSlice):
            _check_slice(stored)
            # Empty lists read back as null.
            stored = msgspec.structs.replace(stored, endpoints=stored.endpoints or None, ports=stored.ports or None)
            self.slices[stored.metadata.name] = stored
        elif isinstance(stored, Endpoints):
            _check_endpoints(stored)
            self.endpoints = stored
        else:
            raise TypeError(type(stored))

    def _get(self, kind: type[KubeObject], name: str) -> KubeObject | None:
        return self.slices.get(name) if kind is EndpointSlice else self.endpoints

    def _check(self, kind: type[KubeObject], name: str, version: ObjectMeta) -> None:
        current = self._get(kind, name)
        assert current is not None, "NotFound"
        assert (version.uid, version.resource_version) == (current.metadata.uid, current.metadata.resource_version)

    def _remove(self, change: Delete) -> None:
        if change.kind is EndpointSlice:
            del self.slices[change.name]
        else:
            self.endpoints = None

    # ---- what a test looks at ----------------------------------------------------------------------------------------

    @property
    def ours(self) -> list[EndpointSlice]:
        assert self.service is not None
        return [slice_ for slice_ in self.slices.values() if is_ours(slice_, self.service, "default")]

    @property
    def only_slice(self) -> EndpointSlice:
        (slice_,) = self.slices.values()
        return slice_

    def sizes(self) -> list[int]:
        return sorted((len(slice_.endpoints or ()) for slice_ in self.ours), reverse=True)

    def shown(self) -> list[tuple[str, tuple[PortValue, ...], str, bool]]:
        """Every endpoint of our slices: address, ports, group, whether it is ready."""
        return [
            (e.addresses[0], port_set(s.ports), s.labels.get("extsync.dev/group", ""), bool(e.conditions.ready))
            for s in self.ours
            for e in s.endpoints or ()
        ]

    def served(self) -> set[Place]:
        """What kube-proxy knows: every address and port that any slice has."""
        return {
            place
            for slice_ in self.slices.values()
            for e in slice_.endpoints or ()
            for place in places(e.addresses[0], port_set(slice_.ports))
        }

    # ---- the mirroring controller ------------------------------------------------------------------------------------

    def mirror(self) -> None:
        """One pass of Kubernetes's mirroring controller."""
        wanted: dict[str, EndpointSlice] = {}
        endpoints = self.endpoints
        if endpoints is not None and endpoints.labels.get(SKIP_MIRROR_LABEL) != "true":
            for number, subset in enumerate(endpoints.subsets or ()):
                name = f"{KEY.name}-mirrored-{number}"
                wanted[name] = self._mirrored(name, endpoints, subset)
        for name, slice_ in list(self.slices.items()):
            if slice_.labels.get(MANAGED_BY_LABEL) == MIRRORING_CONTROLLER and name not in wanted:
                del self.slices[name]
        for slice_ in wanted.values():
            self.put(slice_)

    def _mirrored(self, name: str, endpoints: Endpoints, subset: EndpointSubset) -> EndpointSlice:
        part = msgspec.structs.replace(endpoints, subsets=(subset,))
        return EndpointSlice(
            metadata=ObjectMeta(
                name=name,
                namespace=KEY.namespace,
                labels={
                    **endpoints.labels,
                    SERVICE_NAME_LABEL: KEY.name,
                    MANAGED_BY_LABEL: MIRRORING_CONTROLLER,
                },
            ),
            address_type="IPv4",
            endpoints=tuple(
                SliceEndpoint(addresses=(e.address,), conditions=EndpointConditions(e.state is State.READY))
                for e in read_endpoints(part)
            ),
            ports=tuple(
                SlicePort(name=p.name or "", port=p.port, protocol=p.protocol, app_protocol=p.app_protocol)
                for p in subset.ports or ()
            ),
        )


def _check_slice(slice_: EndpointSlice) -> None:
    endpoints = slice_.endpoints or ()
    assert len(endpoints) <= 1000
    assert slice_.address_type in ("IPv4", "IPv6")
    assert all((":" in e.addresses[0]) == (slice_.address_type == "IPv6") for e in endpoints)
    assert len({port.name for port in slice_.ports or ()}) == len(slice_.ports or ())
    assert len(slice_.metadata.name) <= 253
    assert all(len(value) <= 63 for value in slice_.labels.values())


def _check_endpoints(endpoints: Endpoints) -> None:
    assert endpoints.metadata.name == KEY.name
    for subset in endpoints.subsets or ():
        assert subset.addresses or subset.not_ready_addresses, "a subset without addresses"
        assert len({port.name for port in subset.ports or ()}) == len(subset.ports or ())
