"""Writing the plan of one service in a pass until nothing is left to do, or showing what would be written."""

from __future__ import annotations

import msgspec

from extsync.changes import ApplyService, Change, Update
from extsync.engine.keepers import Keepers
from extsync.engine.passes import OnceOptions, Step, Work
from extsync.engine.planning import Planner
from extsync.engine.snapshot import Snapshot
from extsync.engine.telling import describe, failure, find, in_vain
from extsync.engine.world import World
from extsync.errors import (
    AlreadyExists,
    Conflict,
    ExtsyncError,
    FieldConflict,
    Forbidden,
    NotFound,
    StoreError,
    TooManyRequests,
    Unavailable,
)
from extsync.kube.answered import is_in_vain
from extsync.kube.flow import Backoff
from extsync.kube.writer import Writer, Written
from extsync.objects import FIELD_MANAGER, Service
from extsync.plan.changes import Changes
from extsync.plan.service import preview

PATIENCE = 0.5
"""Seconds between two looks at what others have to do first, and after a first failure."""

MOST_PATIENCE = 5.0
"""Seconds that failures in a row let the pause grow to."""


def may_be_retried(change: Change, error: ExtsyncError) -> bool:
    """Whether another look may do better after this error of a write.

    Where another manager owns a field it cannot, nor where something is to be made in a namespace that there is not.
    """
    if isinstance(error, FieldConflict):
        return False
    if isinstance(error, NotFound):
        return isinstance(change, Update)
    return isinstance(error, Conflict | AlreadyExists | TooManyRequests | Unavailable)


class Converger:
    """Brings services to what ``planner`` says, one at a time."""

    def __init__(
        self, world: World, options: OnceOptions, view: Snapshot, planner: Planner, writer: Writer, keepers: Keepers
    ) -> None:
        self._world = world
        self._options = options
        self._view = view
        self._planner = planner
        self._writer = writer
        self._keepers = keepers

    async def converge(self, work: Work, deadline: float) -> None:
        """Plans and writes one service until there is nothing left to do, or no way to do it in time."""
        backoff = Backoff(random=self._world.random, base=PATIENCE, cap=MOST_PATIENCE)
        while True:
            changes = self._planner.plan(work)
            if not self._options.write:
                await self._preview(work, changes)
                return
            if changes.is_empty:
                reasons, wait, hopeless = self._planner.waiting_for(work), PATIENCE, False
            else:
                written = await self._write(work, changes)
                reasons = [failure(one.change, one.error) for one in written.failed]
                reasons += [f"{describe(one.change)}: its writes per minute are used up" for one in written.deferred]
                if not reasons and written.skipped:  # a namespace that is going away takes nothing new
                    work.result.errors += [f"{describe(one.change)}: {one.reason}" for one in written.skipped]
                    return
                if not reasons and all(map(is_in_vain, written.done)):
                    work.result.errors += [in_vain(one.change) for one in written.done]
                    return
                if not reasons:
                    continue  # what was written may make room for more, such as the slices of a new Service
                wait = max(backoff.failed(work.key), written.retry_after or 0.0)
                hopeless = not all(may_be_retried(one.change, one.error) for one in written.failed)
            if not reasons:
                return
            if hopeless or self._world.clock.monotonic() + wait > deadline:
                work.result.errors += reasons
                return
            await self._world.clock.sleep(wait)
            await self._view.read([work.key])

    async def _write(self, work: Work, changes: Changes) -> Written:
        before = work.result.current
        stamp = self._keepers.stamp_beside(before) if self._options.take_over else None
        written = await self._writer.write(
            changes.items,
            stamp=lambda: stamp,
            writes_per_minute=work.state.prepared.manifest.spec.policy.writes_per_minute,
        )
        work.result.steps += [Step(done.change, find(before, done.change), done.obj) for done in written.done]
        return written

    async def _preview(self, work: Work, changes: Changes) -> None:
        """What would be written; where that changes the Service, the rest is what would follow for the new Service."""
        result, current = work.result, work.result.current
        steps: list[Step] = []
        for change in changes.applies:
            after = await self._previewed_service(change, work)
            steps.append(Step(change, current.service, after))
            if after is not None:
                if current.service is None:  # the uid of a dry run is nobody's: names made of it would be other ones
                    after = msgspec.structs.replace(after, metadata=msgspec.structs.replace(after.metadata, uid=None))
                self._view.written(after)
                changes = self._planner.plan(work)
        rest = (change for change in changes if not isinstance(change, ApplyService))
        result.steps = steps + [Step(change, find(current, change)) for change in rest]

    async def _previewed_service(self, change: ApplyService, work: Work) -> Service | None:
        """The Service after ``change``, as the server says in a dry run, or as far as it can be known without asking.

        None where it cannot be known, or where the server refuses it, which is an error of the service.
        """
        try:
            return await self._world.store.apply_service(
                change.body, field_manager=FIELD_MANAGER, dry_run=True, timeout=self._options.request_timeout
            )
        except Forbidden:
            wish = work.state.prepared.wish
            return preview(wish) if wish is not None and work.result.current.service is None else None
        except StoreError as error:
            work.result.errors.append(failure(change, error))
            return None
