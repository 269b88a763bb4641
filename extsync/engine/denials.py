"""Tells people by events which backends the settings do not allow."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from extsync.engine.carried import CARRIED
from extsync.engine.happenings import ADDRESS_DENIED, announce
from extsync.engine.kept import Kept
from extsync.kube.events import Recorder
from extsync.objects import KubeObject

MOST_TOLD: Final = 3
"""Backends that one event names."""


def record_denials(kept: Kept, about: Sequence[KubeObject], recorder: Recorder) -> None:
    """Puts an event on ``about`` where backends are denied that were not before.

    They are named in a fixed order, so that the event is the same as long as they are, also after a restart.
    """
    denied = frozenset(
        f"{'published before' if source == CARRIED else f'source {source!r}'}: {entry.entry}: {entry.reason}"
        for source, entry in kept.state.merged.rejected
        if entry.denied
    )
    if not about or denied == kept.denied:
        return
    is_more, kept.denied = not denied <= kept.denied, denied
    if is_more:
        told = heapq.nsmallest(MOST_TOLD, denied)
        more = f"; and {len(denied) - len(told)} more" if len(denied) > len(told) else ""
        announce(recorder, about, ADDRESS_DENIED, "; ".join(told) + more)
