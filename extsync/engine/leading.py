"""Whether this replica may write for a service: what the engine asks, and the answer where there is one replica only.

A replica that does not lead does everything but write: its caches, sources and probes run and its services are
decided on, so that it publishes at once when it takes over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

import msgspec

from extsync.kube.stamp import Stamp
from extsync.kube.writer import unfenced, unstamped
from extsync.model import ServiceKey

Concerns: TypeAlias = Callable[[ServiceKey], bool]
"""Which services a change of who leads is about."""


class LeaseStatus(msgspec.Struct, frozen=True):
    """A Lease: whether this replica may write by it, and who held it when it was last seen, "" for nobody."""

    name: str
    leads: bool
    holder: str


class Leadership(Protocol):
    """Says for which services this replica leads. Asked from one event loop only."""

    def leads(self, key: ServiceKey) -> bool:
        """Whether this replica may write for the service now."""
        ...

    def fence(self, key: ServiceKey) -> float | None:
        """Seconds for which a write of the service may still run, None: for as long as it takes; raises Fenced."""
        ...

    def stamp(self, key: ServiceKey) -> Stamp | None:
        """What to stamp the objects of the service with now; None: nothing."""
        ...

    def writing(self, key: ServiceKey) -> AbstractContextManager[None]:
        """Encloses the writes of one round: leadership is not handed over before they have ended."""
        ...

    def start(
        self, tasks: asyncio.TaskGroup, *, changed: Callable[[Concerns], None], in_doubt: Callable[[], bool]
    ) -> None:
        """Stands for election from now on, in ``tasks``.

        ``changed`` is called where this replica begins or ceases to lead. ``in_doubt`` says whether this replica takes
        itself to be cut off from the backends: then another one had better lead.
        """
        ...

    def leases(self) -> tuple[LeaseStatus, ...]:
        """How the Leases stand that say who writes."""
        ...

    async def hand_over(self) -> None:
        """Ceases to lead for good, lets the writes under way end, and lets others take over at once.

        Takes some seconds at most. What could not be handed over in time is taken over when its Lease runs out.
        """
        ...


class Alone:
    """The only replica: it always leads."""

    def leads(self, key: ServiceKey) -> bool:
        """Always."""
        return True

    def fence(self, key: ServiceKey) -> float | None:
        """Always open."""
        return unfenced()

    def stamp(self, key: ServiceKey) -> Stamp | None:
        """None: there is no Lease that could be named."""
        return unstamped()

    def writing(self, key: ServiceKey) -> AbstractContextManager[None]:
        """Nobody waits for the end of it."""
        return nullcontext()

    def start(
        self, tasks: asyncio.TaskGroup, *, changed: Callable[[Concerns], None], in_doubt: Callable[[], bool]
    ) -> None:
        """Nothing changes."""

    def leases(self) -> tuple[LeaseStatus, ...]:
        """None: nobody else has to be told."""
        return ()

    async def hand_over(self) -> None:
        """There is nobody to hand over to."""
