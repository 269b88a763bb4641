"""Publish: in what order a change between the ways of publishing is made.

kube-proxy reads slices: ours, or those that the mirroring controller makes of an Endpoints object that is not labelled
skip-mirror. A change of the manifest from one to the other must leave no moment without slices, nor keep both sets. So
what is new comes first, and what it replaces goes in a later plan, when the new is seen in the cluster:

| from | to | first | then, once seen |
|---|---|---|---|
| Endpoints | slices and Endpoints | our slices | the label skip-mirror, on which the mirror's slices go |
| Endpoints | slices | our slices | the Endpoints go, and with them the mirror's slices |
| slices and Endpoints | slices | the Endpoints go | |
| slices, or both | Endpoints | Endpoints without the label | our slices go, when the mirror's show the same |
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from extsync.objects import SKIP_MIRROR_LABEL, Endpoints
from extsync.plan.policy import Notice


class Phase(msgspec.Struct, frozen=True):
    """What is kept in this plan. ``slices`` and ``endpoints``: keep (or make) them, or else delete them.

    ``skip_mirror`` is how the Endpoints object is labelled, ``waiting`` what a later plan waits for.
    """

    slices: bool
    endpoints: bool
    skip_mirror: bool
    waiting: Notice | None = None


def phase_of(
    current: Endpoints | None,
    *,
    slices: bool,
    endpoints: bool,
    has_slices: bool,
    ours_cover: Callable[[], bool],
    mirror_covers: Callable[[], bool],
) -> Phase:
    """The phase that the cluster is in on its way to publishing ``slices``, ``endpoints`` or both.

    ``current`` is the Endpoints object of ours, ``has_slices`` says whether there are slices of ours. ``ours_cover``
    tells whether our slices show all that ``current`` shows, ``mirror_covers`` whether the mirror's show what is
    desired; they are only asked where it matters.
    """
    mirrored = current is not None and current.labels.get(SKIP_MIRROR_LABEL) != "true"
    if not slices:
        if not has_slices or (mirrored and mirror_covers()):
            return Phase(slices=False, endpoints=True, skip_mirror=False)
        return Phase(slices=True, endpoints=True, skip_mirror=False, waiting=_FOR_THE_MIRROR)
    if mirrored and not ours_cover():
        return Phase(slices=True, endpoints=True, skip_mirror=False, waiting=_FOR_OURS)
    return Phase(slices=True, endpoints=endpoints, skip_mirror=True)


_FOR_THE_MIRROR = Notice(
    "WaitingForMirror",
    "not yet: our slices go when those that Kubernetes makes of the Endpoints show the same addresses",
)
_FOR_OURS = Notice(
    "WaitingForSlices",
    "not yet: the Endpoints are mirrored until slices of ours are seen to show the same addresses",
)
