"""What must always hold (docs/design.md), as far as this simulation can see it, by number.

1, 2 and 5 are checked after every step, 3, 4, 7 and 9 when things are quiet: an endpoint on its way from one slice
to another is added there before it is taken away here.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from extsync.kube.memory import MemoryStore
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SERVICE_NAME_LABEL,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Service,
)
from tests.simulation.scenario import CHECKED, NAMESPACE, SERVICES, World

KINDS: tuple[type[KubeObject], ...] = (Service, EndpointSlice, Endpoints)


LATEST_WRITE = 40.0
"""Seconds after which what was so is no longer the cause of a write: requests without an answer hold up the others."""


class Violation(AssertionError):
    """An invariant does not hold; the text begins with its number."""


class Checker:
    """Compares what the store shows from one step to the next."""

    def __init__(self, store: MemoryStore, world: World) -> None:
        self._store = store
        self._world = world
        self._published: dict[str, tuple[str, dict[str, bool]]] = {}
        self._foreign: dict[str, Any] = {}
        self._excused_until = 0.0

    def protect(self, kind: type[KubeObject], name: str) -> None:
        """Notes an object of somebody else, which nobody may change from now on."""
        self._foreign[f"{kind.__name__}/{name}"] = self._store.raw(kind, NAMESPACE, name)

    def excuse(self, until: float) -> None:
        """Somebody else took objects away; until the time ``until`` the garbage collector may take more."""
        self._excused_until = until

    def step(self, now: float) -> None:
        """Checks what must hold at every moment; ``now`` is the simulated time."""
        if now < self._excused_until:
            self._published.clear()
        for service in SERVICES:
            self._leaves_and_demotes_nothing_that_is_wanted(service)
        self._others_are_untouched()

    def quiet(self) -> None:
        """Checks what must hold once things are quiet: the cluster says what is true."""
        self._slices_are_sound()
        for service in SERVICES:
            expected = {
                address: self._world.up[address] if address in CHECKED else True
                for address in self._world.desired(service)
            }
            shown = self.slices(service)
            if shown != expected:
                raise Violation(f"7: {service} shows {shown}, and true is {expected}")
            subsets = self.endpoints(service)
            if service != "fleet" and subsets != expected:
                raise Violation(f"9: Endpoints {service} show {subsets}, and slices {shown}")

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every object."""
        return {
            f"{kind.__name__}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"]
            for kind in KINDS
            for obj in self._store.dump(kind, NAMESPACE)
        }

    def slices(self, service: str, uid: str | None = None) -> dict[str, bool]:
        """Whether each address in the slices of a service is ready, those of somebody else aside.

        ``uid`` is that of the Service to which they have to belong, None: any.
        """
        return {
            endpoint["addresses"][0]: endpoint["conditions"]["ready"]
            for slice_ in self._slices()
            if slice_["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL) == service
            and f"EndpointSlice/{slice_['metadata']['name']}" not in self._foreign
            and uid in (None, _owner(slice_))
            for endpoint in slice_.get("endpoints") or ()
        }

    def endpoints(self, service: str, uid: str | None = None) -> dict[str, bool]:
        """Whether each address in the Endpoints of a service is ready; ``uid`` as for ``slices``."""
        found: dict[str, bool] = {}
        for obj in self._store.dump(Endpoints, NAMESPACE):
            if obj["metadata"]["name"] == service and uid in (None, _owner(obj)):
                for subset in obj.get("subsets") or ():
                    found.update({address["ip"]: True for address in subset.get("addresses") or ()})
                    found.update({address["ip"]: False for address in subset.get("notReadyAddresses") or ()})
        return found

    def _slices(self) -> tuple[Any, ...]:
        return self._store.dump(EndpointSlice, NAMESPACE)

    def _leaves_and_demotes_nothing_that_is_wanted(self, service: str) -> None:
        """1 and 2: whatever fails and whoever starts anew, nothing leaves that a source's last good answer names, and
        nothing is demoted that was up all the while.

        Only what belongs to the present Service counts: the garbage collector takes the rest.
        """
        uid = next(
            (o["metadata"]["uid"] for o in self._store.dump(Service, NAMESPACE) if o["metadata"]["name"] == service), ""
        )
        shown = self.endpoints(service, uid) if service == "legacy" else self.slices(service, uid)
        before_uid, before = self._published.get(service, (uid, {}))
        self._published[service] = uid, shown
        if before_uid != uid:
            return
        wanted = [address for address in before if self._world.named_for(service, address) > LATEST_WRITE]
        if left := [address for address in wanted if address not in shown]:
            raise Violation(f"1: {left} left {service}, and its source still names it")
        demoted = [address for address in wanted if before[address] and not shown[address]]
        if wrongly := [address for address in demoted if self._world.up_for(address) > LATEST_WRITE]:
            raise Violation(f"2: {wrongly} of {service} was demoted, and has been up all the while")

    def _slices_are_sound(self) -> None:
        """3: each endpoint once, be it in a slice of ours or in the mirror's, and no slice over its limit."""
        seen: Counter[tuple[str, str]] = Counter()
        for slice_ in self._slices():
            labels = slice_["metadata"].get("labels", {})
            if labels.get(MANAGED_BY_LABEL) not in (MANAGED_BY, MIRRORING_CONTROLLER):
                continue
            endpoints = slice_.get("endpoints") or ()
            if labels.get(SERVICE_NAME_LABEL) == "fleet" and len(endpoints) > self._world.manifests.slice_limit:
                raise Violation(f"3: slice {slice_['metadata']['name']} has {len(endpoints)} endpoints")
            seen.update((labels.get(SERVICE_NAME_LABEL, ""), endpoint["addresses"][0]) for endpoint in endpoints)
        if twice := [entry for entry, number in seen.items() if number > 1]:
            raise Violation(f"3: twice in slices: {twice}")

    def _others_are_untouched(self) -> None:
        """5: objects of others are never changed."""
        for name, before in self._foreign.items():
            kind = next(kind for kind in KINDS if kind.__name__ == name.partition("/")[0])
            if self._store.raw(kind, NAMESPACE, name.partition("/")[2]) != before:
                raise Violation(f"5: {name} of somebody else was changed")


def _owner(obj: Any) -> str:
    """The uid of the first owner, "" where there is none."""
    return next((str(reference["uid"]) for reference in obj["metadata"].get("ownerReferences", ())), "")
