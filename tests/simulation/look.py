"""What the store shows at one moment, by service."""

from __future__ import annotations

from typing import Any, TypeAlias

from extsync.kube.memory import MemoryStore
from extsync.objects import SERVICE_NAME_LABEL, Endpoints, EndpointSlice, KubeObject, Service
from tests.simulation.scenario import ENDPOINTS_ONLY, NAMESPACE

KINDS: tuple[type[KubeObject], ...] = (Service, EndpointSlice, Endpoints)

Shown: TypeAlias = dict[str, bool]
"""Addresses, and whether they are ready."""


class Look:
    """All Services, slices and Endpoints. ``foreign`` are the slices that are somebody else's."""

    def __init__(self, store: MemoryStore, foreign: frozenset[str]) -> None:
        self.revision = store.revision
        self.bodies: dict[tuple[str, str], Any] = {
            (kind.__name__, body["metadata"]["name"]): body for kind in KINDS for body in store.dump(kind, NAMESPACE)
        }
        self._slices: dict[str, list[Any]] = {}
        self._addresses: frozenset[str] | None = None
        for (kind, name), body in self.bodies.items():
            if kind == "EndpointSlice" and name not in foreign:
                service = body["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL, "")
                self._slices.setdefault(service, []).append(body)

    def uid(self, service: str) -> str:
        """The uid of a Service, "" where there is none."""
        body = self.bodies.get(("Service", service))
        return "" if body is None else str(body["metadata"]["uid"])

    def all_slices(self) -> list[Any]:
        return [body for (kind, _), body in self.bodies.items() if kind == "EndpointSlice"]

    def versions(self) -> dict[tuple[str, str], str]:
        """The resourceVersion of every object."""
        return {name: body["metadata"]["resourceVersion"] for name, body in self.bodies.items()}

    def slices(self, service: str, uid: str | None = None) -> Shown:
        """What the slices of a service show, those of somebody else aside.

        ``uid`` is that of the Service to which they have to belong, None: any.
        """
        return {
            endpoint["addresses"][0]: endpoint["conditions"]["ready"]
            for slice_ in self._slices.get(service, ())
            if uid in (None, _owner(slice_))
            for endpoint in slice_.get("endpoints") or ()
        }

    def endpoints(self, service: str, uid: str | None = None) -> Shown:
        """What the Endpoints of a service show; ``uid`` as for ``slices``."""
        body = self.bodies.get(("Endpoints", service))
        if body is None or uid not in (None, _owner(body)):
            return {}
        shown: Shown = {}
        for subset in body.get("subsets") or ():
            shown.update({address["ip"]: True for address in subset.get("addresses") or ()})
            shown.update({address["ip"]: False for address in subset.get("notReadyAddresses") or ()})
        return shown

    def addresses(self) -> frozenset[str]:
        """Every address in any slice or Endpoints."""
        if self._addresses is None:
            found = {one["addresses"][0] for body in self.all_slices() for one in body.get("endpoints") or ()}
            for kind, name in self.bodies:
                found.update(self.endpoints(name) if kind == "Endpoints" else ())
            self._addresses = frozenset(found)
        return self._addresses

    def published(self, service: str) -> Shown:
        """What extsync itself publishes for the present Service."""
        uid = self.uid(service)
        return self.endpoints(service, uid) if service in ENDPOINTS_ONLY else self.slices(service, uid)


def _owner(obj: Any) -> str:
    """The uid of the first owner, "" where there is none."""
    return next((str(reference["uid"]) for reference in obj["metadata"].get("ownerReferences", ())), "")
