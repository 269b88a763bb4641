"""Keeps up with one service: reads it, doubts what is doubtful, waits for the next change, and paces itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NoReturn, Protocol, TypeAlias

import msgspec

from extsync.errors import ReadFailed
from extsync.model import Observation, Outcome
from extsync.seams import Clock, Random
from extsync.sources.consul.answer import Listing, Reading, Rules, read
from extsync.sources.consul.gate import Gate, Judgement, Trust
from extsync.sources.consul.pace import Backoff, Index, Pace, TokenBucket, blocking_timeout
from extsync.sources.consul.query import Query, read_heading
from extsync.sources.offload import Offload


class Reply(Protocol):
    """An answer over HTTP."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Getter(Protocol):
    """Gets URLs: what a watch needs of ``extsync.sources.client.Client``."""

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, resend: bool) -> Reply:
        """The answer within ``timeout`` seconds; ``resend``: it may be asked for twice. Raises ReadFailed."""
        ...


Identify: TypeAlias = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns the headers that say who asks; raises ReadFailed."""


class Asker(msgspec.Struct, frozen=True):
    """What the watches of one source share."""

    getter: Getter
    identify: Identify
    offload: Offload
    pace: Pace
    clock: Clock
    random: Random


class Watch:
    """One service. What it knows of the service outlives ``run``, so that a second run goes on from there."""

    def __init__(self, query: Query, rules: Rules, asker: Asker) -> None:
        self._query = query
        self._rules = rules
        self._asker = asker
        self._reading = Reading()
        self._gate = Gate()
        self._index = Index()
        self._in_doubt = False
        self._identity: Mapping[str, str] = {}
        self._latest: Observation | None = None

    async def run(self, tell: Callable[[Observation], None]) -> NoReturn:
        """Reads on and on, and tells after each read how the service stands: the same object where nothing changed."""
        clock, random, pace = self._asker.clock, self._asker.random, self._asker.pace
        failures = Backoff(first=pace.first_pause, last=pace.last_pause)
        doubts = Backoff(first=pace.first_pause, last=pace.doubt_pause)
        bucket = TokenBucket(burst=pace.burst, interval=pace.interval, now=clock.monotonic())
        self._index.reset()
        while True:
            observation = await self._observe()
            tell(observation)
            match observation.outcome:
                case Outcome.ERROR:
                    pause = failures.failed() * random.uniform(0.5, 1.0)
                case Outcome.SUSPECT:
                    failures.succeeded()
                    pause = doubts.failed() * random.uniform(0.5, 1.0)
                case _:
                    failures.succeeded()
                    doubts.succeeded()
                    pause = bucket.take(clock.monotonic())
            await clock.sleep(pause)

    async def _observe(self) -> Observation:
        try:
            observation = await self._read()
        except ReadFailed as error:
            observation = Observation(Outcome.ERROR, detail=str(error))
        if observation.outcome is not Outcome.ERROR:
            self._in_doubt = observation.outcome is Outcome.SUSPECT
        if observation.outcome in (Outcome.ERROR, Outcome.SUSPECT):
            # The next read must not wait for a change: an answer at all, or a better one, is the change to wait for.
            self._index.reset()
        if self._latest is None or observation != self._latest:
            self._latest = observation
        return self._latest

    async def _read(self) -> Observation:
        """Reads the service, and once more where the answer has to be confirmed. Raises ReadFailed."""
        identity = await self._asker.identify()
        if identity != self._identity:
            # Somebody else asks, who may see something else: that is told at once, not after the next change.
            self._identity = identity
            self._index.reset()
        if self._in_doubt:
            return await self._confirm("", self._asker.pace.read_timeout)
        if self._index.value is not None:
            try:
                return await self._wait_for_a_change()
            except ReadFailed:
                # Proxies and restarts cut connections that wait for long. Whether that is all, the next read tells.
                self._index.reset()
        started, patience = self._asker.clock.monotonic(), self._asker.pace.read_timeout
        listing, judgement = await self._ask(index=None, consistent=False, timeout=patience)
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        spent = self._asker.clock.monotonic() - started
        return await self._confirm(judgement.doubt, max(1.0, patience - spent))

    async def _wait_for_a_change(self) -> Observation:
        timeout = blocking_timeout(self._query.wait)
        listing, judgement = await self._ask(index=self._index.value, consistent=False, timeout=timeout)
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        return await self._confirm(judgement.doubt, self._asker.pace.read_timeout)

    async def _confirm(self, doubt: str, timeout: float) -> Observation:
        """Reads in the strongest mode; ``doubt`` is that of the answer before, if it was read just now."""
        try:
            listing, judgement = await self._ask(index=None, consistent=True, timeout=timeout)
        except ReadFailed as error:
            if not doubt:
                raise
            return Observation(Outcome.SUSPECT, detail=f"{doubt}, and it cannot be read again to be sure: {error}")
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        return Observation(Outcome.SUSPECT, detail=f"{self._query.shown}: {judgement.doubt}")

    async def _ask(self, *, index: int | None, consistent: bool, timeout: float) -> tuple[Listing, Judgement]:
        """Reads once: what the answer lists, and whether it may be believed."""
        url = self._query.url(index=index, consistent=consistent)
        # A query that waits is not sent again with its index: after a restart, the agent would wait until it got there.
        resend = index is None
        reply = await self._asker.getter.get(url, headers=self._identity, timeout=timeout, resend=resend)
        try:
            heading = read_heading(reply.status, reply.headers, reply.body)
            self._reading = await self._asker.offload(partial(read, reply.body, self._rules, self._reading))
        except (ReadFailed, ValueError) as error:
            raise ReadFailed(f"{self._query.shown}: the answer {error}") from error
        self._index.advance(heading.index)
        listing = self._reading.listing
        if listing.is_unusable:  # which is reported as a failure, and says nothing of who is there
            return listing, Judgement(Trust.BELIEVE)
        now = self._asker.clock.monotonic()
        return listing, self._gate.judge(heading, listing.keys, consistent=consistent, now=now)

    def _believed(self, listing: Listing) -> Observation:
        if listing.backends or listing.rejected:
            return Observation(Outcome.FOUND, listing.backends, listing.rejected)
        if self._query.is_narrowed:
            return Observation(Outcome.EMPTY, detail="no instance in the catalog fits tags, nodeMeta and filter")
        return Observation(Outcome.GONE, detail="the catalog has no instance of it")
