"""Writing what was planned, and when to try again what could not be written."""

from __future__ import annotations

import logging
from functools import partial

from extsync.engine.contests import Contests
from extsync.engine.kept import Kept
from extsync.engine.leading import Leadership
from extsync.engine.queue import WorkQueue
from extsync.engine.telling import describe, failure
from extsync.errors import Fenced, StoreError
from extsync.kube.flow import Backoff
from extsync.kube.writer import Failed, Writer, Written, object_key
from extsync.model import ServiceKey
from extsync.plan.changes import Changes
from extsync.seams import Random

log = logging.getLogger(__name__)


class Publisher:
    """Writes the changes of one service after the other and puts on ``queue`` what has to be looked at again."""

    def __init__(
        self, writer: Writer, queue: WorkQueue, leadership: Leadership, contests: Contests, *, random: Random
    ) -> None:
        self._writer = writer
        self._contests = contests
        self._leadership = leadership
        self._queue = queue
        self._failures = Backoff(random=random)
        self._conflicts = Backoff(random=random, base=0.05)
        self._unanswered: dict[ServiceKey, None] = {}

    async def write(self, kept: Kept, changes: Changes) -> Written:
        """Writes ``changes``, and says what was done and what was not."""
        key = kept.state.key
        self._contests.settle(key)
        if changes.is_empty:
            kept.warn([])
            return Written()
        if kept.unanswered:
            return await self._find_out(kept)
        with self._leadership.writing(key):
            written = await self._writer.write(
                changes.items,
                fence=partial(self._leadership.fence, key),
                stamp=partial(self._leadership.stamp, key),
                writes_per_minute=kept.state.prepared.manifest.spec.policy.writes_per_minute,
                is_superseded=partial(self._queue.is_dirty, key),
                hold_back=self._contests.hold_back,
            )
        for done in written.done:
            log.info("%s: %s: %s", key, describe(done.change), done.change.reason)
            if (look_again := self._contests.made(key, done.change)) is not None:
                self._queue.add_after(key, look_again)
        leads = self._leadership.leads(key)  # whoever leads no more need not be told that it may not write
        kept.warn(
            [failure(one.change, one.error) for one in written.failed if leads or not isinstance(one.error, Fenced)]
            + [
                f"{describe(one.change)} is put off: its writesPerMinute are used up"
                for one in written.deferred
                if not one.is_held_back  # of what is contested people know already
            ]
        )
        return written

    async def _find_out(self, kept: Kept) -> Written:
        """What became of the writes without an answer is read before anything else is written."""
        for name, change in list(kept.unanswered.items()):
            try:
                await self._writer.reread(change)
            except StoreError as error:
                return Written(failed=(Failed(change, error),))
            del kept.unanswered[name]
        self._queue.add(kept.state.key)  # to plan from what is there
        return Written()

    def settle(self, kept: Kept, written: Written) -> None:
        """Sees to it that what was not written is tried again, in time."""
        key = kept.state.key
        if written.unanswered:
            kept.unanswered.update((object_key(change), change) for change in written.unanswered)
            self._unanswered[key] = None
        else:
            self._unanswered.pop(key, None)
        if written.done:
            self._wake_unanswered(key)
        if written.complete:
            self._failures.forget(key)
            self._conflicts.forget(key)
        elif written.stale:  # what is there now has been read already
            self._queue.add_after(key, self._conflicts.failed(key))
        else:
            self._queue.add_after(key, max(self._failures.failed(key), written.retry_after or 0.0))

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
        self.afresh(key)
        self._unanswered.pop(key, None)

    def _wake_unanswered(self, answered: ServiceKey) -> None:
        """The API server answers again: whoever waits because it did not need wait no longer."""
        waiting = [key for key in self._unanswered if key != answered]
        for key in waiting:
            del self._unanswered[key]
            self._queue.add(key)
