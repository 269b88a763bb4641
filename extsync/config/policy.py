"""The policy of a manifest: how much may change at once and how fast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from extsync.config.block import Block
from extsync.config.durations import Duration
from extsync.config.values import AtLeastOne, Natural, Percent, PositiveDuration


class Guard(Block):
    """Withholds removals that look like an accident, for each discovered source."""

    max_removal_percent: Percent = 50
    min_removals: Natural = 3
    window: PositiveDuration = Duration(600)
    confirm_after: Duration = Duration(600)


class Damping(Block):
    """Delays promotions of an endpoint that flaps; demotions are never delayed."""

    max: Duration = Duration(300)


class Policy(Block):
    """What holds for the Service as a whole."""

    max_endpoints_per_slice: Annotated[int, Field(ge=1, le=1000)] = 100
    min_ready: AtLeastOne = 1
    failback_delay: Duration = Duration(60)
    adopt: Literal["Never", "IfUnmanaged"] = "Never"
    guard: Guard = Field(default_factory=Guard)
    panic_threshold: Percent = 0
    panic_mode: Literal["HoldLast", "ServeAll", "FailClosed"] = "HoldLast"
    damping: Damping = Field(default_factory=Damping)
    writes_per_minute: AtLeastOne = 60
