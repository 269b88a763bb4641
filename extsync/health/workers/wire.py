"""What the pool and a worker say to each other, and how that becomes bytes: frames of a length and a pickle.

Unpickling runs what the bytes say, so it is for bytes that nobody else can write: these come over a socket pair that
only the two processes have, both of which run this very code. Nothing less would do, since checks are arbitrary values
of arbitrary plugins.
"""

from __future__ import annotations

import pickle
from collections.abc import Hashable, Iterator, Mapping
from struct import Struct
from typing import Any, Final, TypeAlias

import msgspec

from extsync.health.target import Evidence, Probe, Sign, Stats, Target
from extsync.model import Verdict

FRAME_LIMIT: Final = 1 << 26
"""The longest frame in bytes. Batches are small; what exceeds this is a defect, and must not fill the memory."""

_LENGTH: Final = Struct("!I")

Given: TypeAlias = tuple[Hashable, int]
"""A target's id and the revision in which a worker was given it; what concerns an earlier revision is void."""


class Setup(msgspec.Struct, frozen=True):
    """The first message to a worker: how to probe. A worker that is busy for ``stuck_after`` seconds ends itself."""

    max_in_flight: int
    source_addresses: tuple[str, ...]
    stuck_after: float


class Order(msgspec.Struct, frozen=True):
    """What to probe from now on: new rules (number and pickle), then removals, then upserts, then rules to forget."""

    rules: list[tuple[int, bytes]]
    removals: list[Hashable]
    upserts: list[tuple[int, tuple[Any, ...]]]
    retired: list[int]


class Ping(msgspec.Struct, frozen=True):
    """Are you there?"""


class Ask(msgspec.Struct, frozen=True):
    """What is known of a target? ``number`` comes back with the answer."""

    number: int
    target: Hashable


class Ready(msgspec.Struct, frozen=True):
    """The worker's first message: it takes orders."""


class Unfit(msgspec.Struct, frozen=True):
    """The worker cannot probe, and ends."""

    reason: str


class Report(msgspec.Struct, frozen=True):
    """The verdicts and signs that are new, the latest of each target."""

    verdicts: list[tuple[Given, Verdict]]
    signs: list[tuple[Given, Sign]]


class BadRule(msgspec.Struct, frozen=True):
    """A rule cannot be used in the worker; what uses it is not probed, unless the rule is sent again and can be."""

    number: int
    fault: str


class BadTarget(msgspec.Struct, frozen=True):
    """A target cannot be probed and is forgotten; ``fault`` is "" where that is because a rule was refused."""

    given: Given
    fault: str


class Pong(msgspec.Struct, frozen=True):
    """The answer to Ping."""

    stats: Stats


class Answer(msgspec.Struct, frozen=True):
    """The answer to Ask."""

    number: int
    evidence: tuple[Evidence, ...]


def frame(message: object) -> bytes:
    """The bytes of one message."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a message of {len(body)} bytes is too long")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Takes bytes as they come and gives messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """The messages that ``data`` completes. Raises ValueError where the bytes are not what ``frame`` makes."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            [length] = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_LIMIT:
                raise ValueError(f"a message of {length} bytes is too long")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[start + _LENGTH.size : end])
            start = end
            yield pickle.loads(body)
        del self._buffer[:start]


def packed(target: Target, rules: tuple[int, ...]) -> tuple[Any, ...]:
    """A target without its checks: the fields of it and of its probes, with the number of a rule for each probe."""
    identity, probes, *rest = msgspec.structs.astuple(target)
    places = [(number, *msgspec.structs.astuple(probe)[2:]) for number, probe in zip(rules, probes, strict=True)]
    return (identity, places, *rest)


def unpacked(fields: tuple[Any, ...], rules: Mapping[int, tuple[Any, ...]]) -> Target | None:
    """What ``packed`` was given; None where a rule is not among ``rules``."""
    identity, places, *rest = fields
    if any(number not in rules for number, *_ in places):
        return None
    return Target(identity, tuple(Probe(*rules[number], *place) for number, *place in places), *rest)
