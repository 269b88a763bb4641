"""What is between one replica and the API server: slow, lost, late and refused requests, watches that break or lag."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from extsync.errors import Expired, Forbidden, TooManyRequests, Unavailable
from extsync.kube.memory import Fault
from extsync.objects import Event, KubeObject, Lease

OF_OBJECTS = ("quota is used up", "admission refuses")
"""What Leases and events do not meet."""

LATEST = 20.0
"""Seconds after which a late request has arrived."""

_READS = ("get", "list", "watch")
_Maker: TypeAlias = Callable[[random.Random, str], Fault | None]


def _refuses(chance: random.Random, verb: str) -> Fault:
    return Fault(before=chance.uniform(0.0, 0.5), error=Unavailable("scripted: 503"))


def _throttles(chance: random.Random, verb: str) -> Fault:
    return Fault(error=TooManyRequests("scripted: 429", retry_after=chance.choice([1.0, 2.0, 10.0])))


def _slow(chance: random.Random, verb: str) -> Fault:
    """Each by another time, so that a later request overtakes an earlier one."""
    return Fault(before=chance.uniform(0.0, 3.0), after=chance.uniform(0.0, 1.0), late=True)


def _loses_answers(chance: random.Random, verb: str) -> Fault | None:
    return None if verb in ("watch", "event") else Fault(lost=True)


def _late(chance: random.Random, verb: str) -> Fault | None:
    return None if verb in _READS or verb == "event" else Fault(before=chance.uniform(5.0, LATEST), late=True)


def _half_open(chance: random.Random, verb: str) -> Fault | None:
    """Nothing arrives and nobody says so. A silent watch is the transport's affair: it has an inactivity time-out."""
    return None if verb in ("watch", "event") else Fault(before=1e6)


def _away(chance: random.Random, verb: str) -> Fault:
    return Fault(error=Unavailable("scripted: connection refused"))


def _cuts_watches(chance: random.Random, verb: str) -> Fault | None:
    return Fault(error=Unavailable("scripted: connection reset")) if verb == "event" else None


def _expires_watches(chance: random.Random, verb: str) -> Fault | None:
    return Fault(error=Expired("scripted: 410")) if verb in ("event", "watch") else None


def _delays_watches(chance: random.Random, verb: str) -> Fault | None:
    return Fault(before=chance.uniform(0.0, 1.0)) if verb == "event" else None


def _forbids(chance: random.Random, verb: str) -> Fault:
    return Fault(error=Forbidden("scripted: 403"))


def _quota(chance: random.Random, verb: str) -> Fault | None:
    return Fault(error=Forbidden("scripted: exceeded quota")) if verb == "create" else None


def _refuses_admission(chance: random.Random, verb: str) -> Fault | None:
    refusal = Forbidden('admission webhook "scripted.example.com" denied the request: scripted')
    return None if verb in _READS or verb == "event" else Fault(error=refusal)


WEATHER: dict[str, _Maker] = {
    "api fails": _refuses,
    "api throttles": _throttles,
    "api is slow": _slow,
    "api loses answers": _loses_answers,
    "api gets requests late": _late,
    "api is half open": _half_open,
    "api is away": _away,
    "api cuts watches": _cuts_watches,
    "api expires watches": _expires_watches,
    "api delays watches": _delays_watches,
    "api forbids": _forbids,
    "quota is used up": _quota,
    "admission refuses": _refuses_admission,
}
"""Each kind of weather, and the fault that a request meets in it."""


class Wire:
    """Draws the fault of each request of one replica. ``weather`` are kinds and chances, the first that hits counts."""

    def __init__(self, chance: random.Random) -> None:
        self.weather: list[tuple[str, float]] = []
        self.on_write: Callable[[], Fault] | None = None
        """Asked once, at the next write: what becomes of it."""
        self._chance = chance

    def fault(self, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> Fault | None:
        if self.on_write is not None and verb not in (*_READS, "event") and kind not in (Event, Lease):
            ask, self.on_write = self.on_write, None
            return ask()
        for name, probability in self.weather:
            if kind in (Event, Lease) and name in OF_OBJECTS:
                continue
            if self._chance.random() < probability:
                return WEATHER[name](self._chance, verb)
        return None
