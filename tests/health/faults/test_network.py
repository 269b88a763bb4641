"""What networks do to probes: routers that report or drop, addresses that leave and come back, ports that run out."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import ExitStack

import pytest

from extsync.health.base import Check
from extsync.health.target import Probe, Target, Timing
from extsync.model import UNKNOWN, Health, Verdict
from extsync.seams import SystemProbeIO
from tests.health.faults.apart import Networks, in_own_network
from tests.health.listeners import LONG, LOOPBACK, SHORT, Live, live, until
from tests.health.support import TCP, handshake, http, mysql, tcp, udp

pytestmark = pytest.mark.sockets

CHECKS: list[Check] = [TCP, http(), handshake(), mysql(), udp()]
"""As many as Linux reports to one peer before it makes pauses (ip_rt_error_burst)."""

HOST = "203.0.113.7"
FAST = Timing(period=0.05, timeout=0.2, failure_threshold=2)


async def failures(probing: Live, host: str, timing: Timing = LONG) -> set[str]:
    """Why attempts of all kinds at ``host`` fail."""
    targets = [
        Target(f"{number}", (Probe(check, timing, host, 80),), immediate=True) for number, check in enumerate(CHECKS)
    ]
    verdicts = await probing.verdicts(targets)
    assert {verdict.health for verdict in verdicts.values()} == {Health.UNHEALTHY}
    return {verdict.reason.partition(": ")[2] for verdict in verdicts.values()}


@in_own_network
async def test_a_host_that_the_router_reports_as_unreachable_fails_at_once(networks: Networks) -> None:
    networks.far(f"route add unreachable {HOST}")
    async with live() as probing:
        assert await failures(probing, HOST) == {"no route to host"}


@in_own_network
async def test_a_host_that_the_router_reports_as_prohibited_fails_at_once(networks: Networks) -> None:
    networks.far(f"route add prohibit {HOST}")
    async with live() as probing:
        assert await failures(probing, HOST) == {"no route to host"}  # Linux's word for it


@in_own_network
async def test_a_network_that_the_router_reports_as_unreachable_fails_at_once(networks: Networks) -> None:
    async with live() as probing:
        assert await failures(probing, HOST) == {"network is unreachable"}


@in_own_network
async def test_where_there_is_no_way_from_here_it_fails_at_once(networks: Networks) -> None:
    networks.near("route add unreachable 198.51.100.1")
    networks.near("route add prohibit 198.51.100.2")
    async with live() as probing:
        assert await failures(probing, "192.0.2.1") == {"network is unreachable"}
        assert await failures(probing, "198.51.100.1") == {"no route to host"}
        assert await failures(probing, "198.51.100.2") == {"permission denied"}


@in_own_network
async def test_packets_that_are_dropped_on_the_way_time_out(networks: Networks) -> None:
    networks.far(f"route add blackhole {HOST}")
    async with live() as probing:
        assert await failures(probing, HOST, SHORT) == {
            "timed out after 0.2 s connecting",
            "timed out after 0.2 s waiting for 'pong'",
        }


@in_own_network
async def test_a_host_that_is_there_without_a_server_refuses(networks: Networks) -> None:
    networks.far(f"addr add {HOST} dev lo")
    async with live() as probing:
        assert await failures(probing, HOST) == {"connection refused", "port unreachable"}


async def becomes(probing: Live, health: Health) -> Verdict:
    await until(lambda: probing.prober.verdict("it").health is health)
    return probing.prober.verdict("it")


@in_own_network
async def test_an_address_that_leaves_fails_and_passes_when_it_is_back(networks: Networks) -> None:
    networks.far(f"addr add {HOST} dev lo")
    with networks.listen(HOST) as listener:
        port = listener.getsockname()[1]
        async with live() as probing:
            probing.prober.upsert([Target("it", (Probe(TCP, FAST, HOST, port),), immediate=True)])
            await becomes(probing, Health.HEALTHY)
            networks.far(f"addr del {HOST} dev lo")
            reason = (await becomes(probing, Health.UNHEALTHY)).reason
            assert reason == f"tcpSocket {HOST}:{port}: network is unreachable"
            networks.far(f"addr add {HOST} dev lo")
            await becomes(probing, Health.HEALTHY)


@in_own_network
async def test_an_address_that_leaves_in_the_middle_of_an_attempt_times_out(networks: Networks) -> None:
    networks.far(f"addr add {HOST} dev lo")
    with networks.listen(HOST) as listener, ExitStack() as accepted:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        async with live() as probing:
            timing = Timing(period=60.0, timeout=2.0, failure_threshold=1)
            probing.prober.upsert([Target("it", (Probe(http(), timing, HOST, port),), immediate=True)])
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            accepted.enter_context(connection)
            await asyncio.get_running_loop().sock_recv(connection, 1000)
            networks.far(f"addr del {HOST} dev lo")
            connection.close()  # whose farewell has no way back
            reason = (await becomes(probing, Health.UNHEALTHY)).reason
            assert reason == f"httpGet http://{HOST}:{port}/: timed out after 2 s waiting for headers"


@in_own_network
async def test_without_the_address_that_probes_are_sent_from_nothing_is_concluded(networks: Networks) -> None:
    networks.near("addr add 10.9.0.7/24 dev cable")
    with networks.listen(Networks.ROUTER) as listener:
        port = listener.getsockname()[1]
        async with live(SystemProbeIO(source_addresses=["10.9.0.7"])) as probing:
            probing.prober.upsert([Target("it", (Probe(TCP, FAST, Networks.ROUTER, port),), immediate=True)])
            healthy = await becomes(probing, Health.HEALTHY)
            networks.near("addr del 10.9.0.7/24 dev cable")
            await until(lambda: probing.prober.stats.skipped > 0)
            assert probing.prober.evidence("it")[0].reason == "skipped: cannot assign requested address"
            assert probing.prober.verdict("it") is healthy
            networks.near("addr add 10.9.0.7/24 dev cable")
            passed = probing.prober.stats.passed
            await until(lambda: probing.prober.stats.passed > passed)
            assert probing.prober.stats.failed == 0


@in_own_network
async def test_without_a_port_of_our_own_nothing_is_concluded_and_other_endpoints_go_on(networks: Networks) -> None:
    networks.limit_ports(50000, 50003)
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server((LOOPBACK, 40000)))
        other = held.enter_context(socket.create_server((LOOPBACK, 40001)))
        taken = [held.enter_context(socket.create_connection(listener.getsockname())) for _ in range(4)]
        async with live() as probing:
            probing.prober.upsert([Target("full", (Probe(TCP, FAST, *listener.getsockname()),), immediate=True)])
            await until(lambda: probing.prober.stats.skipped > 0)
            assert probing.prober.evidence("full")[0].reason == "skipped: cannot assign requested address"
            assert await probing.passes(TCP, other.getsockname()[1])
            assert await probing.passes(tcp(send="hello"), other.getsockname()[1])
            assert probing.prober.verdict("full") is UNKNOWN
            for connection in taken:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            await until(lambda: probing.prober.verdict("full").health is Health.HEALTHY)
            assert probing.prober.stats.failed == 0
