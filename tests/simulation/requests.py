"""What must always hold of each request, by number (docs/design.md).

5: nobody changes what is another installation's. 6: nobody writes who may not. 8: a flapping backend cannot make
unbounded writes, nor does what fails make unbounded attempts. 10: what is deleted may be removed. 11: no object that
was written holds a secret.
"""

from __future__ import annotations

from collections import defaultdict, deque

import msgspec

from extsync.errors import NotFound
from extsync.kube.memory import MemoryStore, Served
from extsync.objects import OWNER_LABEL, Event, KubeObject, Lease, Service
from tests.simulation.invariants import Checker, Violation
from tests.simulation.process import Process
from tests.simulation.scenario import SECRETS

WRITES = ("create", "update", "apply", "delete")
WRITES_PER_MINUTE = 60
"""The manifest's default; a process that was idle may write as many at once."""
ATTEMPTS_PER_MINUTE = 2 * WRITES_PER_MINUTE
"""However they fail, there are not more."""


def is_write(served: Served) -> bool:
    """Whether a request is to change an object that matters, whatever it was answered."""
    return served.verb in WRITES and served.kind not in (Event, Lease)


class Requests:
    """Judges requests in the order in which the store carries them out."""

    def __init__(self, store: MemoryStore, checker: Checker) -> None:
        self._store = store
        self._checker = checker
        self._times: defaultdict[tuple[str, str, str], deque[float]] = defaultdict(deque)
        self._attempts: defaultdict[tuple[str, str, str], deque[float]] = defaultdict(deque)

    def asked(self, process: Process, verb: str, kind: type[KubeObject], key: tuple[str, str], now: float) -> None:
        """Notes a request that is made, whatever becomes of it; raises Violation."""
        if verb in WRITES and kind is not Event:
            number = _within_a_minute(self._attempts[process.name, kind.__name__, key[1]], now)
            if number > ATTEMPTS_PER_MINUTE:
                raise Violation(
                    f"8: {process.name} tried {number} times in a minute to {verb} {kind.__name__} {key[1]}"
                )

    def judge(self, process: Process, served: Served, now: float) -> bool:
        """Raises Violation; whether it was a write that succeeded of an object that matters."""
        if served.verb not in WRITES or served.error is not None:
            return False
        self._holds_no_secret(served)
        if not is_write(served):
            return False
        self._is_its_own(process, served)
        self._has_met_its_precondition(process, served)
        self._is_bounded(process, served, now)
        self._may_be_removed(served, now)
        return True

    def _is_its_own(self, process: Process, served: Served) -> None:
        """As far as is known of how the object was before. What came since an apply was sent cannot be told: it has no
        precondition where there was no object."""
        if served.verb == "apply" and served.found > served.sent:
            return
        before = self._checker.seen(served.kind, served.key[1])
        owner = before["metadata"].get("labels", {}).get(OWNER_LABEL) if before and served.found else None
        if owner not in (None, process.owner):
            what = f"{served.verb} of {served.kind.__name__} {served.key[1]}"
            raise Violation(f"5: {what} by {process.name}, and it belongs to the installation {owner!r}")

    def _has_met_its_precondition(self, process: Process, served: Served) -> None:
        """However late a write arrives, nothing has happened to its object since it was sent."""
        if served.verb in ("update", "delete") and served.found > served.sent:
            what = f"{served.verb} of {served.kind.__name__} {served.key[1]}"
            raise Violation(f"6: {what} by {process.name} changed what somebody had changed since it was sent")

    def _is_bounded(self, process: Process, served: Served, now: float) -> None:
        number = _within_a_minute(self._times[process.name, served.kind.__name__, served.key[1]], now)
        if number > 2 * WRITES_PER_MINUTE:
            raise Violation(f"8: {served.kind.__name__} {served.key[1]} was written {number} times in a minute")

    def _may_be_removed(self, served: Served, now: float) -> None:
        name = served.key[1]
        if served.verb != "delete" or served.kind is not Service or self._checker.is_excused(name, now):
            return
        if not self._checker.may_be_removed(name):
            raise Violation(f"10: Service {name} was deleted, and a manifest has named it within the removal delay")

    def _holds_no_secret(self, served: Served) -> None:
        try:
            text = msgspec.json.encode(self._store.raw(served.kind, *served.key)).decode()
        except NotFound:
            return
        if any(secret in text for secret in SECRETS):
            raise Violation(f"11: {served.kind.__name__} {served.key[1]} holds a secret")


def _within_a_minute(times: deque[float], now: float) -> int:
    """How many times there are, with one more that is now."""
    times.append(now)
    while times[0] < now - 60.0:
        times.popleft()
    return len(times)
