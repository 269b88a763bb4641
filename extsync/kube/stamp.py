"""The stamp: which replica wrote an object, under which term of which Lease. Pure.

It is an annotation on slices and Endpoints, for people, for audits and for ``apply``, which asks whether a running
extsync keeps a Service. It is never compared and never a reason to write.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from extsync.objects import WRITTEN_BY_ANNOTATION, Endpoints, EndpointSlice, KubeObject

K = TypeVar("K", bound=KubeObject)

_NUMBER = re.compile("[0-9]{1,18}")
"""Anybody may write an annotation, and Python refuses numbers of thousands of digits with an error."""


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease, how many times its holder had changed, and who held it; as text with slashes between them."""

    namespace: str
    lease: str
    transitions: int
    identity: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.lease}/{self.transitions}/{self.identity}"

    @classmethod
    def parse(cls, text: str) -> Stamp | None:
        """The stamp that ``text`` says; None where it says none."""
        parts = text.split("/")
        if len(parts) != 4 or not all(parts) or not _NUMBER.fullmatch(parts[2]):
            return None
        return cls(namespace=parts[0], lease=parts[1], transitions=int(parts[2]), identity=parts[3])


def stamp_of(obj: KubeObject) -> Stamp | None:
    """Who wrote ``obj``, None where it does not say."""
    return Stamp.parse(obj.annotations.get(WRITTEN_BY_ANNOTATION, ""))


def stamped(obj: K, stamp: Stamp | None) -> K:
    """``obj`` with this stamp, or without any: one that somebody else left there would not be true any more.

    Objects of kinds that have none stay as they are.
    """
    if not isinstance(obj, EndpointSlice | Endpoints):
        return obj
    annotations = {key: value for key, value in obj.annotations.items() if key != WRITTEN_BY_ANNOTATION}
    if stamp is not None:
        annotations[WRITTEN_BY_ANNOTATION] = str(stamp)
    if annotations == obj.annotations:
        return obj
    return msgspec.structs.replace(obj, metadata=msgspec.structs.replace(obj.metadata, annotations=annotations or None))
