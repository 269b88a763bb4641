"""Bugs in what is made of sources and manifests."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.address_policy import Scope
from extsync.config.loader import LoadResult
from extsync.engine.carried import Carried
from extsync.engine.desired import Desired, Step
from extsync.model import Observation, Outcome
from extsync.plan.evidence import Evidence, newest
from extsync.plan.guard import Guard
from extsync.plan.merge import Merged
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
    patch.setattr(Carried, "look", lambda self, published, merged, *, waits=False: None)


def a_silent_source_keeps_what_others_named(patch: Patch) -> None:
    def mutant(self: Carried, published: Published, merged: Merged, *, waits: bool = False) -> None:
        self.endpoints = published.endpoints

    patch.setattr(Carried, "look", mutant)


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


def the_guard_looks_at_one_step_at_a_time(patch: Patch) -> None:
    patch.setattr(Guard, "_is_accident", lambda self, leaving: self.policy.is_accident(leaving, self.known))


def the_guard_forgets_at_a_restart(patch: Patch) -> None:
    def mutant(objects: Any) -> Evidence:
        return replace(newest(objects), left={}, known={})

    patch.setattr("extsync.engine.guarding.newest", mutant)


def denied_addresses_are_published(patch: Patch) -> None:
    patch.setattr(Scope, "denied", lambda self, address, *, is_pod=False: "")


def the_url_of_a_source_is_shown_in_full(patch: Patch) -> None:
    for place in ("extsync.sources.client.client", "extsync.sources.http.source", "extsync.sources.http.contract"):
        patch.setattr(f"{place}.shown_url", str)
