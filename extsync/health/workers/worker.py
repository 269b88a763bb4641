"""A worker process: a prober that is told what to do over a socket, and ends when that is closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Hashable
from itertools import islice
from typing import Any, Final

import msgspec

from extsync.errors import ConfigError
from extsync.health.prober import Prober
from extsync.health.target import Sign
from extsync.health.workers import rules
from extsync.health.workers.link import Link
from extsync.health.workers.wire import (
    Answer,
    Ask,
    BadRule,
    BadTarget,
    Order,
    Ping,
    Pong,
    Ready,
    Report,
    Setup,
    Unfit,
    unpacked,
)
from extsync.model import Health
from extsync.seams import Clock, SystemClock, SystemProbeIO
from extsync.seams.child import Channel, inherited
from extsync.seams.watchdog import Watchdog

GATHER: Final = 0.02
"""Seconds in which verdicts are gathered before they are sent."""

BATCH: Final = 1000
"""Verdicts in one message."""

WATCH: Final = 1.0
"""Seconds between two signs of life to the watchdog."""


def main(descriptor: int) -> None:
    """Probes until the other end of the socket ``descriptor`` is closed."""
    # A ^C reaches the whole group, and a service manager's SIGTERM as well: when to end is for the parent to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asyncio.run(_serve(inherited(descriptor)))


async def _serve(sock: Channel) -> None:
    worker = Worker(clock=SystemClock())
    await worker.link.open(sock)
    try:
        await worker.run()
    finally:
        worker.link.close()


class Worker:
    """The worker's side of the conversation."""

    def __init__(self, *, clock: Clock) -> None:
        self.link = Link(on_message=self._receive, on_room=self._send)
        self._clock = clock
        self._setup: asyncio.Future[Setup] = asyncio.get_running_loop().create_future()
        self._prober: Prober
        self._rules: dict[int, rules.Body] = {}
        self._revisions: dict[Hashable, int] = {}
        self._changed: dict[Hashable, None] = {}
        self._signs: dict[Hashable, Sign] = {}
        self._gathering = self._pinged = False

    async def run(self) -> None:
        """Probes as told until the link is lost."""
        lost = asyncio.create_task(self.link.lost.wait())
        either: list[asyncio.Future[Any]] = [lost, self._setup]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._setup.done():
            return
        setup = self._setup.result()
        watchdog = Watchdog(setup.stuck_after)
        watchdog.start()
        self._reassure(watchdog, min(WATCH, setup.stuck_after / 4))
        try:
            io = SystemProbeIO(source_addresses=setup.source_addresses)
        except ConfigError as error:  # an address may leave the machine long after the parent has looked at it
            self.link.send(Unfit(str(error)))
            return
        self._prober = Prober(clock=self._clock, io=io, wake=self._gather, max_in_flight=setup.max_in_flight)
        await self._prober.start()
        self.link.send(Ready())
        await lost
        await self._prober.close()

    def _reassure(self, watchdog: Watchdog, every: float) -> None:
        """Ends the process where it does not come back here in time.

        A plugin that never returns would otherwise keep it alive for good: it would not even notice that its parent is
        gone.
        """
        watchdog.reassure()
        self._clock.call_later(every, self._reassure, watchdog, every)

    # ---- what comes --------------------------------------------------------------------------------------------------

    def _receive(self, message: object) -> None:
        match message:
            case Order():
                self._obey(message)
            case Ping():
                self._pinged = True
                self._send()
            case Ask(number, target):
                self.link.send(Answer(number, self._prober.evidence(target)))
            case Setup():
                self._setup.set_result(message)

    def _obey(self, order: Order) -> None:
        for number, pickled in order.rules:
            self._learn(number, pickled)
        for target in order.removals:
            self._forget(target)
        for revision, fields in order.upserts:
            self._take(revision, fields)
        for number in order.retired:
            self._rules.pop(number, None)
            self._rules.pop(-number, None)

    def _learn(self, number: int, pickled: bytes) -> None:
        try:
            check, timing = rules.load(pickled)
        except Exception as error:  # of a plugin, or of its absence: the others go on
            self.link.send(BadRule(number, f"{type(error).__name__}: {error}"))
            return
        self._rules[number] = check, timing
        self._rules[-number] = check, msgspec.structs.replace(timing, initial_delay=0.0)

    def _take(self, revision: int, fields: tuple[Any, ...]) -> None:
        identity = fields[0]
        known = identity in self._revisions
        target = unpacked(fields, self._rules)
        if target is None:  # its rule was refused, which the pool has been told; but it could not know it by then
            self._forget(identity)
            self.link.send(BadTarget((identity, revision), ""))
            return
        try:
            self._prober.upsert([target])
            if known:
                self._restate(identity)
        except Exception as error:  # whatever a plugin's check raises when it is compared
            self._forget(identity)
            self.link.send(BadTarget((identity, revision), f"{type(error).__name__}: {error}"))
        else:
            self._revisions[identity] = revision

    def _restate(self, target: Hashable) -> None:
        """Says anew what is known of a target with other probes: what was said before is void, and the pool waits."""
        failing = any(evidence.run < 0 for evidence in self._prober.evidence(target))
        self._signs[target] = Sign(failing, self._prober.verdict(target).health is Health.HEALTHY)
        self._changed[target] = None
        self._gather()

    def _forget(self, target: Hashable) -> None:
        self._prober.remove([target])
        self._revisions.pop(target, None)
        self._changed.pop(target, None)
        self._signs.pop(target, None)

    # ---- what goes ---------------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        if not self._gathering:
            self._gathering = True
            self._clock.call_later(GATHER, self._collect)

    def _collect(self) -> None:
        self._gathering = False
        self._changed.update(dict.fromkeys(target for target, _ in self._prober.drain()))
        self._signs.update(self._prober.drain_signs())
        self._send()

    def _send(self) -> None:
        """Sends what there is while the link has room; when it has room again, the rest."""
        while not self.link.full and (self._pinged or self._changed or self._signs):
            if self._pinged:
                self._pinged = False
                self.link.send(Pong(self._prober.stats))
            else:
                self.link.send(self._report())

    def _report(self) -> Report:
        targets = list(islice(self._changed, BATCH))
        failing = list(islice(self._signs, BATCH))
        for target in targets:
            del self._changed[target]
        return Report(
            verdicts=[((target, self._revisions[target]), self._prober.verdict(target)) for target in targets],
            signs=[((target, self._revisions[target]), self._signs.pop(target)) for target in failing],
        )
