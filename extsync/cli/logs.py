"""Logs: text for people, JSON lines for machines; always on standard error."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

from extsync.cli.output import to_json
from extsync.printable import printable

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(*, level: str, form: str, verbose: int = 0) -> None:
    """Sends the logs of the whole process to standard error in ``form`` "text" or "json".

    ``verbose`` (the number of -v flags) lowers ``level``: once to info, twice to debug.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    logging.getLogger().handlers[:] = [handler]
    set_level(lowest(level, verbose))


def lowest(level: str, verbose: int) -> str:
    """``level``, or that of so many -v flags where that is lower."""
    asked = {0: level, 1: "info"}.get(verbose, "debug")
    return min(level, asked, key=lambda one: _LEVELS[one])


def set_level(level: str) -> None:
    """From now on ``level`` is heard, and what is above it."""
    threshold = _LEVELS[level]
    # Libraries never speak at debug level, where they might print a token.
    logging.getLogger().setLevel(max(threshold, logging.INFO))
    logging.getLogger("extsync").setLevel(threshold)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    """``time LEVEL message``, and the traceback of an unexpected exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_when(record)} {record.levelname:<7} {printable(record.getMessage())}"
        told = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n".join((line, *map(printable, told)))


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and the fields given as ``extra={"fields": {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return to_json(entry)
