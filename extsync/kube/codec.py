"""Kubernetes JSON to and from the structs of ``extsync.objects``.

Decoding is one pass of msgspec over the bytes, with a decoder made once per kind; fields that the structs do not have
are passed over here and carried through an update by ``kube.unknown``. All functions raise ``msgspec.DecodeError``
for what is not an object of that kind.
"""

from __future__ import annotations

from typing import Generic, cast

import msgspec

from extsync.decoding import decoded
from extsync.kube.status import Status, error_of
from extsync.kube.store import WatchEvent, WatchType
from extsync.objects import K, KubeObject

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial events of a watch-list."""


class Page(msgspec.Struct, Generic[K], frozen=True):
    """One page of a list; ``next`` is the token to continue with, "" on the last page."""

    items: tuple[K, ...]
    resource_version: str
    next: str


# Version and items are required: what has neither must not pass for an empty list, which would mean that all is gone.
class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct, Generic[K]):
    metadata: _ListMeta
    items: tuple[K, ...] | None


class _Versioned(msgspec.Struct):
    metadata: _ListMeta


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct):
    metadata: _Meta


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


def decode(kind: type[K], data: bytes | msgspec.Raw) -> K:
    """One object."""
    found = cast(K, decoded(data, kind))
    if found.kind not in (None, kind.__name__):
        raise msgspec.ValidationError(f"expected a {kind.__name__}, got a {found.kind}")
    return found


def decode_list(kind: type[K], data: bytes) -> Page[K]:
    """One page of a list of objects."""
    found: _List[K] = decoded(data, _List[kind])  # type: ignore[valid-type]
    return Page(found.items or (), found.metadata.resource_version, found.metadata.continue_)


def decode_version(data: bytes) -> str:
    """The version of a list, whatever is in it."""
    found: _Versioned = decoded(data, _Versioned)
    return found.metadata.resource_version


def decode_event(kind: type[K], line: bytes) -> WatchEvent[K]:
    """One line of a watch. Raises the StoreError that an ERROR event stands for."""
    event: _Event = decoded(line, _Event)
    if event.type == "ERROR":
        raise error_of(decoded(event.object, Status), f"watch {kind.PLURAL}")
    if event.type == "BOOKMARK":
        metadata = decoded(event.object, _Bookmark).metadata
        ended = (metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true"
        return WatchEvent(WatchType.BOOKMARK, metadata.resource_version, initial_end=ended)
    obj = decode(kind, event.object)
    try:
        return WatchEvent(WatchType(event.type), obj.metadata.resource_version or "", obj)
    except ValueError as error:
        raise msgspec.DecodeError(f"a watch event of the unknown type {event.type!r}") from error


def encode(obj: KubeObject) -> bytes:
    """The JSON of ``obj``, with apiVersion and kind, without fields that have no value."""
    if obj.kind is None or obj.api_version is None:
        obj = msgspec.structs.replace(obj, api_version=obj.API_VERSION, kind=type(obj).__name__)
    return msgspec.json.encode(obj)
