"""What has become of one probe: its latest results and the latest changes of its health, in as few bytes as it takes.

Both are packed, oldest first: 20 bytes a result and 17 a change, some 25 MiB for 100,000 probes. Why one failed is a
number there: the texts are shared among all probes and kept once, in a table of bounded size, since a server can answer
with something new each time.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from extsync.model import Health

RESULTS: Final = 8
"""How many results of a probe are kept."""

CHANGES: Final = 5
"""How many changes of a probe's health are kept."""

TEXTS: Final = 4096
LONGEST: Final = 500
"""Characters of a text; what is longer is cut."""

PASSED: Final = 0
"""The number of what was no failure."""

FORGOTTEN: Final = "failed; why is not kept any more, since too many other reasons came after it"

_RESULT: Final = struct.Struct("=dfQ")
_CHANGE: Final = struct.Struct("=dBQ")
_OTHER_RESULTS: Final = (RESULTS - 1) * _RESULT.size
_OTHER_CHANGES: Final = (CHANGES - 1) * _CHANGE.size
_HEALTHS: Final = tuple(Health)


class Reasons:
    """Texts by number, and numbers by text. Where there are too many, what was used least recently goes."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._texts: dict[int, str] = {}
        self._last = PASSED

    def number(self, text: str) -> int:
        """The number of ``text``, a new one where it has none. A number is never given twice."""
        if len(text) > LONGEST:
            text = f"{text[: LONGEST - 3]}..."
        number = self._numbers.get(text)
        if number is not None:
            self._numbers.move_to_end(text)
            return number
        if len(self._numbers) == TEXTS:
            _, oldest = self._numbers.popitem(last=False)
            del self._texts[oldest]
        number = self._last = self._last + 1
        self._numbers[text] = number
        self._texts[number] = text
        return number

    def text(self, number: int) -> str:
        """The text of a number, always the same object; FORGOTTEN where it is not kept any more."""
        return self._texts.get(number, FORGOTTEN)


def with_result(results: bytes, at: float, latency: float, reason: int) -> bytes:
    """``results`` and one more: it ended at ``at`` of the monotonic clock and took ``latency`` seconds."""
    return results[-_OTHER_RESULTS:] + _RESULT.pack(at, latency, reason)


def with_change(changes: bytes, at: float, health: Health, reason: int) -> bytes:
    """``changes`` and one more: from ``at`` of the monotonic clock on the health is ``health``."""
    return changes[-_OTHER_CHANGES:] + _CHANGE.pack(at, _HEALTHS.index(health), reason)


def results_of(results: bytes) -> Iterator[tuple[float, float, int]]:
    """Each result, oldest first: when it ended, how long it took, and the number of its reason."""
    return _RESULT.iter_unpack(results)


def changes_of(changes: bytes) -> Iterator[tuple[float, Health, int]]:
    """Each change, oldest first: when it was, to which health, and the number of its reason."""
    for at, health, reason in _CHANGE.iter_unpack(changes):
        yield at, _HEALTHS[health], reason
