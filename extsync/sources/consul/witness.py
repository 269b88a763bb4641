"""Watches over the state of the servers, for all watches of one source together.

One service cannot tell whether the servers lost their state: its index stays where it is as long as nothing happens to
it, and one that is not there is answered with an index of the catalog, which a new state may soon have brought above
that. So the catalog's own index is read from time to time, and how the servers are registered (see ``era``); and once
more where instances are missing, before that is believed. Both answers are small, whatever the size of the catalog.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, NoReturn

import msgspec

from extsync.decoding import decoded
from extsync.errors import ReadFailed
from extsync.seams import Clock, Random
from extsync.sources.consul.era import Eras, Server
from extsync.sources.consul.getter import Getter, Identify, Reply
from extsync.sources.consul.query import Api, read_heading
from extsync.sources.consul.wire import ServerEntry

INTERVAL: Final = 60.0
"""Seconds between two looks where nothing asks for one: a state that is lost after it changed is known as before."""

_NO_NODE: Final = (("node-meta", "extsync:none"),)
"""Chooses the nodes with this metadata. No services are listed then, and the index counts changes of nodes too."""

_SERVERS: Final = "/v1/health/service/consul"


class Witness:
    """Knows which state the servers have, and notices when it is another one.

    ``patience`` is the time for one look, in seconds. Without rights on the service ``consul`` only the index counts;
    where not even that can be read, as behind a proxy that lets nothing but the health endpoint through, ``era`` stays
    what it is.
    """

    def __init__(
        self, api: Api, getter: Getter, identify: Identify, *, patience: float, clock: Clock, random: Random
    ) -> None:
        self._api = api
        self._getter = getter
        self._identify = identify
        self._patience = patience
        self._clock = clock
        self._random = random
        self._eras = Eras()
        self._lock = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._failure = ""
        self._has_seen = False
        self._looked = asyncio.Event()

    @property
    def era(self) -> int:
        """The number of the servers' state, as it was at the last look."""
        return self._eras.number

    @property
    def place(self) -> str:
        """Whose state it is."""
        return self._api.shown("")

    def inherit(self, before: Witness) -> None:
        """Goes on from what another one knows of the same place; that one must not look any more."""
        self._eras, self._has_seen, self._looked = before._eras, before._has_seen, before._looked

    async def run(self) -> NoReturn:
        """Looks from time to time. What goes wrong is told by those who need to know."""
        while True:
            await self._look()
            await self._clock.sleep(INTERVAL * self._random.uniform(0.5, 1.0))

    async def look(self) -> None:
        """Brings ``era`` up to date: it is read after this call began, once for all who wait for it.

        Raises ReadFailed where that cannot be done, although it could before.
        """
        failure = await self._look()
        if failure and self._has_seen:
            raise ReadFailed(failure)

    async def look_once(self, seconds: float) -> None:
        """Waits until there has been a look, with whatever result, but no longer than ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                await self._looked.wait()

    async def _look(self) -> str:
        """Looks, unless somebody does in the meantime; returns why it failed, or ""."""
        needed = self._begun + 1
        async with self._lock:
            if self._ended < needed:
                self._begun = number = self._begun + 1
                self._failure = await self._try_to_read()
                self._ended = number
                self._looked.set()
            return self._failure

    async def _try_to_read(self) -> str:
        try:
            await self._read()
        except ReadFailed as error:
            return str(error)
        self._has_seen = True
        return ""

    async def _read(self) -> None:
        started = self._clock.monotonic()
        index = self._index_of(await self._get(self._api.url("/v1/catalog/services", _NO_NODE), self._patience))
        spent = self._clock.monotonic() - started
        # Servers are registered where no namespace or partition is given.
        reply = await self._get(self._api.url(_SERVERS, whole=True), max(1.0, self._patience - spent))
        self._eras.note(index, _servers(reply))

    async def _get(self, url: str, timeout: float) -> Reply:
        return await self._getter.get(url, headers=await self._identify(), timeout=timeout, resend=True)

    def _index_of(self, reply: Reply) -> int:
        try:
            heading = read_heading(reply.status, reply.headers, reply.body)
        except ReadFailed as error:
            raise ReadFailed(f"{self._api.shown('/v1/catalog/services')}: the answer {error}") from error
        return heading.index


def _servers(reply: Reply) -> frozenset[Server]:
    """The servers of an answer; none where it is a refusal, or nothing that could be understood."""
    if reply.status != 200:
        return frozenset()
    try:
        entries: list[ServerEntry] = decoded(reply.body, list[ServerEntry])
    except msgspec.DecodeError:
        return frozenset()
    return frozenset(
        Server(one.node.node, one.node.id, max(one.node.modify_index, one.service.modify_index)) for one in entries
    )
