"""A body of Consul's health endpoint as backends. Pure.

An instance that cannot be used is set aside with its reason, and the others count. Most of an answer is what the one
before it said, since one changed check brings all instances again: what was said before is recognised and not decoded.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeAlias

import msgspec

from extsync.decoding import decoded
from extsync.model import Backend, Rejected
from extsync.sources.consul import health
from extsync.sources.consul.address import locate
from extsync.sources.consul.labels import labels_of
from extsync.sources.consul.wire import Entry

MAX_BACKENDS: Final = 500_000
"""Instances of one service; more is an accident, and is refused before it takes the memory."""

MAX_REJECTED: Final = 1000
"""Instances set aside that are told one by one; further ones are only counted."""

_LONGEST: Final = 200

Key: TypeAlias = tuple[str, int | None]
"""Address and port, by which the gate recognises an instance: the ID may be another one after a registration anew."""


class Rules(msgspec.Struct, frozen=True):
    """What the manifest says on how instances of one service are read."""

    service: str
    tagged_address: str | None = None
    warning_is_ready: bool = True
    tag_separator: str = ","


class Listing(msgspec.Struct, frozen=True):
    """What one answer lists. ``keys`` are those of the backends."""

    backends: tuple[Backend, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    keys: frozenset[Key] = frozenset()

    @property
    def is_unusable(self) -> bool:
        """Whether there are instances, and each of them was set aside."""
        return not self.backends and bool(self.rejected)


class Reading(msgspec.Struct, frozen=True):
    """What a body said, and what the next one need not be decoded for: the digests of the body and of its parts."""

    listing: Listing = Listing()
    digest: bytes = b""
    parts: dict[bytes, Backend | Rejected] = msgspec.field(default_factory=dict)


def read(body: bytes, rules: Rules, before: Reading) -> Reading:
    """Reads a body. The listing is that of ``before``, the same object, where it says the same.

    Raises ValueError, which says what the body is instead, where it is no list of instances.
    """
    digest = sha256(body).digest()
    if digest == before.digest:
        return before
    try:
        instances: list[msgspec.Raw] = decoded(body, list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise ValueError(f"is no list of instances: {error}") from None
    except msgspec.DecodeError as error:
        raise ValueError(_not_json(body, error)) from None
    if len(instances) > MAX_BACKENDS:
        raise ValueError(f"lists more than {MAX_BACKENDS:,} instances")
    parts: dict[bytes, Backend | Rejected] = {}
    found = [_recognise(instance, number, rules, before.parts, parts) for number, instance in enumerate(instances, 1)]
    listing = _listed(found)
    return Reading(before.listing if listing == before.listing else listing, digest, parts)


def _recognise(
    instance: msgspec.Raw,
    number: int,
    rules: Rules,
    before: dict[bytes, Backend | Rejected],
    parts: dict[bytes, Backend | Rejected],
) -> Backend | Rejected:
    """One instance, decoded only where it is not in ``before``; it is put into ``parts``."""
    digest = sha256(instance).digest()
    found = before.get(digest)
    if found is None:
        found = _read_instance(instance, number, rules)
    parts[digest] = found
    return found


def _listed(found: list[Backend | Rejected]) -> Listing:
    backends = tuple([entry for entry in found if isinstance(entry, Backend)])
    rejected = [entry for entry in found if isinstance(entry, Rejected)]
    if len(rejected) > MAX_REJECTED:
        further = len(rejected) - MAX_REJECTED
        rejected[MAX_REJECTED:] = [Rejected("the rest", f"{further} further instances cannot be used either")]
    keys = frozenset([(backend.address, backend.port) for backend in backends])
    return Listing(backends, tuple(rejected), keys)


def _read_instance(instance: msgspec.Raw, number: int, rules: Rules) -> Backend | Rejected:
    try:
        entry: Entry = decoded(instance, Entry)
    except msgspec.DecodeError as error:
        return Rejected(f"instance {number}", f"is not as Consul writes it: {error}")
    try:
        address, port = locate(entry, tagged=rules.tagged_address)
    except ValueError as error:
        return Rejected(_named(entry), str(error))
    state = health.judge(entry.checks, entry.service.weights, warning_is_ready=rules.warning_is_ready)
    labels = labels_of(entry, service=rules.service, health=state.status, tag_separator=rules.tag_separator)
    return Backend(address, port, ready=state.ready, drain=state.drain, labels=labels)


def _named(entry: Entry) -> str:
    text = f"{entry.service.id or 'an instance without an ID'} on {entry.node.node or 'a node without a name'}"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _not_json(body: bytes, error: Exception) -> str:
    start = body[:512].lstrip().lower()
    if start.startswith(b"<"):
        return "is an HTML page: is this the URL of Consul's API, or of a proxy or a user interface in front of it?"
    return f"is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
