"""Sockets that serve one bare connect after another, where connections end with a reset."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from extsync.health.sockets import SPARES
from extsync.health.target import Probe, Target, Timing
from extsync.model import Health
from extsync.seams import ProbeSocket, SystemProbeIO
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import BlackHole, Failing, Listening
from tests.health.listeners import LOOPBACK, Live, black_hole, live, nobody
from tests.health.support import HOST, LISTENING, PORT, TCP, Bench, http, probing, target

RST = Timing(period=60.0, timeout=30.0, failure_threshold=1, close="rst")
FIN = Timing(period=60.0, timeout=30.0, failure_threshold=1)
FAST = Timing(period=1.0, timeout=0.5, failure_threshold=1, close="rst")


class CountingIO(SystemProbeIO):
    """Counts the sockets it makes; with ``renews`` False none of them can be made as new."""

    def __init__(self, *sources: str, renews: bool = True) -> None:
        self.made = 0
        super().__init__(source_addresses=sources)
        self.made = 0
        self._renews = renews

    def socket(self, family: int) -> ProbeSocket:
        self.made += 1
        return super().socket(family)

    def renewer(self) -> Callable[[ProbeSocket, bool], bool]:
        return super().renewer() if self._renews else lambda sock, resets: False


def listener(stack: ExitStack, host: str = LOOPBACK) -> int:
    """A port that accepts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = stack.enter_context(socket.create_server((host, 0), family=family, backlog=1000))
    port: int = sock.getsockname()[1]
    return port


def targets(count: int, port: int, timing: Timing = RST, host: str = LOOPBACK) -> list[Target]:
    return [Target(str(number), (Probe(TCP, timing, host, port),), immediate=True) for number in range(count)]


async def healthy(running: Live, some: list[Target]) -> int:
    return sum(verdict.health is Health.HEALTHY for verdict in (await running.verdicts(some)).values())


@pytest.mark.sockets
@pytest.mark.parametrize("sources", [(), ("127.0.0.2", "::1")], ids=["any", "source"])
@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_one_socket_serves_many_attempts(host: str, sources: tuple[str, ...]) -> None:
    io = CountingIO(*sources)
    with ExitStack() as stack:
        port = listener(stack, host)
        async with live(io) as running:
            for _ in range(20):
                assert await healthy(running, targets(3, port, host=host)) == 3
            assert io.made == 3


@pytest.mark.sockets
async def test_connections_that_end_in_order_have_a_socket_each() -> None:
    io = CountingIO()
    with ExitStack() as stack:
        port = listener(stack)
        async with live(io) as running:
            assert await healthy(running, targets(20, port, FIN)) == 20
            assert await healthy(running, targets(20, port, FIN)) == 20
            assert io.made == 40


@pytest.mark.sockets
async def test_a_socket_reports_nothing_of_the_attempt_before() -> None:
    io = CountingIO()
    short = Timing(period=60.0, timeout=0.2, failure_threshold=1, close="rst")
    with ExitStack() as stack:
        port, refusing = listener(stack), stack.enter_context(nobody())
        hole = stack.enter_context(black_hole())
        async with live(io) as running:
            for _ in range(3):
                assert await running.passes(TCP, port, timing=RST)
                assert await running.failure(TCP, refusing, timing=RST) == "connection refused"
                assert await running.passes(TCP, port, timing=RST)
                assert await running.failure(TCP, hole, timing=short) == "timed out after 0.2 s connecting"
                assert await running.passes(TCP, port, timing=RST)
            assert io.made == 7, "after a failure a socket is not used again"


@pytest.mark.sockets
async def test_where_sockets_cannot_be_made_as_new_each_attempt_has_its_own() -> None:
    io = CountingIO(renews=False)
    with ExitStack() as stack:
        port = listener(stack)
        async with live(io) as running:
            assert await healthy(running, targets(20, port)) == 20
            assert await healthy(running, targets(20, port)) == 20
            assert io.made == 40


@pytest.mark.sockets
async def test_only_some_sockets_wait_to_be_used_again() -> None:
    io = CountingIO()
    count = SPARES + 50
    with ExitStack() as stack:
        port = listener(stack)
        async with live(io) as running:
            before = len(os.listdir("/proc/self/fd"))
            assert await healthy(running, targets(count, port)) == count
            assert len(os.listdir("/proc/self/fd")) <= before + SPARES


# ---- on a scripted network -------------------------------------------------------------------------------------------


async def a_pass(bench: Bench, timing: Timing = FAST) -> None:
    bench.script(LISTENING)
    bench.prober.upsert([target(timing=timing)])
    await bench.sleep(0.5)
    assert bench.prober.stats.passed == 1
    assert bench.net.open_sockets == 1


@virtual_time
async def test_a_watched_connect_leaves_a_socket_that_is_watched_anew() -> None:
    async with probing() as bench:
        await a_pass(bench)
        bench.script(Listening(latency=0.2))
        await bench.sleep(5.0)
        assert (bench.prober.stats.passed, bench.prober.stats.failed, bench.net.open_sockets) == (6, 0, 1)


@virtual_time
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Failing(), "connection refused"),
        (Failing(latency=None), "connection refused"),
        (Failing(errno.ENETUNREACH, latency=None), "network is unreachable"),
        (BlackHole(), "timed out after 0.5 s connecting"),
    ],
)
async def test_a_failure_on_a_socket_that_was_used_before_is_one(behaviour: Failing | BlackHole, reason: str) -> None:
    async with probing() as bench:
        await a_pass(bench)
        bench.script(behaviour)
        await bench.sleep(1.2)
        assert bench.prober.evidence("a")[0].reason == reason
        assert bench.net.open_sockets == 0
        bench.script(LISTENING)
        await bench.sleep(1.0)
        assert bench.prober.verdict("a").health is Health.HEALTHY


@virtual_time
@pytest.mark.parametrize("code", [errno.EINVAL, errno.EADDRNOTAVAIL, errno.EISCONN])
async def test_what_a_used_socket_says_at_once_is_asked_of_a_new_one(code: int) -> None:
    async with probing() as bench:
        await a_pass(bench)
        bench.script(Failing(code, latency=None))
        bench.on_start = lambda: bench.script(LISTENING) if len(bench.times()) == 3 else None
        await bench.sleep(1.0)
        assert len(bench.times()) == 3
        assert (bench.prober.stats.passed, bench.prober.stats.failed, bench.prober.stats.skipped) == (2, 0, 0)


@virtual_time
async def test_sockets_that_wait_give_way_where_another_attempt_needs_a_descriptor() -> None:
    async with probing(descriptors=1) as bench:
        await a_pass(bench, RST)
        bench.net.script(HOST, PORT + 1, Listening(answer=b"HTTP/1.1 200 OK\r\n\r\n"))
        bench.prober.upsert([target("web", check=http(), timing=RST, port=PORT + 1)])
        await bench.sleep(0.5)
        assert bench.prober.verdict("web").health is Health.HEALTHY
        assert bench.prober.stats.skipped == 0


@virtual_time
async def test_sockets_that_wait_take_none_of_the_descriptors_that_are_left_for_all_else() -> None:
    async with probing(descriptor_limit=8) as bench:
        bench.script(LISTENING)
        bench.prober.upsert([target(str(number), timing=RST) for number in range(6)])
        await bench.sleep(0.5)
        assert (bench.prober.stats.passed, bench.net.open_sockets) == (6, 6)
        bench.script(BlackHole(), port=PORT + 1)
        bench.prober.upsert([target(f"web-{number}", check=http(), timing=RST, port=PORT + 1) for number in range(6)])
        await bench.sleep(0.5)
        assert (bench.prober.stats.in_flight, bench.net.open_sockets) == (6, 6)
