"""What following Consul costs. ``python -m benchmarks.consul``.

The goals: 10,000 instances of a service are decoded, compared with what was known and handed on in at most three times
what ``msgspec.json.decode`` alone takes for the same body; an answer that says nothing new gives no report, and so no
plan; a hundred changes within a second give at most a few.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Row, all_good, print_table
from extsync.config.sources import ConsulSource as Block
from extsync.model import Observation, Outcome, several
from extsync.seams import SystemDialer
from extsync.seams.virtual import SeededRandom, VirtualClock, run
from extsync.sources.base import SourceContext
from extsync.sources.client import Reply
from extsync.sources.consul import ConsulSource
from extsync.sources.consul.answer import Reading, Rules, read
from extsync.sources.consul.gate import Gate, Trust
from extsync.sources.consul.query import Heading
from extsync.sources.holds import LastGood
from extsync.sources.offload import inline
from extsync.sources.part import HoldTimes
from extsync.sources.supervise import supervise

PART = "consul"
INSTANCES = 10_000
ROUNDS = 5
CHANGES = 100
FEW = 4
RULES = Rules(service="orders")
CLOCK = VirtualClock()


def rows() -> list[Row]:
    """Decoding against the same body without types, and what reports cost where nothing or everything changes."""
    text = body()
    decode = cpu(lambda: msgspec.json.decode(text)) * 1000
    follower = Follower()
    follower.take(text)
    flips = [body(status) for status in ("critical", "passing")]
    numbers = count()

    def against(what: str, seconds: float, goal: float) -> Row:
        return Row(
            part=PART,
            what=f"{INSTANCES:,} instances, {len(text) / 1e6:.0f} MB, {what}, CPU",
            figure=seconds * 1000,
            unit="ms",
            reference=decode,
            reference_is="msgspec.json.decode",
            goal=goal,
        )

    def limit(what: str, figure: float, reference: float) -> Row:
        return Row(part=PART, what=what, figure=figure, unit="", reference=reference, reference_is="limit")

    reads, looks, reports, quiet = run(churn())
    return [
        against("all new, decoded and handed on", cpu(lambda: Follower().take(text)), 3.0),
        against("one status changed", cpu(lambda: follower.take(flips[next(numbers) % 2])), 1.0),
        against("unchanged", cpu(lambda: follower.take(flips[0])), 0.25),
        limit("new reports of answers that say nothing new", quiet, 0),
        limit(f"reads within {CHANGES} changes in a second", reads, FEW),
        limit("small questions to the servers besides", looks, FEW),
        limit(f"reports of {CHANGES} changes in a second", reports, FEW),
    ]


class Follower:
    """What a source and the registry do with an answer."""

    def __init__(self) -> None:
        self._reading = Reading()
        self._gate = Gate()
        self._good = LastGood(HoldTimes())
        self._index = 0

    def take(self, content: bytes) -> None:
        self._index += 1
        self._reading = read(content, RULES, self._reading)
        listing = self._reading.listing
        assert not self._gate.misses(listing.keys)
        heading, first = Heading(self._index, True, 0.0, False), self._index == 1
        assert self._gate.judge(heading, listing.keys, consistent=first, now=0.0).trust is Trust.BELIEVE
        observation = Observation(Outcome.FOUND, listing.backends, listing.rejected)
        self._good.observe(several([("orders", observation)]), 0.0)
        assert len(self._good.backends) == INSTANCES


class Churning:
    """Consul with one service, of which every change is another instance, or only another index."""

    def __init__(self) -> None:
        self.index = 1
        self.instances = [instance(0)]
        self.reads = 0
        self.looks = 0
        self._changed = asyncio.Event()

    def change(self, *, instances: bool) -> None:
        self.index += 1
        if instances:
            self.instances = [instance(0), instance(self.index)]
        self._changed.set()
        self._changed = asyncio.Event()

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float, resend: bool) -> Reply:
        if "/orders" not in url:  # the state of the servers, which are not to be seen
            self.looks += 1
            return Reply(200, {"X-Consul-Index": str(self.index)}, b"[]", url)
        self.reads += 1
        if f"index={self.index}&" in url:
            await self._changed.wait()
        return Reply(200, {"X-Consul-Index": str(self.index)}, msgspec.json.encode(self.instances), url)

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        raise AssertionError("an instance is always left")

    async def close(self) -> None:
        pass


async def churn() -> tuple[int, int, int, int]:
    """Reads, looks at the servers and reports in a second of changes, and the reports where only the index changes."""
    consul = Churning()
    config = Block.model_validate({"server": "http://127.0.0.1:8500", "services": ["orders"]})
    context = SourceContext("bench", "default", Path(), CLOCK, SeededRandom(1), SystemDialer())
    reports: list[Observation] = []

    def emit(report: Observation) -> None:
        if not reports or reports[-1] is not report:
            reports.append(report)

    source = ConsulSource(config, context, client=consul, offload=inline)
    running = asyncio.create_task(supervise(source, emit, clock=CLOCK, random=SeededRandom(1)))
    counted = []
    for instances in (True, False):
        await CLOCK.sleep(60)
        before = consul.reads, consul.looks, len(reports)
        for _ in range(CHANGES):
            consul.change(instances=instances)
            await CLOCK.sleep(1 / CHANGES)
        counted.append((consul.reads - before[0], consul.looks - before[1], len(reports) - before[2]))
    running.cancel()
    return *counted[0], counted[1][2]


def body(status: str = "passing") -> bytes:
    """An answer as Consul 1.8 writes it; ``status`` is that of one check."""
    instances = [instance(number) for number in range(INSTANCES)]
    instances[77]["Checks"][1]["Status"] = status
    return msgspec.json.encode(instances)


def instance(number: int) -> dict[str, Any]:
    address = f"10.{number >> 14 & 255}.{number >> 7 & 127}.{(number & 127) + 1}"
    node, identity = f"node-{number:05d}", f"orders-{number}"
    return {
        "Node": {
            "ID": f"{number:08x}-0000-0000-0000-000000000000",
            "Node": node,
            "Address": address,
            "Datacenter": "dc1",
            "TaggedAddresses": dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), address),
            "Meta": {"consul-network-segment": "", "rack": f"r{number % 40}"},
            "CreateIndex": number,
            "ModifyIndex": number + 3,
        },
        "Service": {
            "ID": identity,
            "Service": "orders",
            "Tags": ["primary", "v2"],
            "Address": address,
            "TaggedAddresses": {key: {"Address": address, "Port": 8080} for key in ("lan_ipv4", "wan_ipv4")},
            "Meta": {"version": "2.3.1", "team": "shop"},
            "Port": 8080,
            "Weights": {"Passing": 1, "Warning": 1},
            "EnableTagOverride": False,
            "Proxy": {"MeshGateway": {}, "Expose": {}},
            "Connect": {},
            "CreateIndex": number,
            "ModifyIndex": number,
        },
        "Checks": [
            check(node, "serfHealth", "Serf Health Status", "Agent alive and reachable"),
            check(node, f"service:{identity}", "Service 'orders' check", f"HTTP GET http://{address}:8080/: 200 OK"),
        ],
    }


def check(node: str, identity: str, name: str, output: str) -> dict[str, Any]:
    return {
        "Node": node,
        "CheckID": identity,
        "Name": name,
        "Status": "passing",
        "Notes": "",
        "Output": output,
        "ServiceID": identity.removeprefix("service:"),
        "ServiceName": "orders",
        "ServiceTags": ["primary", "v2"],
        "Type": "http",
        "Definition": {},
        "CreateIndex": 10,
        "ModifyIndex": 10,
    }


def cpu(work: Callable[[], object]) -> float:
    """The least CPU seconds that ``work`` took in some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
