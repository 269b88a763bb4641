"""The changes that a plan asks for and a writer makes, as plain values. No I/O.

A plan is an ordered sequence of changes. Each carries the reason that people read in logs, ``diff`` and ``explain``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from extsync.objects import KubeObject


class Create(msgspec.Struct, frozen=True):
    """Make ``obj``, whose metadata names it and has neither uid nor resourceVersion."""

    obj: KubeObject
    reason: str = ""


class Update(msgspec.Struct, frozen=True):
    """Replace the object by ``obj``; the uid and the resourceVersion in its metadata are preconditions.

    ``takes_away`` says that the update removes an endpoint from this object which another change of the same plan may
    be adding elsewhere: it is made only where every change before it succeeded.
    """

    obj: KubeObject
    reason: str = ""
    takes_away: bool = False


class Delete(msgspec.Struct, frozen=True):
    """Delete that very object; always made only where every change before it succeeded."""

    kind: type[KubeObject]
    namespace: str
    name: str
    uid: str
    resource_version: str | None = None
    reason: str = ""


class ApplyService(msgspec.Struct, frozen=True):
    """Server-side apply of ``body``, a Service as plain JSON with only the fields that are ours; never forced."""

    body: dict[str, Any]
    reason: str = ""


Change: TypeAlias = Create | Update | Delete | ApplyService
