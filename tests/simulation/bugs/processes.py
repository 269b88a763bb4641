"""Bugs in who writes, when, and from what."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import pytest

from extsync.engine.election import Elected
from extsync.engine.shard import Shard
from extsync.errors import StoreError
from extsync.kube.cache import Cache
from extsync.kube.era import Era
from extsync.kube.flow import Backoff, WriteBudget
from extsync.kube.lease import Elector

Patch = pytest.MonkeyPatch


def deletions_by_others_pass_unseen(patch: Patch) -> None:
    drop = Cache._drop

    def mutant(self: Cache[Any], obj: Any) -> None:
        if self._own.holds(obj.key):
            drop(self, obj)

    patch.setattr(Cache, "_drop", mutant)


def a_broken_watch_is_the_end(patch: Patch) -> None:
    async def mutant(self: Cache[Any]) -> None:
        try:
            await self._watch_continuously()
        except StoreError:
            await self._clock.sleep(1e9)

    patch.setattr(Cache, "run", mutant)


def writes_have_no_preconditions(patch: Patch) -> None:
    patch.setattr("extsync.kube.memory.server._check_preconditions", lambda record, uid, version: None)


def the_fence_is_dropped(patch: Patch) -> None:
    """Whoever has led once does so until it sees that another one does."""
    patch.setattr(Elector, "leads", property(lambda self: self.stands and self._open_until > -math.inf))
    patch.setattr(Elected, "fence", lambda self, key: None)


def a_standby_writes(patch: Patch) -> None:
    patch.setattr(Elected, "leads", lambda self, key: True)
    patch.setattr(Elected, "fence", lambda self, key: None)


def a_renewal_counts_for_too_long(patch: Patch) -> None:
    extend = Elector._extend
    patch.setattr(Elector, "_extend", lambda self, sent: extend(self, sent + 30.0))


def a_lease_is_released_before_writes_have_ended(patch: Patch) -> None:
    patch.setattr(Shard, "writing", lambda self: nullcontext())


def nothing_bounds_what_is_tried_again(patch: Patch) -> None:
    patch.setattr(Backoff, "failed", lambda self, key: 0.05)
    patch.setattr(WriteBudget, "wait", lambda self, key, per_minute: 0.0)


def older_data_of_the_server_pass_unseen(patch: Patch) -> None:
    patch.setattr(Era, "ended", lambda self, number: None)
