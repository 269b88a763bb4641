"""Random sequences of operations, carried out on any store, and their answers in a form that can be compared.

A sequence is made from its seed alone: it names objects, contents and preconditions by what they are ("the version
before the last"), never by values that a store chose. So the same sequence runs on two stores, and their answers,
stripped of what differs by right, must be the same step by step.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from extsync.errors import StoreError
from extsync.kube import codec
from extsync.kube.store import Store
from extsync.objects import Endpoints, EndpointSlice, Event, KubeObject, Lease, Service
from tests.contract.cluster import Cluster, Json
from tests.contract.things import service_body

STEPS = 60
LONG = "x" * 64

# Of each list the first items are right and likelier.
LABELS: list[Json | None] = [
    None, {}, {"app": "db"}, {"app": "db", "example.com/tier": "a.B_c-1"}, {"app": ""},
    {"app": LONG}, {"-bad": "x"}, {"a/b/c": "x"}, {"app": "white space"},
]  # fmt: skip
ANNOTATIONS: list[Json | None] = [None, {}, {"Note": "any text at all"}, {"x.y/Z": ""}, {"not ok": "x"}]
FINALIZERS: list[list[str] | None] = [None, None, None, [], ["example.com/hold"], ["plain"], ["bad name"]]
OWNERS: list[list[Json] | None] = [
    None,
    None,
    [{"apiVersion": "example.com/v1", "kind": "Thing", "name": "a", "uid": "1", "controller": True}],
    [{"apiVersion": "example.com/v1", "kind": "Thing", "name": "a", "uid": "1", "controller": True}] * 2,
    [{"apiVersion": "example.com/v1", "kind": "Thing", "name": name, "uid": name, "controller": True} for name in "ab"],
    [{"apiVersion": "example.com/v1", "kind": "Thing", "name": "", "uid": "1"}],
]
IPV4 = [
    "192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.7", "239.1.1.1", "255.255.255.255", "2001:db8::1", "2001:db8::2",
    "2001:DB8::3", "2001:db8:0:0:0:0:0:4", "127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.5", "192.0.2.01",
    "::ffff:192.0.2.1", "::", "::1", "fe80::1", "ff02::1", "ff12::1", "fe80::1%eth0", "", "host.example.com", "1.2.3",
    "a.b.",
]  # fmt: skip
HOSTNAMES: list[str | None] = [None, "db-1", "1", "", "DB", "a.b", LONG]
NODES: list[str | None] = [None, "node-1", "node-1.example.com", "", "Node_1"]
ZONES: list[str | None] = [None, "zone-a", "", "any Thing !"]
PORT_NAMES: list[str | None] = [None, "http", "https", "", "HTTP", "a.b", LONG, "3306"]
PORTS = [80, 443, 8080, 65535, 0, -5, 70_000, 1 << 31]
PROTOCOLS: list[str | None] = [None, "TCP", "UDP", "SCTP", "tcp", ""]
APP_PROTOCOLS: list[str | None] = [None, "http", "kubernetes.io/h2c", "", "a b"]
HINTS: list[Json | None] = [
    None,
    {"forZones": [{"name": "zone-a"}]},
    {"forNodes": [{"name": "node-1"}]},
    {},
    {"forZones": [{"name": "zone-a"}, {"name": "zone-a"}]},
    {"forNodes": [{"name": "Node_1"}]},
    {"forZones": [{"name": f"zone-{number}"} for number in range(9)]},
]
CONDITIONS: list[Json] = [{"ready": True}, {"ready": False, "serving": True, "terminating": True}, {}]
# fieldPath and resourceVersion are fields that extsync's own structs do not have.
TARGETS: list[Json | None] = [
    None,
    {"kind": "Pod", "name": "a", "uid": "1"},
    {"kind": "Pod", "name": "a", "fieldPath": "x", "resourceVersion": "1"},
]


_ENDPOINTS = ["eps-a", "eps-b"]


class Step(NamedTuple):
    """One operation. ``version`` and ``uid`` say which of those that the object had: 0 the last, 1 the one before."""

    verb: str
    kind: type[KubeObject]
    name: str
    content: Json
    version: int | None
    uid: int


class Answer(NamedTuple):
    """What a step came to: "ok" or the class of the error, and the object as it is stored then."""

    step: Step
    outcome: str
    stored: Json | None


# ---- Making sequences -----------------------------------------------------------------------------------------------


class Dice:
    """Chooses contents: mostly right ones, so that sequences go on, with wrong ones among them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # A Service that becomes an ExternalName keeps its internalTrafficPolicy, hidden, until it is something else
        # again. The in-memory store forgets it, so no sequence has both.
        self.has_external_names = seed % 3 == 0
        self.choice = self._random.choice
        self.random = self._random.random

    def pick(self, values: list[Any], right: int) -> Any:
        """One of the first ``right`` values, now and then one of the others."""
        return self.choice(values[:right] if self.random() < 0.97 else values)

    def several(self, make: Callable[[], Any], most: int) -> list[Any]:
        return [make() for _ in range(self._random.randint(0, most))]


def sequence(seed: int, length: int = STEPS) -> list[Step]:
    """The steps of a seed."""
    dice = Dice(seed)
    return [_step(dice) for _ in range(length)]


def _step(dice: Dice) -> Step:
    kinds: list[type[KubeObject]] = [EndpointSlice, Endpoints, Service, EndpointSlice, Endpoints, Service, Lease, Event]
    kind = dice.choice(kinds)
    verbs = ["create"] * 5 + ["update"] * 6 + ["delete"] * 2 + ["get", "put"]
    if kind is Service:
        verbs += ["apply"] * 6 + ["apply-other"] * 3 + ["dry-run"]
    verb = dice.choice(verbs)
    # No step deletes the Services of Endpoints: a controller would delete the Endpoints after it in its own time.
    names = {Service: ["svc-a", "svc-b"], Endpoints: _ENDPOINTS, EndpointSlice: ["slice-a", "slice-b"]}
    bad_names = ["Bad", "1st", "a.b", LONG, *([""] if verb == "create" else [])]
    name = dice.choice(names.get(kind, ["one"])) if dice.random() < 0.97 else dice.choice(bad_names)
    version = dice.choice([0, 0, 0, 0, 0, 0, 0, 1, None])
    uid = dice.choice([0, 0, 0, 0, 0, 0, 0, 0, 1])
    return Step(verb, kind, name, _content(kind, dice), version, uid)


def _content(kind: type[KubeObject], dice: Dice) -> Json:
    makers: dict[type[KubeObject], Callable[[Dice], Json]] = {
        EndpointSlice: _slice, Endpoints: _endpoints, Service: _service, Lease: _lease, Event: _event
    }  # fmt: skip
    metadata = {
        "labels": dice.pick(LABELS, 4),
        "annotations": dice.pick(ANNOTATIONS, 4),
        "finalizers": dice.pick(FINALIZERS, 5),
        "ownerReferences": dice.pick(OWNERS, 4),
    }
    return {"metadata": _given(metadata), **makers[kind](dice)}


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _slice(dice: Dice) -> Json:
    family = dice.pick(["IPv4", "IPv4", "IPv4", "IPv6", "FQDN", "ipv4", ""], 3)
    first, right = (6, 2) if family == "IPv6" else (0, 6)

    def endpoint() -> Json:
        return _given({
            "addresses": [dice.pick(IPV4[first:], right) for _ in range(dice.pick([1, 1, 1, 2, 0], 4))],
            "conditions": dice.choice(CONDITIONS),
            "hostname": dice.pick(HOSTNAMES, 3),
            "nodeName": dice.pick(NODES, 3),
            "zone": dice.choice(ZONES),
            "targetRef": dice.choice(TARGETS),
            "hints": dice.pick(HINTS, 4),
        })  # fmt: skip

    def port() -> Json:
        return _given({
            "name": dice.pick(PORT_NAMES, 4),
            "port": dice.pick([None, *PORTS], 8),
            "protocol": dice.pick(PROTOCOLS, 4),
            "appProtocol": dice.pick(APP_PROTOCOLS, 3),
        })  # fmt: skip

    return {"addressType": family, "endpoints": dice.several(endpoint, 3), "ports": dice.several(port, 2)}


def _endpoints(dice: Dice) -> Json:
    def address() -> Json:
        return _given({
            "ip": dice.pick(IPV4, 10),
            "hostname": dice.pick(HOSTNAMES, 4),
            "nodeName": dice.pick(NODES, 3),
            "targetRef": dice.choice(TARGETS),
        })  # fmt: skip

    def port() -> Json:
        return _given({
            "name": dice.pick(PORT_NAMES, 3),
            "port": dice.pick(PORTS, 4),
            "protocol": dice.pick(PROTOCOLS, 4),
            "appProtocol": dice.pick(APP_PROTOCOLS, 3),
        })  # fmt: skip

    def subset() -> Json:
        return {
            "addresses": [address(), *dice.several(address, 2)] if dice.random() < 0.9 else [],
            "notReadyAddresses": dice.several(address, 2),
            "ports": dice.several(port, 2),
        }

    return {"subsets": dice.several(subset, 2)}


def _service(dice: Dice) -> Json:
    def port(name: str | None) -> Json:
        return _given({
            "name": dice.pick([name, *PORT_NAMES], 1),
            "port": dice.pick(PORTS, 4),
            "protocol": dice.pick(PROTOCOLS, 3),
            "targetPort": dice.pick([None, None, 8080, "web", 0, 70_000, "WEB", "a--b", "1234", "", LONG], 4),
            "appProtocol": dice.pick(APP_PROTOCOLS, 3),
        })  # fmt: skip

    kinds = [None, None, "ClusterIP", "NodePort", "LoadBalancer", "ExternalName" if dice.has_external_names else None]
    kind = dice.pick([*kinds, "Bogus"], len(kinds))
    outside = kind in ("NodePort", "LoadBalancer")
    policies = [None, "Local", "Cluster", "Bogus"]
    spec = {
        "type": kind,
        "ports": [port(name) for name in dice.pick([[None], ["http"], ["https", "http"], ["http", "https"], []], 4)],
        "clusterIP": dice.pick([None] * 9 + ["None", "", "203.0.113.1", "not an address"], 11 if not outside else 9),
        "externalName": dice.pick(["db.example.com", "a.b.", None, "Bad!"], 2) if kind == "ExternalName" else None,
        "sessionAffinity": dice.pick([None, None, None, "None", "ClientIP", "Bogus"], 5),
        "sessionAffinityConfig": dice.pick(
            [None, None, None, {"clientIP": {"timeoutSeconds": 60}}, {"clientIP": {"timeoutSeconds": 0}}], 4
        ),
        "internalTrafficPolicy": None if dice.has_external_names else dice.pick([None, None, *policies], 5),
        "externalTrafficPolicy": dice.pick(policies, 3 if outside else 1),
        "trafficDistribution": dice.pick([None, None, "PreferClose", "PreferSameZone", "Bogus"], 4),
        "publishNotReadyAddresses": dice.choice([None, None, False, True]),
        "allocateLoadBalancerNodePorts": dice.pick([None, None, False], 3 if kind == "LoadBalancer" else 2),
        "selector": dice.pick([None, {}, {"a b": "c"}], 2),
    }
    if kind != "ExternalName" and dice.random() < 0.4:
        families = [None, ["IPv4"], ["IPv4", "IPv6"], ["IPv6"], ["IPv4", "IPv4"], ["IPv5"]]
        spec["ipFamilies"] = dice.pick(families, 4)
        spec["ipFamilyPolicy"] = dice.pick([None, "SingleStack", "PreferDualStack", "RequireDualStack", "Bogus"], 4)
    if dice.random() < 0.02:
        spec["unheardOf"] = 1
    return {"spec": _given(spec)}


def _lease(dice: Dice) -> Json:
    return {"spec": _given({
        "holderIdentity": dice.choice([None, "a", ""]),
        "leaseDurationSeconds": dice.pick([None, 15, 0], 2),
        "leaseTransitions": dice.pick([None, 0, 3, -1], 3),
        "renewTime": dice.choice([None, "2026-01-01T00:00:00.000000Z"]),
    })}  # fmt: skip


def _event(dice: Dice) -> Json:
    namespace = dice.pick(["here", None, "elsewhere"], 1)
    return {
        "involvedObject": _given({"kind": "Service", "name": "a", "namespace": namespace}),
        "reason": "Testing",
        "message": "a message",
        "count": dice.choice([1, 2]),
    }


# ---- Carrying them out ----------------------------------------------------------------------------------------------


async def carry_out(steps: list[Step], cluster: Cluster) -> list[Answer]:
    """The answers of a cluster to the steps."""
    async with cluster.open() as store:
        for name in _ENDPOINTS:  # a controller deletes Endpoints that are made again without a Service
            await store.apply_service(service_body(cluster.namespace, name), field_manager="nobody")
        player = _Player(store, cluster)
        return [await player.play(step) for step in steps]


class _Player:
    """Remembers the uids and versions that it saw, to use them again."""

    def __init__(self, store: Store, cluster: Cluster) -> None:
        self._store = store
        self._cluster = cluster
        self._seen: dict[tuple[type[KubeObject], str], list[tuple[str, str]]] = {}
        self._uids: dict[tuple[type[KubeObject], str], list[str]] = {}

    async def play(self, step: Step) -> Answer:
        try:
            await self._try(step)
            outcome = "ok"
        except msgspec.DecodeError:
            return Answer(step, "not an object", None)  # nothing that could have been asked
        except StoreError as error:
            outcome = type(error).__name__
        stored = self._cluster.find(step.kind, step.name) if step.name else None
        if stored is not None:
            self._remember(step.kind, step.name, stored["metadata"])
        return Answer(step, outcome, None if stored is None else comparable(stored))

    async def _try(self, step: Step) -> None:
        kind, name, namespace = step.kind, step.name, self._cluster.namespace
        body = self._body(step)
        match step.verb:
            case "create":
                await self._store.create(codec.decode(kind, msgspec.json.encode(body)))
            case "update":
                body["metadata"] |= {"uid": self._uid(step), "resourceVersion": self._version(step)}
                await self._store.update(codec.decode(kind, msgspec.json.encode(body)))
            case "delete":
                version = self._version(step) if step.version is not None else None
                await self._store.delete(kind, namespace, name, uid=self._uid(step), resource_version=version)
            case "get":
                await self._store.get(kind, namespace, name)
            case "apply" | "apply-other" | "dry-run":
                manager = "other" if step.verb == "apply-other" else "extsync"
                assert kind is Service
                await self._store.apply_service(body, field_manager=manager, dry_run=step.verb == "dry-run")
            case "put":
                await self._put(step, body)

    async def _put(self, step: Step, body: Json) -> None:
        """Somebody else's edit: labels of an object that is there."""
        stored = self._cluster.find(step.kind, step.name) if step.name else None
        if stored is not None and (labels := body["metadata"].get("labels")) in LABELS[:4]:
            self._cluster.put(step.kind, {**stored, "metadata": {**stored["metadata"], "labels": labels or {}}})

    def _body(self, step: Step) -> Json:
        body: Json = msgspec.json.decode(msgspec.json.encode(step.content))
        body["metadata"] |= {"name": step.name, "namespace": self._cluster.namespace}
        if step.kind is Event and body["involvedObject"].get("namespace") == "here":
            body["involvedObject"]["namespace"] = self._cluster.namespace
        return body

    def _remember(self, kind: type[KubeObject], name: str, metadata: Json) -> None:
        seen = self._seen.setdefault((kind, name), [])
        found = metadata["uid"], metadata["resourceVersion"]
        if found not in seen:
            seen.append(found)

    def _version(self, step: Step) -> str:
        seen = self._seen.get((step.kind, step.name), [])
        return seen[-1 - min(step.version or 0, len(seen) - 1)][1] if seen else "1"

    def _uid(self, step: Step) -> str:
        seen = list(dict.fromkeys(uid for uid, _ in self._seen.get((step.kind, step.name), [])))
        return seen[-1 - min(step.uid, len(seen) - 1)] if seen else "0b0e2b46-0000-4000-8000-000000000000"


# ---- Comparing ------------------------------------------------------------------------------------------------------

_CHOSEN = re.compile(r"10\.96\.\d+\.\d+|fd00:10:96::[0-9a-f:]*")


def comparable(stored: Json) -> Json:
    """An object without what a store chooses: uid, version, times, allocated addresses and ports, its namespace."""
    metadata = {
        name: ("set" if name.endswith("Timestamp") else value)
        for name, value in stored["metadata"].items()
        if name not in ("uid", "resourceVersion", "namespace")
    }
    return {**_without_choices(stored), "metadata": metadata}


def _without_choices(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "chosen" if name in ("nodePort", "healthCheckNodePort") else _without_choices(inner)
            for name, inner in value.items()
            if name != "metadata"
        }
    if isinstance(value, list):
        return [_without_choices(item) for item in value]
    if isinstance(value, str):
        return _CHOSEN.sub("chosen", value)
    return value
