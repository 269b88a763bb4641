"""A cluster that tests script, in the place of a client, and bodies as Consul writes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from multidict import CIMultiDict

from extsync.config.sources import ConsulSource as ConsulBlock
from extsync.errors import ReadFailed
from extsync.model import Observation, Outcome
from extsync.seams import Clock
from extsync.sources.client import Reply

SERVER = "http://consul.example.com:8500"


def block(**keys: Any) -> ConsulBlock:
    return ConsulBlock.model_validate({"server": SERVER, "services": ["orders"], **keys})


def instance(
    address: str = "192.0.2.1",
    port: int = 80,
    *,
    node: Mapping[str, Any] | None = None,
    checks: Sequence[Mapping[str, Any]] | None = None,
    **service: Any,
) -> dict[str, Any]:
    """One element of an answer. ``node`` and ``service`` are added to what is usual."""
    return {
        "Node": {"Node": "n1", "Address": "198.51.100.1", "Datacenter": "dc1", **(node or {})},
        "Service": {"ID": f"orders-{address}", "Service": "orders", "Address": address, "Port": port, **service},
        "Checks": [check("passing")] if checks is None else list(checks),
    }


def check(status: str, name: str = "service:orders") -> dict[str, Any]:
    return {"CheckID": name, "Status": status, "Output": "HTTP GET: 200 OK"}


def body(*instances: Any) -> bytes:
    return json.dumps(instances).encode()


class Asked(msgspec.Struct, frozen=True):
    """One request: when it came, its URL apart, and what went with it."""

    at: float
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    timeout: float
    resend: bool

    def __getitem__(self, name: str) -> str | None:
        return dict(self.query).get(name)

    @property
    def consistent(self) -> bool:
        return "consistent" in dict(self.query)

    @property
    def waits(self) -> bool:
        return "index" in dict(self.query)


class Cluster:
    """Consul's health endpoint: blocking queries on one index for everything, as in Consul before 1.0.

    ``headers`` are added to answers, ``strays`` stands in for the instances in answers that are not consistent,
    ``failure`` is raised and ``status`` answered as long as they are set. Each answer takes ``takes`` seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.index = 10
        self.services: dict[str, list[Any]] = {}
        self.asked: list[Asked] = []
        self.headers: dict[str, str] = {}
        self.strays: list[Any] | None = None
        self.failure = ""
        self.status = (200, b"")
        self.takes = 0.0
        self.closed = 0
        self._clock = clock
        self._changed = asyncio.Event()

    def put(self, *instances: Any, service: str = "orders", index: int | None = None) -> None:
        """These are the instances of the service now, at an index that is one higher unless it is given."""
        self.services[service] = list(instances)
        self.index = self.index + 1 if index is None else index
        self._changed.set()
        self._changed = asyncio.Event()

    def lose(self) -> None:
        """Everything is forgotten, and indexes begin anew."""
        self.services.clear()
        self.put(index=10)

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, resend: bool) -> Reply:
        parts = urlsplit(url)
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(self._clock.monotonic(), parts.path, query, headers, timeout, resend)
        self.asked.append(asked)
        try:
            async with self._clock.timeout(timeout):
                await self._clock.sleep(self.takes)
                await self._wait(asked)
        except TimeoutError:
            raise ReadFailed(f"gave no complete answer within {timeout:g} s") from None
        if self.failure:
            raise ReadFailed(self.failure)
        if self.status[0] != 200:
            return Reply(self.status[0], CIMultiDict(), self.status[1], url)
        found = self.services.get(unquote(parts.path.rpartition("/")[2]), [])
        if self.strays is not None and not asked.consistent:
            found = self.strays
        return Reply(200, CIMultiDict({"X-Consul-Index": str(self.index)} | self.headers), body(*found), url)

    async def close(self) -> None:
        self.closed += 1

    async def _wait(self, asked: Asked) -> None:
        """Waits until the index has passed that of the query, or its time is over."""
        index, wait = asked["index"], asked["wait"]
        if index is None or wait is None or self.index != int(index):
            return
        try:
            async with self._clock.timeout(int(wait.removesuffix("ms")) / 1000):
                await self._changed.wait()
        except TimeoutError:
            pass


def part(report: Observation, service: str = "orders") -> Observation:
    """What a report says of one service."""
    return dict(report.parts)[service]


def outcomes(reports: Sequence[Observation], service: str = "orders") -> list[Outcome]:
    return [part(report, service).outcome for report in reports]


def addresses(report: Observation, service: str = "orders") -> list[str]:
    return [backend.address for backend in part(report, service).backends]
