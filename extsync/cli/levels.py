"""The level of the log while ``run`` runs: it follows the settings file, and two signals.

A pod has its settings in a ConfigMap, whose file changes under it; on a machine a signal is quicker. Other settings
are read at the start alone, and a change of them is told of.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from typing import Final

from extsync.cli import logs
from extsync.cli.world import settings_of
from extsync.config.settings import Settings
from extsync.errors import ConfigError
from extsync.seams import Clock

log = logging.getLogger(__name__)

LEVELS: Final = ("debug", "info", "warning", "error")


class Levels:
    """The level of the log, from ``settings`` and the number of ``-v`` at first."""

    def __init__(self, settings: Settings, *, verbose: int) -> None:
        self._settings = settings
        self._verbose = verbose
        self._level = logs.lowest(settings.log_level, verbose)

    def heed_signals(self) -> None:
        """From now on SIGUSR1 makes the log louder, and SIGUSR2 quieter."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.louder)
        loop.add_signal_handler(signal.SIGUSR2, self.quieter)

    def louder(self) -> None:
        """One level more is heard."""
        self._set(LEVELS[max(0, LEVELS.index(self._level) - 1)])

    def quieter(self) -> None:
        """One level less is heard."""
        self._set(LEVELS[min(len(LEVELS) - 1, LEVELS.index(self._level) + 1)])

    def take(self, settings: Settings) -> None:
        """Takes up another level of the settings, and tells of what else has changed there."""
        known, self._settings = self._settings, settings
        if known.log_level != settings.log_level:
            self._set(logs.lowest(settings.log_level, self._verbose))
        changed = [name for name in Settings.model_fields if getattr(known, name) != getattr(settings, name)]
        if others := [name for name in changed if name != "log_level"]:
            log.warning("the settings have changed: %s; that takes effect at the next start", ", ".join(others))

    def _set(self, level: str) -> None:
        if level != self._level:
            before, self._level = self._level, level
            logs.set_level(min(level, before, key=LEVELS.index))  # so that the change itself is heard
            log.warning("the level of the log is %s, and was %s", level, before)
            logs.set_level(level)


async def follow(levels: Levels, args: argparse.Namespace, *, every: float, clock: Clock) -> None:
    """Looks at the settings file every so many seconds, until it is cancelled, and has ``levels`` take what changes."""
    stamp = _stamp(args.config)
    while True:
        await clock.sleep(every)
        before, stamp = stamp, _stamp(args.config)
        if stamp in (before, None):
            continue
        try:
            levels.take(settings_of(args))
        except ConfigError as error:
            log.warning("the settings have changed, and cannot be read: %s; those that were in force are", error)


def _stamp(path: str | None) -> tuple[int, ...] | None:
    """What is another one where the file is; None where there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
