"""What must always hold (docs/design.md), as far as the objects in the store show it, by number.

1, 2, 5 and 10 are checked after every write, 3, 7 and 9 when things are quiet: an endpoint on its way from one slice to
another is added there before it is taken away here.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from extsync.kube.memory import MemoryStore
from extsync.objects import MANAGED_BY, MANAGED_BY_LABEL, MIRRORING_CONTROLLER, SERVICE_NAME_LABEL, KubeObject
from tests.simulation.look import Look, Shown
from tests.simulation.manifests import REMOVAL_DELAY
from tests.simulation.scenario import CHECKED, DENIED, NAMESPACE, SERVICES, SLICES_ONLY, World

LATEST_WRITE = 40.0
"""Seconds after which what was so is no longer the cause of a write: requests without an answer hold up the others."""

LONGEST_MEMORY = 2 * LATEST_WRITE
"""Seconds after which nobody has it from its cache alone how an endpoint was published before it left and came back."""


class Violation(AssertionError):
    """An invariant does not hold; the text begins with its number."""


class Checker:
    """Compares what the store shows from one step to the next."""

    def __init__(self, store: MemoryStore, world: World) -> None:
        self._store = store
        self._world = world
        self._published: dict[str, tuple[str, Shown]] = {}
        self._foreign: dict[tuple[str, str], Any] = {}
        self._excused: dict[str, float] = {}
        self._look: Look | None = None

    def protect(self, kind: type[KubeObject], name: str) -> None:
        """Notes an object of somebody else, which nobody may change from now on."""
        self._foreign[kind.__name__, name] = self._store.raw(kind, NAMESPACE, name)

    def unprotect(self, kind: type[KubeObject], name: str) -> None:
        """An object of somebody else may change again, as that one itself is about to do."""
        self._foreign.pop((kind.__name__, name), None)

    def unprotect_all(self) -> None:
        """So may all of them."""
        self._foreign.clear()

    def forget(self) -> None:
        """The store went back to older data: what it has now has to be looked at anew."""
        self._look = None

    def seen(self, kind: type[KubeObject], name: str) -> Any:
        """An object as it was at the last step; None where there was none."""
        return None if self._look is None else self._look.bodies.get((kind.__name__, name))

    def excuse(self, service: str, until: float) -> None:
        """Somebody else took objects of a service away; until then others may follow, as the garbage collector does."""
        self._excused[service] = max(until, self._excused.get(service, 0.0))

    def is_excused(self, service: str, now: float) -> bool:
        return now < self._excused.get(service, 0.0)

    def look(self) -> Look:
        """What the store shows now."""
        if self._look is None or self._look.revision != self._store.revision:
            self._look = Look(self._store, frozenset(name for _, name in self._foreign))
        return self._look

    def step(self, now: float) -> bool:
        """Checks what must hold at every moment; ``now`` is the simulated time. Whether there was anything to check."""
        before = self._look
        look = self.look()
        if look is before:
            return False
        for service in SERVICES:
            self._leaves_and_demotes_nothing_that_is_wanted(service, look, now)
            if before is not None:
                self._is_ready_from_nothing(service, look, before)
        self._others_are_untouched(look)
        if denied := look.addresses() & frozenset(DENIED):
            raise Violation(f"3: {sorted(denied)} are published, and the settings deny that")
        return True

    def quiet(self, *, certain: frozenset[str]) -> None:
        """Checks what must hold once things are quiet: the cluster says what is true.

        A service that no manifest names must be gone where that is ``certain``: somebody has seen it leave.
        """
        look = self.look()
        self._slices_are_sound(look)
        for service in SERVICES:
            if service in self._world.disk.absent:
                may_yet_go = self._world.disk.missing_for(service) < REMOVAL_DELAY * 1.2
                if look.uid(service) and (service in certain or may_yet_go):
                    raise Violation(f"7: {service} is still there, and no manifest names it any more")
                continue
            expected = {
                address: self._world.up[address] if address in CHECKED else True
                for address in self._world.desired(service)
            }
            shown = look.slices(service)
            if shown != expected:
                raise Violation(f"7: {service} shows {_sorted(shown)}, and true is {_sorted(expected)}")
            subsets = look.endpoints(service)
            if service not in SLICES_ONLY and subsets != expected:
                raise Violation(f"9: Endpoints {service} show {_sorted(subsets)}, and slices {_sorted(shown)}")

    def _leaves_and_demotes_nothing_that_is_wanted(self, service: str, look: Look, now: float) -> None:
        """1, 2 and 10: whatever fails and whoever starts anew, nothing leaves that a source's last good answer names
        for a service that a manifest names, nothing is demoted that was up all the while, and nothing is promoted that
        was down.

        Only what belongs to the present Service counts: the garbage collector takes the rest.
        """
        uid, shown = look.uid(service), look.published(service)
        before_uid, before = self._published.get(service, (uid, {}))
        self._published[service] = uid, shown
        if self.is_excused(service, now) or self.may_be_removed(service):
            return
        if before_uid and not uid:
            raise Violation(f"10: Service {service} was deleted, and a manifest has named it all the while")
        if before_uid != uid:
            return
        wanted = [address for address in before if self._world.named_for(service, address) > LATEST_WRITE]
        if left := [address for address in wanted if address not in shown]:
            number = 10 if self._world.disk.untold_since(service) < now else 1
            raise Violation(f"{number}: {left} left {service}, and its source still names it")
        demoted = [address for address in wanted if before[address] and not shown[address]]
        if wrongly := [address for address in demoted if self._world.up_for(address) > LATEST_WRITE]:
            raise Violation(f"2: {wrongly} of {service} was demoted, and has been up all the while")
        promoted = [address for address, ready in shown.items() if ready and before.get(address) is False]
        if wrongly := [address for address in promoted if self._world.down_for(address) > LATEST_WRITE]:
            raise Violation(f"2: {wrongly} of {service} was promoted, and has been down all the while")

    def _is_ready_from_nothing(self, service: str, look: Look, before: Look) -> None:
        """2: what was in no object starts not ready where something checks it."""
        known = before.addresses()
        new = [address for address, ready in look.published(service).items() if ready and address not in known]
        if wrongly := [address for address in new if self._world.down_for(address) > LONGEST_MEMORY]:
            raise Violation(f"2: {wrongly} of {service} is new and ready, and has been down all the while")

    def may_be_removed(self, service: str) -> bool:
        """Whether readable manifests have not named a service for as long as it takes."""
        return self._world.disk.unnamed_for(service) >= REMOVAL_DELAY * 0.9  # clocks may be that fast

    def _slices_are_sound(self, look: Look) -> None:
        """3: each endpoint once, be it in a slice of ours or in the mirror's, and no slice over its limit, in all
        services that a manifest names."""
        seen: Counter[tuple[str, str]] = Counter()
        for slice_ in look.all_slices():
            labels = slice_["metadata"].get("labels", {})
            if labels.get(MANAGED_BY_LABEL) not in (MANAGED_BY, MIRRORING_CONTROLLER):
                continue
            service, endpoints = labels.get(SERVICE_NAME_LABEL, ""), slice_.get("endpoints") or ()
            if service in self._world.disk.absent:
                continue
            if service == "fleet" and len(endpoints) > self._world.slice_limit:
                raise Violation(f"3: slice {slice_['metadata']['name']} has {len(endpoints)} endpoints")
            seen.update((service, endpoint["addresses"][0]) for endpoint in endpoints)
        if twice := [entry for entry, number in seen.items() if number > 1]:
            raise Violation(f"3: twice in slices: {twice}")

    def _others_are_untouched(self, look: Look) -> None:
        """5: objects of others are never changed."""
        for name, before in self._foreign.items():
            if look.bodies.get(name) != before:
                raise Violation(f"5: {'/'.join(name)} of somebody else was changed")


def _sorted(shown: Shown) -> Shown:
    return dict(sorted(shown.items()))
