"""Bugs in what is made of probes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.engine.probing import Probing
from extsync.health.scheduler import Scheduler
from extsync.model import State
from extsync.plan import judge
from extsync.plan.doubt import SelfDoubt

Patch = pytest.MonkeyPatch


def a_restart_forgets_what_was_published(patch: Patch) -> None:
    def mutant(candidates: Any, verdicts: Any, last: Any, memo: Any) -> Any:
        return judge.judge(candidates, verdicts, {}, memo)

    patch.setattr("extsync.engine.service.judge", mutant)


def what_is_new_starts_ready(patch: Patch) -> None:
    def mutant(candidates: Any, verdicts: Any, last: Any, memo: Any) -> Any:
        judged = judge.judge(candidates, verdicts, last, memo)
        return tuple(replace(one, state=State.READY) if last.get(one.identity) is None else one for one in judged)

    patch.setattr("extsync.engine.service.judge", mutant)


def verdicts_are_never_collected(patch: Patch) -> None:
    patch.setattr(Probing, "collect", lambda self, now: None)


def verdicts_are_collected_late(patch: Patch) -> None:
    patch.setattr("extsync.engine.run.GATHER", 4.0)


def a_failing_link_of_its_own_is_taken_for_failing_backends(patch: Patch) -> None:
    patch.setattr(SelfDoubt, "_evidence", lambda self, now: "")


def a_freeze_never_ends(patch: Patch) -> None:
    evidence = SelfDoubt._evidence
    patch.setattr(SelfDoubt, "_evidence", lambda self, now: self._reason or evidence(self, now))


def answers_are_quoted_in_full(patch: Patch) -> None:
    patch.setattr("extsync.health.quoting._BYTES", 4000)


def a_skipped_probe_counts_as_a_failure(patch: Patch) -> None:
    def mutant(self: Scheduler, record: Any, reason: str, code: int) -> None:
        self._concluded(record, reason, self._clock.monotonic())

    patch.setattr(Scheduler, "_stranded", mutant)
