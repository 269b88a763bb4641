"""Contention: an object that somebody else changes back whenever extsync has written it. Pure.

To write the same again at once would be a fight without end, and to give in would leave the endpoints to whoever writes
last. So what is a mere repetition of the last write waits, each time twice as long, and what is new goes out at once:
an endpoint that fails is told however contested its object is. One object waits; all others of its service go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from extsync.changes import ApplyService, Change, Delete
from extsync.objects import FIELD_MANAGER, Endpoints, EndpointSlice, KubeObject
from extsync.plan.metadata import controller_uid

FREE = 5
"""Repetitions without a pause: edits by hand are put right at once."""
FIRST = 10.0
LONGEST = 300.0
"""Seconds of the first and of the longest pause."""
QUIET = 600.0
"""Seconds after which a write that still stands ends the contention."""


_ANOTHER = "another process of extsync with the same owner id"


class Contest(msgspec.Struct, frozen=True):
    """What was written to one object last, when (monotonic seconds), and how often in a row that was what had been
    written before."""

    content: bytes
    at: float
    repeats: int = 0

    @property
    def is_contested(self) -> bool:
        return self.repeats > FREE

    @property
    def pause(self) -> float:
        """Seconds after the last write before which it is not repeated."""
        beyond = self.repeats - FREE
        return 0.0 if beyond < 0 else min(LONGEST, FIRST * 2.0 ** min(beyond, 30))

    def is_over(self, now: float) -> bool:
        return now - self.at >= QUIET


def after_write(before: Contest | None, content: bytes, now: float) -> Contest:
    """The contest after one more write of an object."""
    if before is None or before.is_over(now):
        return Contest(content, now)
    return Contest(content, now, before.repeats + (content == before.content))


def wait_before(contest: Contest | None, content: bytes, now: float) -> float:
    """Seconds until ``content`` may be written; 0 for what is new."""
    if contest is None or content != contest.content or contest.is_over(now):
        return 0.0
    return max(0.0, contest.at + contest.pause - now)


def content_of(change: Change) -> bytes:
    """What a change makes of its object, as a digest; others may have annotations and owner references of their own.

    The Service that controls it counts: what belonged to one that is gone was not undone by a rival.
    """
    if isinstance(change, Delete):
        return b"deleted"
    plain: Any = change.body if isinstance(change, ApplyService) else _content(change.obj)
    return hashlib.blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=16).digest()


def _content(obj: KubeObject) -> Any:
    match obj:
        case EndpointSlice():
            return [controller_uid(obj), obj.labels, obj.address_type, obj.endpoints, obj.ports]
        case Endpoints():
            return [controller_uid(obj), obj.labels, obj.subsets]
    return obj


def is_of_extsync(obj: KubeObject) -> bool:
    """Whether the last change of ``obj`` is known to be that of a process of extsync."""
    return bool(obj.metadata.managed_fields) and rivals(obj) == _ANOTHER


def rivals(obj: KubeObject | None) -> str:
    """Who wrote ``obj``, as it is before extsync changes it again, in words: the other field managers of the last
    change."""
    entries = () if obj is None else obj.metadata.managed_fields or ()
    if not entries:
        return "somebody"
    ours = max((_time(entry) for entry in entries if entry.get("manager") == FIELD_MANAGER), default="")
    others = [entry for entry in entries if entry.get("manager") != FIELD_MANAGER and _time(entry) >= ours]
    latest = max(map(_time, others), default="")
    names = dict.fromkeys(str(entry.get("manager")) for entry in others if _time(entry) == latest)
    return " and ".join(names) or _ANOTHER


def _time(entry: Mapping[str, Any]) -> str:
    """RFC 3339 in UTC, in whole seconds: such times compare as texts."""
    return str(entry.get("time") or "")
