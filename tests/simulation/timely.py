"""8: a failure shows in the store in time, unless something that is visible is in the way."""

from __future__ import annotations

from collections.abc import Callable

from extsync.seams import Clock
from tests.simulation.invariants import Checker, Violation
from tests.simulation.scenario import PERIOD, SERVICES, THRESHOLD, TIMEOUT, World

LIMIT = PERIOD * THRESHOLD + TIMEOUT + 1.0
SLACK = 0.25
"""Seconds for what the limit leaves out: verdicts are gathered, and requests take some steps."""


class Timely:
    """Looks at each failure when it must have shown itself.

    ``is_disturbed(service, since)`` tells whether anything was in the way at any time from then on until now.
    """

    def __init__(
        self, clock: Clock, world: World, checker: Checker, *, is_disturbed: Callable[[str, float], bool], rate: float
    ) -> None:
        self._clock = clock
        self._world = world
        self._checker = checker
        self._is_disturbed = is_disturbed
        self._limit = LIMIT / rate + SLACK
        self.overdue: list[Violation] = []
        self.looked = 0
        self.total = 0

    def failed(self, address: str) -> None:
        """A backend is down from now on."""
        now = self._clock.monotonic()
        look = self._checker.look()
        shown = [service for service in SERVICES if look.published(service).get(address)]
        for service in shown:
            self._clock.call_later(self._limit, self._due, service, address, now)

    def _due(self, service: str, address: str, since: float) -> None:
        now = self._clock.monotonic()
        stays_down = self._world.down_for(address) >= now - since
        belongs = address in self._world.desired(service) and self._world.named_for(service, address) > now - since
        if (
            not stays_down
            or not belongs
            or self._checker.is_excused(service, since)
            or self._is_disturbed(service, since)
        ):
            return
        self.looked += 1
        self.total += 1
        if self._checker.look().published(service).get(address):
            self.overdue.append(Violation(f"8: {address} of {service} failed {now - since:.2f} s ago, and is ready"))
