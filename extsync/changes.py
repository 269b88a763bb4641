"""The changes that a plan asks for and a writer makes, as plain values. No I/O.

A plan is an ordered sequence of changes: those that add come before those that take away. Each carries the reason
that people read in logs, ``diff`` and ``explain``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from extsync.objects import KubeObject, Service


class Create(msgspec.Struct, frozen=True):
    """Make ``obj``, whose metadata names it and has neither uid nor resourceVersion."""

    obj: KubeObject
    reason: str = ""


class Update(msgspec.Struct, frozen=True):
    """Replace the object by ``obj``; the uid and the resourceVersion in its metadata are preconditions.

    An endpoint that moves from one object to another must never be in neither. So an update that ``takes_away``
    endpoints from its object is not made once a create, or an update that ``adds`` endpoints, has failed before it.
    A plan that knows better than the cautious defaults says so, above all of a flip: it neither adds nor takes away.
    ``adopts``: the object was nobody's and becomes ours, which people are to be told. ``is_note``: only an annotation
    for extsync itself differs, so that it undoes nothing that anybody else did.
    """

    obj: KubeObject
    reason: str = ""
    adds: bool = True
    takes_away: bool = True
    adopts: bool = False
    is_note: bool = False


class Delete(msgspec.Struct, frozen=True):
    """Delete that very object; not made once a create, or an update that adds, has failed before it.

    ``adopts``: the object was nobody's, and one of ours has taken its place.
    """

    kind: type[KubeObject]
    namespace: str
    name: str
    uid: str
    resource_version: str | None = None
    reason: str = ""
    adopts: bool = False

    @classmethod
    def of(cls, obj: KubeObject, reason: str, *, adopts: bool = False) -> Delete:
        """The deletion of that very version of ``obj``: what somebody changed since is looked at once more."""
        metadata = obj.metadata
        uid = metadata.uid or ""
        return cls(type(obj), metadata.namespace, metadata.name, uid, metadata.resource_version, reason, adopts)


class ApplyService(msgspec.Struct, frozen=True):
    """Server-side apply of ``body``, a Service as plain JSON with only the fields that are ours; never forced.

    It is of that very version of the Service, as ``uid`` and ``resource_version`` say; without them it makes one that
    is not there yet, and must meet none.
    """

    body: dict[str, Any]
    reason: str = ""
    uid: str | None = None
    resource_version: str | None = None

    @classmethod
    def of(cls, current: Service, body: dict[str, Any], reason: str) -> ApplyService:
        """The apply to that very version of the Service: what somebody changed since is looked at once more."""
        return cls(body, reason, current.metadata.uid, current.metadata.resource_version)


Change: TypeAlias = Create | Update | Delete | ApplyService
