"""Writing what was planned, and when to try again what could not be written."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from extsync.engine.contests import Contests
from extsync.engine.journal import Topic
from extsync.engine.kept import Kept
from extsync.engine.lanes import Lanes
from extsync.engine.leading import Leadership
from extsync.engine.queue import WorkQueue
from extsync.engine.telling import describe, failure, in_vain
from extsync.errors import ExtsyncError, Fenced, StoreError, TooManyRequests, Unavailable
from extsync.kube.answered import is_in_vain
from extsync.kube.flow import Backoff, Gate
from extsync.kube.trouble import Trouble
from extsync.kube.writer import Failed, Writer, Written, object_key
from extsync.model import ServiceKey
from extsync.plan.changes import Changes
from extsync.plan.plan import Current
from extsync.seams import Clock, Random

log = logging.getLogger(__name__)

OUTSIDE = 30.0
"""Seconds after which a service that waits for a lane is looked at again at the latest."""

TERMINATING = "its namespace is being deleted: nothing is made in it until there is a new one of its name"


class Publisher:
    """Writes the changes of one service after the other and puts on ``queue`` what has to be looked at again."""

    def __init__(
        self,
        writer: Writer,
        queue: WorkQueue,
        leadership: Leadership,
        contests: Contests,
        *,
        clock: Clock,
        random: Random,
        trouble: Trouble,
        lane_width: int,
    ) -> None:
        self._writer = writer
        self._contests = contests
        self._leadership = leadership
        self._queue = queue
        self._trouble = trouble
        self._gate = Gate(clock=clock, random=random)
        self._failures = Backoff(random=random)
        self._conflicts = Backoff(random=random, base=0.05)
        self._lanes = Lanes(lane_width)
        self._waiting: dict[ServiceKey, bool] = {}
        """Services of which something could not be written because the server did not take it, and whether a success of
        another one is a reason to try again."""
        self._woken: dict[ServiceKey, None] = {}
        """Services that were tried again for that reason, and have had no answer since."""

    async def write(self, kept: Kept, changes: Changes, current: Current) -> Written:
        """Writes ``changes``, planned from ``current``, and says what was done and what was not."""
        key = kept.state.key
        self._contests.settle(kept)
        if changes.is_empty:
            self._trouble.left(key)
            kept.warn([])
            self._call(self._lanes.leave(key))
            return Written()
        if wait := self._gate.wait:
            return Written(untried=True, retry_after=wait)
        if not self._lanes.enter(key):
            return Written(untried=True, retry_after=OUTSIDE)
        try:
            return await (self._find_out(kept) if kept.unanswered else self._write(kept, changes, current))
        finally:
            self._call(self._lanes.leave(key))

    async def _write(self, kept: Kept, changes: Changes, current: Current) -> Written:
        key = kept.state.key
        with self._leadership.writing(key):
            written = await self._writer.write(
                changes.items,
                fence=partial(self._leadership.fence, key),
                stamp=partial(self._leadership.stamp, key),
                writes_per_minute=kept.state.prepared.manifest.spec.policy.writes_per_minute,
                is_superseded=partial(self._queue.is_dirty, key),
                hold_back=partial(self._contests.hold_back, kept),
            )
        for done in written.done:
            if is_in_vain(done):
                continue
            kept.say(Topic.WRITE, f"{describe(done.change)}: {done.change.reason}", reason=done.change.reason)
            if (look_again := self._contests.made(kept, done.change, current)) is not None:
                self._queue.add_after(key, look_again)
        self._tell(kept, written)
        return written

    def _tell(self, kept: Kept, written: Written) -> None:
        """Logs what went wrong: what the server does not take of anybody once for all, the rest by service."""
        key = kept.state.key
        outage = [one for one in written.failed if isinstance(one.error, Unavailable | TooManyRequests)]
        for one in outage[:1]:
            assert isinstance(one.error, StoreError)
            self._trouble.met(key, one.error, f"{key}: {failure(one.change, one.error)}")
        if not outage and not written.deferred:
            self._trouble.over(key)
        leads = self._leadership.leads(key)  # whoever leads no more need not be told that it may not write
        failed = [one for one in written.failed if leads or not isinstance(one.error, Fenced)]
        kept.warn(
            [failure(one.change, one.error) for one in failed if one not in outage]
            + [
                f"{describe(one.change)} is put off: its writesPerMinute are used up"
                for one in written.deferred
                if not one.is_held_back  # of what is contested people know already
            ]
            + [in_vain(one.change) for one in written.done if is_in_vain(one)]
            + [TERMINATING] * written.terminating
        )

    async def _find_out(self, kept: Kept) -> Written:
        """What became of the writes without an answer is read before anything else is written."""
        for name, change in list(kept.unanswered.items()):
            try:
                await self._writer.reread(change)
            except (Unavailable, TooManyRequests) as error:
                return Written(failed=(Failed(change, error),))
            except StoreError as error:  # it may not be read, so it is left to the watch and to the preconditions
                log.debug("%s: what became of a write cannot be read: %s", kept.state.key, error)
            del kept.unanswered[name]
        return Written(untried=True, retry_after=0.0)  # to plan from what is there

    def settle(self, kept: Kept, written: Written) -> None:
        """Sees to it that what was not written is tried again, in time."""
        key = kept.state.key
        if written.untried:  # should it fail again, the pauses go on growing from where they are
            if not self._lanes.waits(key):
                self._waiting[key] = True
            self._queue.add_after(key, written.retry_after or 0.0)
            return
        kept.unanswered.update((object_key(change), change) for change in written.unanswered)
        for failed in written.failed:
            self._gate.failed(failed.error)
        self._note_answers(key, written)
        if written.done:
            self._gate.succeeded()
            self._wake_after(key)
        if written.terminating:
            self._queue.add_after(key, self._failures.failed(key))
        elif written.complete:
            self._failures.forget(key)
            self._conflicts.forget(key)
        elif written.stale:  # what is there now has been read already
            self._queue.add_after(key, self._conflicts.failed(key))
        else:
            self._queue.add_after(key, max(self._failures.failed(key), written.retry_after or 0.0))

    def _note_answers(self, key: ServiceKey, written: Written) -> None:
        if any(_is_of_all(failed.error) for failed in written.failed):
            self._waiting[key] = not (written.unanswered and key in self._woken)  # once: it may be due to this one
        else:
            self._waiting.pop(key, None)
        if written.unanswered:
            self._lanes.unanswered(key)
        else:
            self._woken.pop(key, None)
            self._call(self._lanes.answered(key, written=bool(written.done)))

    def failed(self, key: ServiceKey) -> float:
        """Has the service looked at again after a defect; returns in how many seconds."""
        wait = self._failures.failed(key)
        self._queue.add_after(key, wait)
        return wait

    def afresh(self, key: ServiceKey) -> None:
        """What failed before is tried at once."""
        self._failures.forget(key)
        self._conflicts.forget(key)

    def forget(self, key: ServiceKey) -> None:
        """Nothing is written for this service any more."""
        self._queue.forget(key)
        self._contests.forget(key)
        self.afresh(key)
        self._trouble.left(key)
        self._lanes.forget(key)
        self._woken.pop(key, None)
        self._waiting.pop(key, None)

    def answered(self) -> None:
        """The API server answers again: whoever waits because it did not need wait no longer."""
        self._gate.answered()
        self._wake(list(self._waiting))

    def _wake_after(self, key: ServiceKey) -> None:
        """Something was written for a service: perhaps that works again for others as well."""
        others = [one for one, may in self._waiting.items() if may and one != key]
        self._woken.update(dict.fromkeys(others))
        self._wake(others)

    def _wake(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            del self._waiting[key]
            self._queue.add(key)

    def _call(self, keys: Iterable[ServiceKey]) -> None:
        for key in keys:
            self._queue.add(key)


def _is_of_all(error: ExtsyncError) -> bool:
    """Whether what works for another service may work for this one too; else it has a pause of its own."""
    return isinstance(error, Unavailable) or (isinstance(error, TooManyRequests) and error.asks_for_time)
