"""What the engine says, heard line by line: it is printed or hashed, and searched for secrets and for freezes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from extsync.engine.probing import CUT_OFF
from tests.simulation.process import current

_THAWED = "failures are believed again"


class Ears(logging.Handler):
    """Takes every record of the package. ``frozen`` are the processes that believe no failure now."""

    def __init__(self, now: Callable[[], float], secrets: tuple[str, ...], *, line: Callable[[str], object]) -> None:
        super().__init__()
        self.frozen: set[str] = set()
        self.leaks: list[str] = []
        self._now = now
        self._secrets = secrets
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        process = current()
        name = "script" if process is None else process.name
        text = self.format(record)
        if text.startswith(CUT_OFF):
            self.frozen.add(name)
        elif text.startswith(_THAWED):
            self.frozen.discard(name)
        if any(secret in text for secret in self._secrets):
            self.leaks.append(text)
        self._line(f"{self._now():10.3f} {name:8} {record.levelname:7} {text}")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the records of the block, and keeps them from others."""
        loggers = [logging.getLogger("extsync"), logging.getLogger("tests.simulation")]
        before = [(logger.level, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.addHandler(self)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.removeHandler(self)
                logger.setLevel(level)
                logger.propagate = propagate
