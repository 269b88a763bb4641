"""What each file of a source last held, and the one observation that they make together. Pure.

What a file held last counts on while it cannot be used, so that a slip in one file keeps back nothing of the others
and loses nothing of its own. Before all files could be read once, nothing is reported at all: a set that lacks a file
is no full set.

A file that its pattern with wildcards no longer names was taken away, unlike one that is named outright and missing.
It counts on for a moment, since it may be about to be written anew; and the last one of a pattern counts on for ever,
since an empty directory is what a mount that is not there looks like.
"""

from __future__ import annotations

from typing import Final

from extsync.model import Observation, Outcome, Rejected
from extsync.sources.file.disk import Mark, Seen, Sight
from extsync.sources.payload import Payload

VANISHED_HOLD: Final = 5.0
"""Seconds for which a file counts on that has vanished from among those that a pattern names."""


class _Held:
    """One file: its mark and fault at the latest look, and the last payload that could be used."""

    __slots__ = ("fault", "mark", "path", "pattern", "payload", "vanished_at")

    def __init__(self, path: str) -> None:
        self.path = path
        self.pattern = 0
        self.mark: Mark = b""
        self.fault = ""
        self.payload: Payload | None = None
        self.vanished_at: float | None = None

    def take(self, seen: Seen) -> None:
        self.pattern = seen.pattern
        self.vanished_at = None
        if seen.payload is not None:
            self.mark, self.payload, self.fault = seen.mark, seen.payload, ""
        elif seen.fault:
            self.mark, self.fault = seen.mark, seen.fault
        elif seen.mark != self.mark:
            # Without a mark, the next look begins anew.
            self.mark, self.fault = b"", f"{self.path}: changes faster than it can be read"


class Holdings:
    """The files of one source. ``marks`` are those of the latest look that was taken over (see ``Sight.marks``)."""

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}
        self._files: dict[str, _Held] = {}
        self._unlisted: dict[int, tuple[str, str]] = {}
        self._was_complete = False

    def take(self, sight: Sight, now: float) -> None:
        """Takes over what two looks agreed on; ``now`` in monotonic seconds."""
        self._unlisted = sight.unlisted
        for path, seen in sight.files.items():
            self._files.setdefault(path, _Held(path)).take(seen)
        self.marks = sight.marks() | {path: self._files[path].mark for path in sight.files}
        for held in [held for held in self._files.values() if held.path not in sight.files]:
            self._miss(held, now)
        self._was_complete = self._was_complete or not self._faults()

    def due(self) -> float | None:
        """When a vanished file ceases to count, or None."""
        times = [held.vanished_at for held in self._files.values() if held.vanished_at is not None]
        return min(times) + VANISHED_HOLD if times else None

    def observation(self) -> Observation:
        """The report of all files together; the parts of ``detail`` begin with the paths of files."""
        faults = self._faults()
        detail = "; ".join(faults.values())
        if faults and not (self._was_complete and any(self._is_good(held) for held in self._files.values())):
            return Observation(Outcome.ERROR, detail=detail)
        files = sorted(self._files.values(), key=lambda held: (held.pattern, held.path))
        payloads = [held.payload for held in files if held.payload is not None]
        backends = tuple(backend for payload in payloads for backend in payload.backends)
        if not backends:
            return Observation(Outcome.ERROR if faults else Outcome.EMPTY, detail=detail or "every file holds []")
        rejected = [entry for payload in payloads for entry in payload.rejected]
        rejected += [Rejected(path, f"{fault}; what it held last counts on") for path, fault in faults.items()]
        return Observation(Outcome.FOUND, backends, tuple(rejected), detail)

    def _miss(self, held: _Held, now: float) -> None:
        if held.pattern in self._unlisted:
            held.vanished_at = None
        elif held.vanished_at is None:
            held.vanished_at = now
        elif held.vanished_at + VANISHED_HOLD <= now:
            del self._files[held.path]

    def _faults(self) -> dict[str, str]:
        """The patterns that name nothing and the files that cannot be used, each with the reason."""
        present = [held for held in self._files.values() if held.vanished_at is None]
        return dict(self._unlisted.values()) | {held.path: held.fault for held in present if held.fault}

    def _is_good(self, held: _Held) -> bool:
        return not held.fault and held.vanished_at is None and held.pattern not in self._unlisted
