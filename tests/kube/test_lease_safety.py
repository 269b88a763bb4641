"""Electors under accidents drawn from a seed: never two open fences, and a holder again once all is well."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from extsync.errors import Conflict, Forbidden, TooManyRequests, Unavailable
from extsync.kube.lease_timing import CLIENT_GO, Timing
from extsync.kube.memory import Fault
from extsync.seams.virtual import run
from tests.kube.replicas import Replica, SkewedClock, Stage

STEPS = 40
SEEDS = 200
TIMINGS = (CLIENT_GO, Timing(lease_duration=6.0, renew_deadline=4.0, retry_period=0.5))
RATES = (0.9, 1.1)
"""Between the fastest and the slowest of such clocks is a ratio of 1.22; the timings bear 1.5."""
QUIET = 3 * CLIENT_GO.lease_duration
"""Seconds in which a replica must lead once the accidents are over; what was sent late may show within them."""


class Script:
    """One run. ``counts`` says how often each accident happened."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._stage = Stage(seed=seed, released=self._dice.random() < 0.5)
        self._timing = self._dice.choice(TIMINGS)
        self._number = 0
        self._weather = 0.0
        self.counts: Counter[str] = Counter()

    async def play(self) -> None:
        for _ in range(self._dice.randint(2, 4)):
            self._start()
        accidents = [
            self._start,
            self._kill,
            self._stop,
            self._retire_for_a_while,
            self._bad_weather,
            self._bad_weather,
            self._good_weather,
            self._cut_off,
            self._delete,
            self._edit,
            self._edit_holder,
        ]
        for _ in range(STEPS):
            accident = self._dice.choice(accidents)
            self.counts[accident.__name__.strip("_")] += 1
            outcome = accident()
            if outcome is not None:
                await outcome
            await self._stage.clock.sleep(self._dice.choice([0.0, 0.1, 1.0, 3.0, 8.0, 20.0]))
            assert self._stage.violations == []
        await self._calm_down()

    async def _calm_down(self) -> None:
        self._weather = 0.0
        for replica in self._stage.replicas:
            replica.faults = self._faults
            replica.elector.stand()
        if not self._stage.replicas:
            self._start()
        await self._stage.until(lambda: self._stage.leader is not None, within=QUIET)
        await self._stage.clock.sleep(60.0)  # by then every late request has arrived
        gains = len(self._stage.gains)
        await self._stage.clock.sleep(60.0)
        assert len(self._stage.gains) == gains
        assert self._stage.leader is not None
        await self._stage.end()

    # ---- accidents ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if len(self._stage.replicas) >= 5:
            return
        self._number += 1
        clock = SkewedClock(rate=self._dice.uniform(*RATES), ahead=self._dice.uniform(0.0, 1e6))
        watches = self._dice.random() < 0.7
        replica = self._stage.add(f"host-{self._number}", clock=clock, timing=self._timing, watches=watches)
        replica.faults = self._faults

    def _one(self) -> Replica | None:
        """The leader as often as not."""
        if self._stage.leader is not None and self._dice.random() < 0.5:
            return self._stage.leader
        return self._dice.choice(self._stage.replicas) if self._stage.replicas else None

    async def _kill(self) -> None:
        if replica := self._one():
            await replica.kill()

    async def _stop(self) -> None:
        if replica := self._one():
            await replica.stop()

    async def _retire_for_a_while(self) -> None:
        if replica := self._one():
            replica.elector.retire()
            await self._stage.clock.sleep(self._dice.uniform(0.0, 5.0))
            if self._dice.random() < 0.5:
                await replica.elector.release(timeout=self._dice.uniform(0.0, 3.0))
            replica.elector.stand()

    def _bad_weather(self) -> None:
        self._weather = self._dice.choice([0.2, 0.5, 0.9])

    def _good_weather(self) -> None:
        self._weather = 0.0

    def _cut_off(self) -> None:
        if replica := self._one():
            away = self._dice.random() < 0.5
            replica.faults = (lambda verb: Fault(before=999.0)) if away else self._faults

    def _delete(self) -> None:
        if self._stage.is_there:
            self._stage.delete()

    def _edit(self) -> None:
        """What is not claimed to be a release."""
        edits: list[dict[str, object]] = [
            {"holderIdentity": ""} if self._stage.is_held else {},
            {"leaseDurationSeconds": self._dice.randint(2, 20)},
            {"leaseTransitions": 0},
            {"renewTime": "2031-01-01T00:00:00.000000Z"},
        ]
        self._stage.edit(**self._dice.choice(edits))

    def _edit_holder(self) -> None:
        holder = f"host-{self._dice.randint(1, self._number + 1)}"
        self._stage.edit(holderIdentity=holder, leaseDurationSeconds=self._dice.randint(2, 20))

    def _faults(self, verb: str) -> Fault | None:
        if self._dice.random() >= self._weather:
            return None
        within = self._dice.choice([0.01, 0.3, 2.0, 6.0])
        return self._dice.choice(
            [
                Fault(before=self._dice.uniform(0.0, within), after=self._dice.uniform(0.0, within)),
                Fault(before=self._dice.uniform(0.0, 40.0), late=True),
                Fault(before=self._dice.uniform(0.0, within), lost=True),
                Fault(error=Unavailable("away")),
                Fault(before=self._dice.uniform(0.0, within), error=Unavailable("away", 3.0)),
                Fault(error=TooManyRequests("slow down", self._dice.uniform(0.0, 20.0))),
                Fault(error=Conflict("somebody was faster")),
                Fault(error=Forbidden("no")),
            ]
        )


def play(seed: int) -> Counter[str]:
    async def main() -> Counter[str]:
        script = Script(seed)
        await script.play()
        return script.counts

    return run(main())


@pytest.mark.parametrize("block", range(10))
def test_never_two_may_write_and_one_can_at_last(block: int) -> None:
    size = SEEDS // 10
    for seed in range(block * size, (block + 1) * size):
        try:
            play(seed)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
