"""Keeps up with one service: reads it, doubts what is doubtful, waits for the next change, and paces itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import NoReturn

import msgspec

from extsync.errors import ReadFailed
from extsync.model import Observation, Outcome
from extsync.seams import Clock, Random
from extsync.sources.consul.answer import Listing, Reading, Rules, read
from extsync.sources.consul.gate import Evidence, Gate, Judgement, Trust, untrustworthy
from extsync.sources.consul.getter import Getter, Identify
from extsync.sources.consul.labels import NODE
from extsync.sources.consul.pace import Backoff, Index, Pace, TokenBucket, blocking_timeout
from extsync.sources.consul.query import Heading, Query, read_heading
from extsync.sources.consul.rights import Rights, Sight
from extsync.sources.consul.witness import Witness
from extsync.sources.offload import Offload


class Asker(msgspec.Struct, frozen=True):
    """What the watches of one source share."""

    getter: Getter
    identify: Identify
    offload: Offload
    pace: Pace
    clock: Clock
    random: Random
    witness: Witness
    rights: Rights


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
        self._known = Listing()
        self._waiting: asyncio.Future[tuple[Listing, Judgement]] | None = None
        remembered = asker.pace.rights_remembered
        self._sight = Sight(asker.rights, query.service, remembered=remembered, clock=asker.clock)

    def inherit(self, before: Watch) -> None:
        """Goes on from what another one knows, if it asked the same; that one must not run any more."""
        asked, ask = before._query, self._query
        if ask.question == asked.question and self._rules.tagged_address == before._rules.tagged_address:
            self._gate, self._known, self._in_doubt = before._gate, before._known, before._in_doubt

    def interrupt(self) -> None:
        """Waits no more for a change: somebody else asks from now on."""
        if self._waiting is not None:
            self._waiting.cancel()

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
        clock, patience = self._asker.clock, self._asker.pace.read_timeout
        if self._in_doubt or (self._gate.is_new and self._index.value is None):
            return await self._confirm("", clock.monotonic() + patience)
        if self._index.value is not None:
            try:
                return await self._wait_for_a_change()
            except ReadFailed:
                # Proxies and restarts cut connections that wait for long. Whether that is all, the next read tells.
                self._index.reset()
        until = clock.monotonic() + patience
        listing, judgement = await self._ask(index=None, consistent=False, until=until)
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        return await self._confirm(judgement.doubt, until)

    async def _wait_for_a_change(self) -> Observation:
        clock, patience = self._asker.clock, self._asker.pace.read_timeout
        until = clock.monotonic() + blocking_timeout(self._query.wait)
        asking = self._ask(index=self._index.value, consistent=False, until=until)
        waiting = self._waiting = asyncio.ensure_future(asking)
        try:
            listing, judgement = await waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # it is the watch that ends, and not only its question
                raise
            self._index.reset()
            return await self._read()
        finally:
            self._waiting = None
            waiting.cancel()
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        return await self._confirm(judgement.doubt, clock.monotonic() + patience)

    async def _confirm(self, doubt: str, until: float) -> Observation:
        """Reads in the strongest mode; ``doubt`` is that of the answer before, if it was read just now."""
        try:
            listing, judgement = await self._ask(index=None, consistent=True, until=until)
        except ReadFailed as error:
            if not doubt:
                raise
            return Observation(Outcome.SUSPECT, detail=f"{doubt}, and it cannot be read again to be sure: {error}")
        if judgement.trust is Trust.BELIEVE:
            return self._believed(listing)
        return Observation(Outcome.SUSPECT, detail=f"{self._query.shown}: {judgement.doubt}")

    async def _ask(self, *, index: int | None, consistent: bool, until: float) -> tuple[Listing, Judgement]:
        """Reads once: what the answer lists, and whether it may be believed. ``until``: the time for it is over."""
        url = self._query.url(index=index, consistent=consistent)
        # A query that waits is not sent again with its index: after a restart, the agent would wait until it got there.
        resend = index is None
        timeout = self._left(until)
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
        evidence = await self._evidence(heading, listing, waited=index is not None, consistent=consistent, until=until)
        if self._gate.is_new:
            # Another state is told from the one of the first answer only if that one has been seen.
            await self._asker.witness.look_once(self._left(until))
        now = self._asker.clock.monotonic()
        return listing, self._gate.judge(heading, listing.keys, evidence, consistent=consistent, now=now)

    async def _evidence(
        self, heading: Heading, listing: Listing, *, waited: bool, consistent: bool, until: float
    ) -> Evidence:
        """What has to be known besides an answer that lacks instances, and after one of a connection that is new."""
        witness, doubt = self._asker.witness, ""
        if untrustworthy(heading):
            return Evidence(witness.era)
        misses = self._gate.misses(listing.keys)
        if misses or not (waited or self._gate.is_new):
            try:
                await witness.look()
            except ReadFailed as error:
                doubt = f"known instances are missing, and whether the servers lost their state is not known: {error}"
        if consistent and not listing.keys and not doubt and (misses or self._gate.is_new):
            nodes, timeout = self._nodes(), self._left(until)
            doubt = await self._sight.doubt(nodes, expected=misses, identity=self._identity, timeout=timeout)
            return Evidence(witness.era, doubt, hidden=self._sight.is_refused)
        return Evidence(witness.era, doubt if misses else "")  # nothing has to be known where nothing is missing

    def _nodes(self) -> set[str]:
        """The nodes of the instances that were there last."""
        return {value for backend in self._known.backends for name, value in backend.labels if name == NODE}

    def _left(self, until: float) -> float:
        """The seconds until then, one at least."""
        return max(1.0, until - self._asker.clock.monotonic())

    def _believed(self, listing: Listing) -> Observation:
        self._sight.settle()
        if listing.backends:
            self._known = listing
        if listing.backends or listing.rejected:
            return Observation(Outcome.FOUND, listing.backends, listing.rejected)
        if self._query.is_narrowed:
            return Observation(Outcome.EMPTY, detail="no instance in the catalog fits tags, nodeMeta and filter")
        return Observation(Outcome.GONE, detail="the catalog has no instance of it")
