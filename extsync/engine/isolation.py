"""Tells people that failures are not believed, and when they are again: in the log, and by events."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from extsync.engine.happenings import PROBER_CONNECTED, PROBER_ISOLATED, announce
from extsync.engine.kept import Kept
from extsync.engine.probing import CUT_OFF, KEPT, Probing
from extsync.kube.events import Recorder
from extsync.objects import KubeObject
from extsync.plan.doubt import Freeze
from extsync.seams import Clock

log = logging.getLogger(__name__)


class Isolation:
    """What was told of the prober being cut off."""

    def __init__(self, probing: Probing, recorder: Recorder, clock: Clock) -> None:
        self._probing = probing
        self._recorder = recorder
        self._clock = clock
        self._freeze: Freeze | None = None

    def log(self) -> None:
        """Logs where a freeze began or ended."""
        known, self._freeze = self._freeze, self._probing.freeze
        if known is None and self._freeze is not None:
            log.warning("%s: %s; no failure is believed until that is over", CUT_OFF, self._freeze.reason)
        elif known is not None and self._freeze is None:
            lasted = self._clock.monotonic() - known.since
            log.warning("failures are believed again, after %.0f s: what still fails now is not ready", lasted)

    def record(self, kept: Kept, about: Sequence[KubeObject]) -> None:
        """Puts an event on ``about``, a service of which failures are not believed, and when they are again."""
        frozen = self._probing.is_frozen(kept.state.key)
        if frozen is kept.frozen or not about:
            return
        kept.frozen = frozen
        if frozen:
            announce(self._recorder, about, PROBER_ISOLATED, KEPT)
        else:
            text = "extsync seems to have its network again: failing checks count"
            announce(self._recorder, about, PROBER_CONNECTED, text)
