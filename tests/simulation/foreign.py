"""Objects of somebody else, which look much like extsync's, and which nobody may change."""

from __future__ import annotations

from typing import Any

from extsync.kube.memory import MemoryStore
from extsync.objects import MANAGED_BY_LABEL, SERVICE_NAME_LABEL, Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.unmanaged import ENDPOINTS_MANAGED_BY_LABEL
from tests.simulation.invariants import Checker
from tests.simulation.scenario import NAMESPACE

MANAGER = "somebody.example.com"
_PORT = {"name": "theirs", "port": 81, "protocol": "TCP"}


def put_foreign_objects(store: MemoryStore, checker: Checker) -> None:
    """A Service of no manifest, a slice written by hand, and one of another manager where what is nobody's is
    adopted."""
    store.put(Service, {"metadata": _metadata("theirs"), "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}})
    store.put(EndpointSlice, _slice("rack-theirs", {SERVICE_NAME_LABEL: "rack"}))
    store.put(EndpointSlice, _slice("legacy-theirs", {SERVICE_NAME_LABEL: "legacy", MANAGED_BY_LABEL: MANAGER}))
    checker.protect(Service, "theirs")
    checker.protect(EndpointSlice, "rack-theirs")
    checker.protect(EndpointSlice, "legacy-theirs")


def put_in_the_place_of(store: MemoryStore, checker: Checker, kind: type[KubeObject], service: str) -> None:
    """A Service of that name without any mark of extsync, or Endpoints that say who keeps them."""
    if kind is Service:
        body: dict[str, Any] = {"metadata": _metadata(service), "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}}
    else:
        subset = {"addresses": [{"ip": "198.18.0.2"}], "ports": [_PORT]}
        labels = {ENDPOINTS_MANAGED_BY_LABEL: MANAGER, "endpointslice.kubernetes.io/skip-mirror": "true"}
        body = {"metadata": _metadata(service) | {"labels": labels}, "subsets": [subset]}
        kind = Endpoints
    store.put(kind, body)
    checker.protect(kind, service)


def _slice(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": _metadata(name) | {"labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["198.18.0.1"], "conditions": {"ready": True}}],
        "ports": [_PORT],
    }


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE}
