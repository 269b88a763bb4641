"""Tells people whose objects are in the way, and which were taken over: by events on the Service and on the object.

The log has the same: a refusal is among the remarks of its service, and each write has a line with its reason.
"""

from __future__ import annotations

from extsync.changes import Delete, Update
from extsync.engine.happenings import ADOPTED, OWNERSHIP_CONFLICT, REFUSED, announce
from extsync.engine.kept import Kept
from extsync.engine.telling import failure, object_name
from extsync.errors import FieldConflict
from extsync.kube.events import Recorder
from extsync.kube.writer import Written
from extsync.objects import Endpoints, KubeObject, Service
from extsync.plan.plan import Current
from extsync.plan.policy import Refusal


class Ownership:
    """What was told of refusals and adoptions."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def refused(self, kept: Kept, refusals: tuple[Refusal, ...], current: Current) -> None:
        """Puts an event where a refusal appears; it has been told as long as it stays."""
        known, kept.refused = kept.refused, frozenset(refusals)
        for refusal in refusals:
            if refusal in known:
                continue
            reason = OWNERSHIP_CONFLICT if refusal.about is not None else REFUSED[refusal.code]
            announce(self._recorder, _concerned(refusal, current), reason, str(refusal))

    def written(self, kept: Kept, written: Written, service: Service | None) -> None:
        """Puts an event where an object was taken over, and where fields of the Service are another manager's."""
        self._tell_adopted(written, service)
        conflicts = [failure(one.change, one.error) for one in written.failed if isinstance(one.error, FieldConflict)]
        known, kept.contested_fields = kept.contested_fields, frozenset(conflicts)
        for text in conflicts:
            if text not in known and service is not None:
                announce(self._recorder, [service], OWNERSHIP_CONFLICT, text)

    def _tell_adopted(self, written: Written, service: Service | None) -> None:
        for done in written.done:
            change = done.change
            if not isinstance(change, Update | Delete) or not change.adopts:
                continue
            became = "is extsync's from now on" if isinstance(change, Update) else "has been replaced by extsync's own"
            text = f"{object_name(change)}, which nobody kept, {became}: policy.adopt is IfUnmanaged"
            announce(self._recorder, [obj for obj in (service, done.obj) if obj is not None], ADOPTED, text)


def _concerned(refusal: Refusal, current: Current) -> list[KubeObject]:
    """The Service, where there is one, and the object that is in the way."""
    found: list[KubeObject] = [] if current.service is None else [current.service]
    if refusal.about is Endpoints and current.endpoints is not None:
        found.append(current.endpoints)
    return found
