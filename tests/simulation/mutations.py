"""Deliberate bugs: each is put into the code under test, and the simulation has to catch it.

They are mistakes that programs of this kind have made. Where a change of the code or of the script makes a seed miss
its bug, ``python -m tests.simulation --hunt NAME`` looks for another one (a bug that shows in a race needs hundreds)
and prints the line for the table; only where it finds none has the simulation lost its sight of the bug.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from extsync.config.loader import LoadResult
from extsync.engine.carried import Carried
from extsync.engine.desired import Desired, Step
from extsync.engine.election import Elected
from extsync.engine.probing import Probing
from extsync.errors import StoreError
from extsync.kube import writer
from extsync.kube.cache import Cache
from extsync.kube.lease import Elector
from extsync.model import Observation, Outcome, State
from extsync.plan import judge, publication, slices, subsets
from extsync.plan.doubt import SelfDoubt
from extsync.plan.merge import Merged
from extsync.plan.metadata import Frame
from extsync.plan.published import Published
from extsync.sources.holds import LastGood
from extsync.sources.part import Part

Patch = pytest.MonkeyPatch


def an_error_empties_the_source(patch: Patch) -> None:
    observe = LastGood.observe

    def mutant(self: LastGood, observation: Observation, now: float) -> bool:
        if observation.outcome is Outcome.ERROR:
            self._parts = {"": Part(self.hold)}
            observe(self, Observation(Outcome.EMPTY), now)
            self.advance(float("inf"))
        return observe(self, observation, now)

    patch.setattr(LastGood, "observe", mutant)


def an_empty_answer_is_believed_at_once(patch: Patch) -> None:
    patch.setattr(Part, "_empty_at", lambda self: self._negative_since)


def a_start_waits_for_no_source(patch: Patch) -> None:
    patch.setattr(Carried, "look", lambda self, published, merged: None)


def a_silent_source_keeps_what_others_named(patch: Patch) -> None:
    def mutant(self: Carried, published: Published, merged: Merged) -> None:
        self.endpoints = published.endpoints

    patch.setattr(Carried, "look", mutant)


def a_restart_forgets_what_was_published(patch: Patch) -> None:
    def mutant(candidates: Any, verdicts: Any, last: Any, memo: Any) -> Any:
        return judge.judge(candidates, verdicts, {}, memo)

    patch.setattr("extsync.engine.service.judge", mutant)


def verdicts_are_never_collected(patch: Patch) -> None:
    patch.setattr(Probing, "collect", lambda self, now: None)


def what_takes_away_goes_first(patch: Patch) -> None:
    """Also where something that adds has failed before."""
    publish = publication.publish

    def mutant(*args: Any) -> publication.Publication:
        result = publish(*args)
        return replace(result, changes=tuple(reversed(result.changes)))

    patch.setattr("extsync.plan.plan.publish", mutant)
    patch.setattr(writer, "_takes_away", lambda change: False)


def not_ready_addresses_are_left_out_of_endpoints(patch: Patch) -> None:
    def mutant(*args: Any, **kwargs: Any) -> subsets.Subsets:
        made = subsets.make_subsets(*args, **kwargs).subsets
        return subsets.Subsets(tuple(replace(one, not_ready_addresses=None) for one in made if one.addresses))

    patch.setattr("extsync.plan.publication.make_subsets", mutant)


def endpoints_beside_slices_are_mirrored(patch: Patch) -> None:
    labels = Frame.endpoints_labels
    patch.setattr(Frame, "endpoints_labels", lambda self, *, skip_mirror: labels(self, skip_mirror=False))


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


def slices_of_others_are_taken_over(patch: Patch) -> None:
    patch.setattr("extsync.plan.ownership.is_ours", lambda slice_, service, owner: True)


def a_failing_link_of_its_own_is_taken_for_failing_backends(patch: Patch) -> None:
    patch.setattr(SelfDoubt, "_evidence", lambda self, now: "")


def a_freeze_never_ends(patch: Patch) -> None:
    evidence = SelfDoubt._evidence
    patch.setattr(SelfDoubt, "_evidence", lambda self, now: self._reason or evidence(self, now))


def verdicts_are_collected_late(patch: Patch) -> None:
    patch.setattr("extsync.engine.run.GATHER", 4.0)


def what_is_new_starts_ready(patch: Patch) -> None:
    def mutant(candidates: Any, verdicts: Any, last: Any, memo: Any) -> Any:
        judged = judge.judge(candidates, verdicts, last, memo)
        return tuple(replace(one, state=State.READY) if last.get(one.identity) is None else one for one in judged)

    patch.setattr("extsync.engine.service.judge", mutant)


def a_removal_does_not_wait(patch: Patch) -> None:
    take = Desired.take

    def mutant(self: Desired, result: LoadResult, now: float) -> Step:
        self._removal_delay = 1.0
        return take(self, result, now)

    patch.setattr(Desired, "take", mutant)


def what_cannot_be_read_is_removed(patch: Patch) -> None:
    take = Desired.take

    def mutant(self: Desired, result: LoadResult, now: float) -> Step:
        return take(self, LoadResult(result.manifests, result.duplicates), now)

    patch.setattr(Desired, "take", mutant)


def a_slice_over_its_limit_is_not_split(patch: Patch) -> None:
    keep = slices._keep
    patch.setattr(slices, "_keep", lambda held, bucket, placed, limit, desired: keep(held, bucket, placed, 99, desired))


def writes_have_no_preconditions(patch: Patch) -> None:
    patch.setattr("extsync.kube.memory.server._check_preconditions", lambda record, uid, version: None)


def answers_are_quoted_in_full(patch: Patch) -> None:
    patch.setattr("extsync.health.quoting._BYTES", 4000)


def the_fence_is_dropped(patch: Patch) -> None:
    """Whoever has led once does so until it sees that another one does."""
    patch.setattr(Elector, "_is_open", lambda self: self._open_until > -math.inf)
    patch.setattr(Elected, "fence", lambda self, key: None)


def a_standby_writes(patch: Patch) -> None:
    patch.setattr(Elected, "leads", lambda self, key: True)
    patch.setattr(Elected, "fence", lambda self, key: None)


def a_renewal_counts_for_too_long(patch: Patch) -> None:
    extend = Elector._extend
    patch.setattr(Elector, "_extend", lambda self, sent: extend(self, sent + 30.0))


MUTATIONS: tuple[tuple[Callable[[Patch], None], int, int], ...] = (
    (an_error_empties_the_source, 11, 1),
    (an_empty_answer_is_believed_at_once, 0, 1),
    (a_start_waits_for_no_source, 7, 1),
    (a_silent_source_keeps_what_others_named, 0, 7),
    (a_restart_forgets_what_was_published, 2, 2),
    (what_is_new_starts_ready, 1, 2),
    (what_takes_away_goes_first, 0, 7),
    (endpoints_beside_slices_are_mirrored, 0, 3),
    (a_slice_over_its_limit_is_not_split, 2, 3),
    (slices_of_others_are_taken_over, 0, 5),
    (writes_have_no_preconditions, 6, 6),
    (the_fence_is_dropped, 2, 6),
    (a_standby_writes, 2, 6),
    (a_renewal_counts_for_too_long, 2, 6),
    (verdicts_are_never_collected, 0, 7),
    (deletions_by_others_pass_unseen, 1, 7),
    (a_broken_watch_is_the_end, 14, 7),
    (verdicts_are_collected_late, 0, 8),
    (not_ready_addresses_are_left_out_of_endpoints, 1, 9),
    (a_failing_link_of_its_own_is_taken_for_failing_backends, 0, 2),
    (a_freeze_never_ends, 0, 7),
    (a_removal_does_not_wait, 1, 10),
    (what_cannot_be_read_is_removed, 4, 10),
    (answers_are_quoted_in_full, 8, 11),
)
"""Each bug with a seed that brings it out and the number of the invariant that it violates."""
