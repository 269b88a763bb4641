"""One question to the API server, whose failure is an answer too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from extsync.doctor.facts import Seen, Unread
from extsync.errors import Forbidden, NotFound, StoreError, Unauthorized
from extsync.kube.store import Store
from extsync.objects import K
from extsync.seams import Clock

T = TypeVar("T")

REQUEST: Final = 10.0
"""Seconds that one question may take, as far as the time of the whole command lasts."""


OVER: Final = Unread("the time of the command was over; give it more with --timeout")
"""What is not asked any more."""


class Asking:
    """Asks as long as there is time: until ``seconds`` from now have passed."""

    def __init__(self, store: Store, *, clock: Clock, seconds: float) -> None:
        self.store = store
        self.clock = clock
        self._end = clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._end - self.clock.monotonic()

    async def ask(self, question: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> Seen[T]:
        """The answer to ``question``, which takes a ``timeout``, or why there is none. Raises NotFound."""
        seconds = min(REQUEST, self.left)
        if seconds <= 0:
            return OVER
        try:
            return await question(*arguments, timeout=seconds, **options)
        except NotFound:
            raise
        except StoreError as error:
            return Unread(str(error), forbidden=isinstance(error, Forbidden) and not isinstance(error, Unauthorized))

    async def get(self, kind: type[K], namespace: str, name: str) -> Seen[K | None]:
        """An object, None where there is none."""
        try:
            return await self.ask(self.store.get, kind, namespace, name)
        except NotFound:
            return None

    async def list(self, kind: type[K], *, namespace: str | None = None, selector: str = "") -> Seen[tuple[K, ...]]:
        """All objects of a kind; none where the server does not know it."""
        try:
            listing = await self.ask(self.store.list, kind, namespace=namespace, label_selector=selector)
        except NotFound:
            return ()
        return listing if isinstance(listing, Unread) else listing.items
