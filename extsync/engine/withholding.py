"""Tells people that removals are withheld, and what became of them: by events, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from extsync.engine.happenings import REMOVAL_RELEASED, REMOVAL_SUPPRESSED, announce
from extsync.engine.kept import Kept
from extsync.kube.events import Recorder
from extsync.objects import KubeObject

log = logging.getLogger(__name__)


def record(kept: Kept, about: Sequence[KubeObject], recorder: Recorder) -> None:
    """Puts an event on ``about`` where a removal begins to be withheld, becomes another one, or is so no more.

    What was withheld when this replica began to lead has been told by the one that led before, or by the last process.
    """
    guarding = kept.state.guarding
    suppressed = guarding.suppressed
    if not about or (suppressed is None and guarding.found.is_open):  # nobody knows yet whether something is
        return
    if kept.withheld is None:
        kept.withheld = guarding.known_hash
    now = "" if suppressed is None else suppressed.hash
    if now == kept.withheld:
        return
    kept.withheld = now
    if suppressed is not None:
        announce(recorder, about, REMOVAL_SUPPRESSED, suppressed.summary)
    else:
        why = guarding.ended or "what was withheld when extsync began to lead is named again, or has left"
        log.info("%s: nothing is withheld any more: %s", kept.state.key, why)
        announce(recorder, about, REMOVAL_RELEASED, why)
