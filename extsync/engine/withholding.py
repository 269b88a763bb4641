"""Tells people that removals are withheld, and what became of them: by events on the Service, and in the log."""

from __future__ import annotations

import logging

from extsync.engine.kept import Kept
from extsync.kube.events import Recorder
from extsync.objects import Service

log = logging.getLogger(__name__)


def record(kept: Kept, service: Service | None, recorder: Recorder) -> None:
    """Puts an event on the Service where a removal begins to be withheld, becomes another one, or is so no more."""
    guarding, told = kept.state.guarding, kept.withheld
    suppressed = guarding.suppressed
    now = "" if suppressed is None else suppressed.hash
    if now == told or service is None:
        return
    kept.withheld = now
    if suppressed is not None:
        recorder.tell(service, "Warning", "RemovalSuppressed", suppressed.summary)
    else:
        log.info("%s: nothing is withheld any more: %s", kept.state.key, guarding.ended)
        recorder.tell(service, "Normal", "RemovalReleased", guarding.ended)
