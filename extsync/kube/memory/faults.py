"""What can go wrong between a client and the in-memory store, and what its requests come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from extsync.errors import StoreError
from extsync.objects import KubeObject


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong with one request. Times are in seconds.

    The request reaches the store after ``before``. There it is refused with ``error``, or carried out and answered
    ``after`` that; ``lost`` loses the answer. Where it takes longer than the caller waits, or the answer is lost, the
    caller gets Unavailable. A request that did not reach the store by then, or until its caller is cancelled, never
    does, unless it is ``late``: then it arrives after ``before`` all the same.
    """

    before: float = 0.0
    error: StoreError | None = None
    after: float = 0.0
    lost: bool = False
    late: bool = False


Faults: TypeAlias = Callable[[str, type[KubeObject], tuple[str, str]], Fault | None]
"""Asked with the verb, the kind, and namespace and name ("" where there is none).

The verbs are get, list, watch, create, update, delete and apply, and, for each event that a watch is about to deliver,
"event": its ``before`` delays the event and what follows, and its ``error`` breaks the watch.
"""

NO_FAULT = Fault()


class Served(msgspec.Struct, frozen=True):
    """One request as it was carried out: what it was about, and what refused it.

    ``key`` is namespace and name. ``late``: by then its caller did not wait for it any more. ``sent`` is the version of
    the store when it was sent, ``found`` that of its object when it arrived, 0 where there was none.
    """

    verb: str
    kind: type[KubeObject]
    key: tuple[str, str]
    late: bool = False
    error: StoreError | None = None
    sent: int = 0
    found: int = 0


class Asked(NamedTuple):
    """A request: what it is about, and the deed."""

    verb: str
    kind: type[KubeObject]
    key: tuple[str, str]
    act: Callable[[], object]
    sent: int
