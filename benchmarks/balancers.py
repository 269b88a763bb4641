"""What a check costs beside those of HAProxy and of blackbox_exporter. ``python -m benchmarks.balancers``.

The goals: no more CPU than HAProxy takes, at most an eighth of what blackbox_exporter takes, and within 1.5 of the raw
floor (see probes). Targets are one nginx on thousands of loopback addresses. Each prober works by itself, from its
start, on the same number of targets in the same period; the rounds take turns. CPU is that of the prober's process
alone: blackbox_exporter is asked from here over kept connections, which is not counted, and at a lower pace, since it
has no rhythm of its own. A bare connect is compared with HAProxy's twice: ended as HAProxy ends it, by a reset
(``close: rst``), for which the goal holds, and in order, as is the default, which is only told. Where the machine is so
busy that HAProxy falls behind with its bare connects, their figure is too low.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks import probes, servers
from benchmarks.figures import SHORT, Row, all_good, print_table
from benchmarks.probes import SHORT_LOAD, Load
from benchmarks.servers import Running
from extsync.health.base import Check

PART = "balancers"
CHECKS: dict[str, Check] = {"tcpSocket": probes.TCP, "httpGet": probes.HTTP}
RESET = "tcpSocket"
"""The kind of check whose connections HAProxy ends by a reset."""

NAMES = {"ours": "extsync", "haproxy": "HAProxy", "blackbox": "blackbox_exporter", "floor": "raw epoll"}
GOALS = {"haproxy": 1.0, "blackbox": 1 / 8, "floor": probes.FLOOR_GOAL}
CLIENTS = 8
PROGRAMS = ("haproxy", "blackbox")
ASKED = 400
"""Requests a second to blackbox_exporter."""


LOAD = Load(period=2.0, window=2.5)


def rows(load: Load | None = None) -> list[Row]:
    """Both kinds of check against all others, which must be there: a missing program leaves its rows out."""
    load = load or (SHORT_LOAD if SHORT else LOAD)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as name, servers.nginx(Path(name)) as target:
        rivals = [rival for rival in PROGRAMS if _is_there(rival)]
        for kind in CHECKS:
            found += compared(kind, measure(kind, target, Path(name), load, rivals), load)
    return found


def _is_there(rival: str) -> bool:
    try:
        servers.program(rival)
    except servers.MissingError as error:
        print(f"without {NAMES[rival]}: {error}", file=sys.stderr)
        return False
    return True


def compared(kind: str, medians: dict[str, float], load: Load) -> list[Row]:
    """A row for each that extsync is compared with."""
    names = {**NAMES, **{rival: f"{NAMES[rival]} {servers.version(rival)}" for rival in medians if rival in PROGRAMS}}
    found: list[Row] = []
    for other, goal in GOALS.items():
        if other not in medians:
            continue
        as_default = Row(
            part=PART,
            what=f"CPU of a {kind} check, {load}",
            figure=medians["ours"],
            unit="us",
            reference=medians[other],
            reference_is=names[other],
            goal=goal,
        )
        if other == "haproxy" and kind == RESET:
            what = f"CPU of a {kind} check that ends as HAProxy's do (close: rst), {load}"
            found.append(msgspec.structs.replace(as_default, what=what, figure=medians["reset"]))
            as_default = msgspec.structs.replace(as_default, goal=None)
        found.append(as_default)
    return found


def measure(kind: str, target: Running, directory: Path, load: Load, rivals: list[str]) -> dict[str, float]:
    """Median microseconds of CPU of a check for each, of rounds in turn."""
    taken: dict[str, list[float]] = {}
    port = target.port
    for _ in range(load.rounds):
        costs = {"ours": asyncio.run(probes.prober(CHECKS[kind], port, load))}
        if "haproxy" in rivals and kind == RESET:
            costs["reset"] = asyncio.run(probes.prober(CHECKS[kind], port, load, close="rst"))
        if "haproxy" in rivals:
            costs["haproxy"] = haproxy(kind, target, directory, load)
        if "blackbox" in rivals:
            costs["blackbox"] = blackbox(kind, port, directory, load)
        costs["floor"] = asyncio.run(probes.floor(CHECKS[kind], port, load))
        for name, cost in costs.items():
            taken.setdefault(name, []).append(cost * 1e6)
        gc.collect()
    return {name: statistics.median(costs) for name, costs in taken.items()}


def haproxy(kind: str, target: Running, directory: Path, load: Load) -> float:
    """CPU seconds of a check. How many there were nginx tells, or HAProxy's period where nginx does not see them."""
    hosts = probes.hosts(load.endpoints)
    with servers.haproxy(directory, kind, hosts, target.port, period=load.period) as process:
        time.sleep(load.period + probes.WARM_UP)
        requests, cpu, began = servers.requests(target), process.cpu(), time.monotonic()
        time.sleep(load.window)
        cpu, seconds, requests = process.cpu() - cpu, time.monotonic() - began, servers.requests(target) - requests - 1
        states = servers.haproxy_states(directory)
    checked = [state for state in states if state not in ("", "INI")]
    if len(states) != load.endpoints or not checked or set(checked) - {"L4OK", "L7OK"}:
        raise RuntimeError(f"HAProxy's checks failed: {sorted(set(states))}")
    return cpu / (requests if kind == "httpGet" else seconds * load.endpoints / load.period)


def blackbox(kind: str, port: int, directory: Path, load: Load) -> float:
    """CPU seconds of a probe, its share of the request for it included."""
    with servers.blackbox(directory) as process:
        return asyncio.run(_ask(process, kind, port, load))


async def _ask(process: Running, kind: str, port: int, load: Load) -> float:
    """Asks for probes over some kept connections, evenly spread in time."""
    hosts = iter(probes.hosts(load.endpoints) * 100)
    connections = [await asyncio.open_connection("127.0.0.1", process.port) for _ in range(CLIENTS)]
    done, cpu = 0, 0.0
    deadline = 0.0

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal done
        while (now := time.monotonic()) < deadline:
            target = f"{'http://' if kind == 'httpGet' else ''}{next(hosts)}:{port}"
            path = "/healthz" if kind == "httpGet" else ""
            writer.write(f"GET /probe?module={kind}&target={target}{path} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
            if b"probe_success 1" not in await _body(reader):
                raise RuntimeError(f"blackbox_exporter's probe of {target} failed")
            done += 1
            await asyncio.sleep(max(0.0, now + CLIENTS / ASKED - time.monotonic()))

    for seconds in (probes.WARM_UP, load.window):
        done, cpu, deadline = 0, process.cpu(), time.monotonic() + seconds
        await asyncio.gather(*(one(*connection) for connection in connections))
        cpu = process.cpu() - cpu
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return cpu / done


async def _body(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer, which Go sends in chunks where it is long."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        return await reader.readexactly(int(length))
    body, size = b"", -1
    while size:
        size = int(await reader.readline(), 16)
        body += (await reader.readexactly(size + 2))[:-2]
    return body


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
