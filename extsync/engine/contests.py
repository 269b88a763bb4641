"""Objects that another manager keeps changing back: each waits on its own, and people are told who it is.

So does what is taken over of one service: who makes slices without a mark again gives them new names.
"""

from __future__ import annotations

import logging

from extsync.changes import ApplyService, Change, Create, Delete, Update
from extsync.engine.happenings import WRITE_CONTENTION, WRITE_CONTENTION_OVER, Reason, announce
from extsync.engine.journal import Topic
from extsync.engine.kept import Kept
from extsync.engine.telling import find, object_name
from extsync.kube.events import Recorder
from extsync.kube.writer import ObjectKey, object_key
from extsync.model import ServiceKey
from extsync.objects import MANAGED_BY_LABEL, EndpointSlice, KubeObject, ObjectMeta, Service
from extsync.plan.contention import LONGEST, QUIET, Contest, after_write, content_of, rivals, wait_before
from extsync.plan.plan import Current
from extsync.seams import Clock


class Contests:
    """What was written within the last QUIET seconds, by object, and which of it is contested."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._contests: dict[ObjectKey, Contest] = {}
        self._contested: dict[ObjectKey, tuple[ServiceKey, KubeObject | None]] = {}
        self._counted: set[ObjectKey] = set()
        self._swept = clock.monotonic()

    def hold_back(self, kept: Kept, change: Change) -> float:
        """Seconds that ``change`` has to wait for repeating what somebody undid."""
        at = _place(kept, change)
        contest = self._contests.get(at)
        if contest is None or contest.pause == 0.0 or _is_note(change) or at in self._counted:
            return 0.0
        return wait_before(contest, content_of(change), self._clock.monotonic())

    def made(self, kept: Kept, change: Change, current: Current) -> float | None:
        """Takes note of a change of a service that was made; its objects were ``current`` before.

        Where its object is contested, returns in how many seconds it is to be seen whether that is over.
        """
        now, at = self._clock.monotonic(), _place(kept, change)
        if _is_note(change) or at in self._counted:
            return None
        if _is_taken_over(change):
            self._counted.add(at)  # all that one round takes over counts once
        contest = self._contests[at] = after_write(self._contests.get(at), content_of(change), now)
        if now - self._swept >= QUIET:
            self._sweep(now)
        if not contest.is_contested:
            return None
        if at not in self._contested:
            about = current.service if _is_taken_over(change) else _object(change)
            self._contested[at] = kept.state.key, about
            self._tell_begin(kept, about, change, current)
        return QUIET + 1.0

    def settle(self, kept: Kept) -> None:
        """Begins a round of writes of a service, and says what is over of its contests."""
        now = self._clock.monotonic()
        self._counted.discard(_taken_over(kept.state.key))
        for at, (of, obj) in list(self._contested.items()):
            contest = self._contests.get(at)
            if of == kept.state.key and (contest is None or contest.is_over(now)):
                del self._contested[at]
                text = f"{at[0].__name__.lower()}/{at[2]} stays as extsync writes it again"
                if at == _taken_over(of):
                    text = "nobody makes slices again that extsync takes over"
                kept.say(Topic.WRITE, text)
                self._event(obj, WRITE_CONTENTION_OVER, text)

    def forget(self, key: ServiceKey) -> None:
        """That service is kept no more."""
        for at in [at for at, (of, _) in self._contested.items() if of == key]:
            del self._contested[at]
            self._contests.pop(at, None)
        self._counted.discard(_taken_over(key))

    def _tell_begin(self, kept: Kept, about: KubeObject | None, change: Change, current: Current) -> None:
        if _is_taken_over(change):
            who = rivals(find(current, change))
            text = (
                f"slices that nobody keeps are made again and again, last {object_name(change)} by {who}: extsync "
                f"takes them over ever less often, at last every {LONGEST / 60:.0f} min; keep {who} from making them, "
                f"or let the label {MANAGED_BY_LABEL} say whose they are"
            )
        else:
            who = "somebody who deletes it" if isinstance(change, Create) else rivals(_object(change))
            text = (
                f"{object_name(change)} is changed back again and again, last by {who}: extsync writes the same again "
                f"ever less often, at last every {LONGEST / 60:.0f} min; keep {who} from writing it, or take the "
                "manifest away"
            )
        kept.say(Topic.WRITE, text, level=logging.WARNING)
        self._event(about, WRITE_CONTENTION, text)

    def _event(self, obj: KubeObject | None, reason: Reason, text: str) -> None:
        """On the object, and on the Service that controls it."""
        if obj is None:
            return
        about: list[KubeObject] = [] if obj.metadata.uid is None else [obj]
        for reference in obj.metadata.owner_references or ():
            if reference.controller and reference.kind == Service.__name__:
                metadata = ObjectMeta(name=reference.name, namespace=obj.metadata.namespace, uid=reference.uid)
                about.append(Service(metadata=metadata))
        announce(self._recorder, about, reason, text)

    def _sweep(self, now: float) -> None:
        """Memory follows what is being written."""
        self._swept = now
        self._contests = {at: contest for at, contest in self._contests.items() if not contest.is_over(now)}


def _is_taken_over(change: Change) -> bool:
    return isinstance(change, Delete) and change.adopts and change.kind is EndpointSlice


def _taken_over(key: ServiceKey) -> ObjectKey:
    """What stands for all slices that are taken over of one service; no object has such a name."""
    return EndpointSlice, key.namespace, f"{key.name}-*"


def _place(kept: Kept, change: Change) -> ObjectKey:
    return _taken_over(kept.state.key) if _is_taken_over(change) else object_key(change)


def _is_note(change: Change) -> bool:
    return isinstance(change, Update) and change.is_note


def _object(change: Change) -> KubeObject | None:
    match change:
        case Create(obj=obj) | Update(obj=obj):
            return obj
        case Delete() | ApplyService():
            return None
