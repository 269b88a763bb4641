"""Bugs in what is made of endpoints, and of what there is."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.kube import writer
from extsync.plan import publication, slices, subsets
from extsync.plan.metadata import Frame

Patch = pytest.MonkeyPatch


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


def slices_of_others_are_taken_over(patch: Patch) -> None:
    patch.setattr("extsync.plan.ownership.is_ours", lambda slice_, service, owner: True)


def a_slice_over_its_limit_is_not_split(patch: Patch) -> None:
    keep = slices._keep
    patch.setattr(slices, "_keep", lambda held, bucket, placed, limit, desired: keep(held, bucket, placed, 99, desired))


def what_is_somebodys_is_adopted(patch: Patch) -> None:
    patch.setattr("extsync.plan.ownership.slice_keeper", lambda slice_, service: None)
    patch.setattr("extsync.plan.endpoints.endpoints_keeper", lambda endpoints, service: None)


def owner_ids_are_not_told_apart(patch: Patch) -> None:
    patch.setattr("extsync.plan.service._refusal", lambda current, wish: None)
