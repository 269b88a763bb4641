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

    ``asked`` is what was asked of services; ``looks`` are the times at which the catalog's own index was read, the list
    of ``servers`` (node, ID and the index of the last change) following it. ``blocked`` are paths that a proxy refuses.
    ``refused`` are the rights that no token has, by kind and name, None where there are no ACLs; who asks for them is
    in ``authorized``.
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
        self.looks: list[float] = []
        self.servers: list[tuple[str, str, int]] = [("s1", "id-1", 4)]
        self.blocked: set[str] = set()
        self.refused: set[tuple[str, str]] | None = None
        self.authorized: list[list[tuple[str, str]]] = []
        self._clock = clock
        self._changed = asyncio.Event()

    def put(self, *instances: Any, service: str = "orders", index: int | None = None) -> None:
        """These are the instances of the service now, at an index that is one higher unless it is given."""
        self.services[service] = list(instances)
        self.index = self.index + 1 if index is None else index
        self._changed.set()
        self._changed = asyncio.Event()

    def lose(self, index: int = 10) -> None:
        """Everything is forgotten, and indexes begin anew; the servers are registered again."""
        self.services.clear()
        self.servers = [("s1", f"{self.servers[0][1]}-new", 4)]
        self.put(index=index)

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, resend: bool) -> Reply:
        parts = urlsplit(url)
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(self._clock.monotonic(), parts.path, query, headers, timeout, resend)
        service = unquote(parts.path.rpartition("/")[2])
        if parts.path == "/v1/catalog/services":
            self.looks.append(asked.at)
        elif service != "consul":
            self.asked.append(asked)
        refusal = await self._delay(asked)
        if refusal is not None:
            return refusal
        found = self.services.get(service, [])
        if service == "consul":
            found = [
                {"Node": {"Node": node, "ID": identity, "ModifyIndex": index}, "Service": {"ModifyIndex": index}}
                for node, identity, index in self.servers
            ]
        elif self.strays is not None and not asked.consistent:
            found = self.strays
        return Reply(200, CIMultiDict({"X-Consul-Index": str(self.index)} | self.headers), body(*found), url)

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        asked = Asked(self._clock.monotonic(), urlsplit(url).path, (), headers, timeout, resend=False)
        questions = [(one["Resource"], one["Segment"]) for one in json.loads(body)]
        self.authorized.append(questions)
        refusal = await self._delay(asked)
        if refusal is not None:
            return refusal
        if self.refused is None:
            return Reply(401, CIMultiDict(), b"ACL support disabled", url)
        answers = [
            {"Resource": kind, "Segment": name, "Allow": (kind, name) not in self.refused} for kind, name in questions
        ]
        return Reply(200, CIMultiDict(), json.dumps(answers).encode(), url)

    async def _delay(self, asked: Asked) -> Reply | None:
        """The time that an answer takes, and the answer that is none."""
        try:
            async with self._clock.timeout(asked.timeout):
                await self._clock.sleep(self.takes)
                await self._wait(asked)
        except TimeoutError:
            raise ReadFailed(f"gave no complete answer within {asked.timeout:g} s") from None
        if self.failure:
            raise ReadFailed(self.failure)
        status, text = (403, b"not through here") if asked.path in self.blocked else self.status
        return None if status == 200 else Reply(status, CIMultiDict(), text, asked.path)

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
