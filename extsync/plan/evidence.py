"""The evidence of the guard that survives a restart, as an annotation on one of the objects that are written anyway.

A process that starts reads what is published, and what of it no source names; the annotation says for how long that has
been so, and what else left before. Its times are those of the wall clock, which may be set: so they only ever shorten a
wait, never below ``MARGIN`` of this process's own time, and what is implausible counts for nothing. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from extsync.changes import Change, Create, Delete, Update
from extsync.decoding import decoded
from extsync.model import Identity
from extsync.objects import OWNER_LABEL, Endpoints, EndpointSlice, KubeObject
from extsync.plan.changes import Changes
from extsync.plan.suppressed import text_of

EVIDENCE_ANNOTATION = "extsync.dev/guard"

MARGIN = 30.0
"""Seconds that a process watches by itself before it believes a removal, whatever was written before; a tenth of
``confirmAfter`` where that is shorter."""

DRIFT = 0.2
"""The part of ``confirmAfter`` by which what is written may be wrong before it is written anew for that alone."""

MOST_DIGESTS = 4000
"""Endpoints that the annotation tells apart (4 bytes each); of a larger removal each waits for its full time again."""

MOST_BATCHES = 8
MOST_STEPS = 8
"""Times at which something left, of one source; those before the oldest of them count as one with it."""

MOST_SOURCES = 64

_DIGEST = 4

_MOST_WRITES = 1 << 53
"""Numbers that no installation reaches, and to which one more can be added."""

_NO_DATE = 253402300800.0
"""The wall-clock time from which on there are no dates: the year 10000."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Endpoints that are withheld and for whose removal as many ``seconds`` count; 4 characters stand for each."""

    seconds: float
    digests: str

    @property
    def each(self) -> Iterator[str]:
        """The digests one by one."""
        return (self.digests[start : start + _DIGEST] for start in range(0, len(self.digests), _DIGEST))


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is written. Of several the one with the highest ``number`` counts.

    ``at`` is when it was written (wall-clock seconds, as all times here). ``known`` are how many backends each source
    has, ``left`` when how many of each left within the window. ``since`` is when the removal began to be withheld of
    which ``withheld`` is told and ``hash`` is the name; ``counting``: the time since ``at`` counts for it. ``allowed``
    is the ``since`` of the removal that a person let through.
    """

    number: int = 0
    at: float = 0.0
    known: dict[str, int] = {}
    left: dict[str, tuple[tuple[float, int], ...]] = {}
    since: float = 0.0
    hash: str = ""
    counting: bool = False
    withheld: tuple[Batch, ...] = ()
    allowed: float = 0.0

    def seconds(self, wall: float, confirm_after: float) -> list[float]:
        """How many seconds count for the removal of each batch by now, as far as can be told from what is written."""
        passed = wall - self.at if self.counting else 0.0
        if not 0.0 <= passed <= 2 * confirm_after:  # the clock was set, or nobody was there
            passed = 0.0
        return [max(0.0, batch.seconds) + passed for batch in self.withheld]

    def is_off(self, least: float, most: float, wall: float, confirm_after: float) -> bool:
        """Whether it says something else by now than that ``least`` to ``most`` seconds count, by much of the wait."""
        said = self.seconds(wall, confirm_after)
        if not any(batch.digests for batch in self.withheld):
            return False
        return max(abs(min(said) - least), abs(max(said) - most)) > DRIFT * confirm_after

    def credits(self, wall: float, confirm_after: float) -> Mapping[str, float]:
        """The same for each endpoint by its digest, for a process that starts."""
        most = confirm_after - min(MARGIN, confirm_after / 10)
        return {
            one: min(seconds, most)
            for batch, seconds in zip(self.withheld, self.seconds(wall, confirm_after), strict=True)
            for one in batch.each
        }

    def lists(self, identity: Identity) -> bool:
        """Whether an endpoint is withheld by what is written; also where that does not tell endpoints apart."""
        wanted = digest(identity)
        return any(not batch.digests or wanted in batch.each for batch in self.withheld)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it that a process that starts would need."""
        return not (self.known or self.left or self.withheld or self.allowed)


def digest(identity: Identity) -> str:
    """What stands for an endpoint in a ``Batch``."""
    return base64.b64encode(hashlib.sha256(text_of(identity).encode()).digest()[:3]).decode()


def batches(withheld: Iterable[tuple[Identity, float]]) -> tuple[Batch, ...]:
    """What is withheld, each with the seconds that count, in batches of as many; the most seconds first."""
    by_seconds: dict[float, list[str]] = {}
    for identity, seconds in withheld:
        by_seconds.setdefault(round(seconds, 1), []).append(digest(identity))
    ordered = sorted(by_seconds.items(), reverse=True)
    if sum(len(digests) for _, digests in ordered) > MOST_DIGESTS:
        return (Batch(0.0, ""),)
    rest = ordered[MOST_BATCHES - 1 :]
    if len(rest) > 1:  # the fewest seconds count for all of them
        ordered[MOST_BATCHES - 1 :] = [(rest[-1][0], [one for _, digests in rest for one in digests])]
    return tuple(Batch(seconds, "".join(sorted(digests))) for seconds, digests in ordered)


def steps(left: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    """When how many left, bounded; the oldest are put together with the next one, so that they count for longer."""
    old = left[: -(MOST_STEPS - 1)]
    together = [(old[-1][0], sum(number for _, number in old))] if old else []
    return tuple((round(at), number) for at, number in [*together, *left[len(old) :]])


def parse(text: str) -> Evidence | None:
    """What an annotation says; None where that is not to be understood, as after somebody edited it."""
    try:
        evidence: Evidence = decoded(text, Evidence)
    except msgspec.DecodeError:
        return None
    return evidence if 0.0 <= evidence.since < _NO_DATE and evidence.number < _MOST_WRITES else None


def newest(objects: Iterable[EndpointSlice | Endpoints]) -> Evidence:
    """The evidence that counts of what is on these objects."""
    texts = (obj.annotations.get(EVIDENCE_ANNOTATION) for obj in objects)
    found = (parse(text) for text in texts if text is not None)
    return max((one for one in found if one is not None), key=lambda one: one.number, default=Evidence())


def with_evidence(
    changes: Changes, objects: Sequence[EndpointSlice | Endpoints], evidence: Evidence, *, by_itself: bool
) -> Changes:
    """``changes`` with ``evidence`` on one of the objects that they write, and on no other of these.

    Where they write none, one of ``objects``, which are those of ours, is written for it alone if ``by_itself`` says
    so, or if they do nothing but delete: what left with that has to be known as well. What is no evidence of anything
    is written only where something older would count without it.
    """
    bearers = {_name(obj) for obj in objects if EVIDENCE_ANNOTATION in obj.annotations}
    touched = {_name(c.obj) for c in changes if isinstance(c, Create | Update)}
    deleted = {(c.kind, c.name) for c in changes if isinstance(c, Delete)}
    is_needed = not evidence.is_empty or bool(bearers - touched - deleted)
    text = msgspec.json.encode(evidence).decode() if is_needed else None
    items: list[Change] = []
    for change in changes:
        if isinstance(change, Create | Update) and isinstance(change.obj, EndpointSlice | Endpoints):
            change = msgspec.structs.replace(change, obj=_marked(change.obj, text))
            text = None
        items.append(change)
    stay = [
        obj for obj in objects if _name(obj) not in deleted and OWNER_LABEL in obj.labels
    ]  # not what is adopted yet
    if text is not None and stay and (by_itself or deleted):
        items.insert(0, Update(_marked(stay[-1], text), _REASON, adds=False, takes_away=False, is_note=True))
    return Changes(tuple(items)) if items else changes


_REASON = "what the guard knows, for a process that starts"


def _name(obj: KubeObject) -> tuple[type[KubeObject], str]:
    return type(obj), obj.metadata.name


def _marked(obj: EndpointSlice | Endpoints, text: str | None) -> EndpointSlice | Endpoints:
    annotations = {key: value for key, value in obj.annotations.items() if key != EVIDENCE_ANNOTATION}
    if text is not None:
        annotations[EVIDENCE_ANNOTATION] = text
    if annotations == obj.annotations:
        return obj
    return msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, annotations=annotations or None))
