"""Tells people that removals are withheld, and what became of them: by events on the Service, and in the log."""

from __future__ import annotations

import logging

from extsync.engine.kept import Kept
from extsync.kube.events import Recorder
from extsync.objects import Service

log = logging.getLogger(__name__)


def record(kept: Kept, service: Service | None, recorder: Recorder) -> None:
    """Puts an event on the Service where a removal begins to be withheld, becomes another one, or is so no more.

    What was withheld when this replica began to lead has been told by the one that led before, or by the last process.
    """
    guarding = kept.state.guarding
    suppressed = guarding.suppressed
    if service is None or (suppressed is None and guarding.found.is_open):  # nobody knows yet whether something is
        return
    if kept.withheld is None:
        kept.withheld = guarding.known_hash
    now = "" if suppressed is None else suppressed.hash
    if now == kept.withheld:
        return
    kept.withheld = now
    if suppressed is not None:
        recorder.tell(service, "Warning", "RemovalSuppressed", suppressed.summary)
    else:
        why = guarding.ended or "what was withheld when extsync began to lead is named again, or has left"
        log.info("%s: nothing is withheld any more: %s", kept.state.key, why)
        recorder.tell(service, "Normal", "RemovalReleased", why)
