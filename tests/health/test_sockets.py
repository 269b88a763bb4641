"""Real listeners that do what servers do, good and bad: each gives the right verdict in words, and leaks nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket

import pytest

from extsync.health.base import Check, Request
from extsync.health.target import Probe, Target, Timing
from extsync.model import Health
from tests.health.listeners import (
    HALFWAY,
    LONG,
    LOOPBACK,
    SHORT,
    Live,
    answering,
    black_hole,
    closing,
    endless,
    greeting,
    listening,
    live,
    nobody,
    resetting,
    silent,
    until,
)
from tests.health.support import TCP, http, tcp

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_listener_passes_although_it_says_nothing(probing: Live) -> None:
    async with listening(silent) as port:
        assert await probing.passes(TCP, port)


async def test_a_port_nobody_listens_on_is_refused(probing: Live) -> None:
    with nobody() as port:
        assert await probing.failure(TCP, port) == "connection refused"
        assert await probing.failure(http(), port) == "connection refused"


async def test_a_black_hole_times_out_connecting(probing: Live) -> None:
    with black_hole() as port:
        assert await probing.failure(TCP, port, timing=SHORT) == "timed out after 0.2 s connecting"
        assert await probing.failure(http(), port, timing=SHORT) == "timed out after 0.2 s connecting"


async def test_a_silent_server_times_out_waiting_for_what_was_expected(probing: Live) -> None:
    async with listening(silent) as port:
        assert await probing.failure(http(), port, timing=SHORT) == "timed out after 0.2 s waiting for headers"
        expecting = tcp(send="PING\r\n", expect="+PONG")
        assert await probing.failure(expecting, port, timing=SHORT) == "timed out after 0.2 s waiting for '+PONG'"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\nX: "], ids=["status line", "header"])
async def test_a_server_that_drips_its_answer_times_out(probing: Live, start: bytes) -> None:
    async with listening(endless(start, b"x", pause=0.02)) as port:
        assert await probing.failure(http(), port, timing=SHORT) == "timed out after 0.2 s waiting for headers"


async def test_a_server_that_drips_its_body_times_out_where_the_body_matters(probing: Live) -> None:
    async with listening(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x", pause=0.02)) as port:
        assert await probing.passes(http(), port)
        check = http(expectedBody="fine")
        assert await probing.failure(check, port, timing=HALFWAY) == "timed out after 1 s waiting for the body"


async def test_endless_headers_and_bodies_end_at_their_limit(probing: Live) -> None:
    async with listening(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500)) as port:
        assert await probing.failure(http(), port) == "the headers are longer than 32768 bytes"
    async with listening(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000)) as port:
        assert "first 65536 bytes" in await probing.failure(http(expectedBody="y"), port)
    async with listening(endless(b"", b"x" * 5000)) as port:
        assert "first 65536 bytes" in await probing.failure(tcp(send="?", expect="y"), port)


class Undecided:
    """A check that never makes up its mind."""

    def request(self, host: str, port: int) -> Request:
        return Request(port, b"?", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> None:
        return None

    def awaited(self, request: Request, received: bytes) -> str:
        return "a sign"

    def describe(self, host: str, port: int) -> str:
        return "undecided"


async def test_whatever_a_check_thinks_an_answer_is_bounded_in_length_and_in_pieces(probing: Live) -> None:
    async with listening(endless(b"", b"x" * 5000)) as port:
        assert await probing.failure(Undecided(), port) == "the answer is longer than 262144 bytes"
    async with listening(endless(b"", b"x")) as port:
        assert await probing.failure(Undecided(), port) == "the answer comes in more than 512 pieces"
    async with listening(closing) as port:
        assert await probing.failure(Undecided(), port) == "connection closed waiting for a sign"


async def test_a_connection_that_stood_passes_although_it_is_reset_at_once(probing: Live) -> None:
    async with listening(resetting(after_request=False)) as port:
        for _ in range(20):  # the reset may come before or after the prober looks
            assert await probing.passes(TCP, port)


async def test_a_reset_at_each_stage_of_a_request_fails(probing: Live) -> None:
    reset = "connection reset by peer (waiting for headers)"
    async with listening(resetting(after_request=False)) as port:
        assert await probing.failure(http(), port) in (reset, "broken pipe (waiting for headers)")
    async with listening(resetting(after_request=True)) as port:
        assert await probing.failure(http(), port) == reset
    async with listening(resetting(after_request=True, start=b"HTTP/1.1 200 OK\r\nServer")) as port:
        assert await probing.failure(http(), port) == reset
    async with listening(resetting(after_request=True, start=b"HTTP/1.1 200 OK\r\n\r\nfi")) as port:
        reason = await probing.failure(http(expectedBody="fine"), port)
        assert reason == "connection reset by peer (waiting for the body)"


async def test_a_server_that_closes_instead_of_answering_fails(probing: Live) -> None:
    async with listening(closing) as port:
        assert await probing.failure(http(), port) == "connection closed without an answer"
        expecting = tcp(send="PING\r\n\r\n", expect="+PONG")
        assert await probing.failure(expecting, port) == "connection closed without an answer"


async def test_garbage_fails_in_words(probing: Live) -> None:
    async with listening(greeting(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as port:
        reason = await probing.failure(http(), port)
        assert reason == "not an HTTP/1.1 answer: it begins with 'SSH-2.0-OpenSSH_9.2p1\\r\\n'"
    async with listening(greeting(os.urandom(100_000))) as port:
        assert not await probing.passes(http(), port)


async def test_statuses_and_bodies_are_judged(probing: Live) -> None:
    async with listening(answering(OK)) as port:
        assert await probing.passes(http(), port)
        assert await probing.passes(http(expectedBody="ok"), port)
        assert await probing.failure(http(expectedStatuses=["204"]), port) == "200, expected 204"
    async with listening(answering(b"HTTP/1.1 503 Busy\r\n\r\n")) as port:
        assert await probing.failure(http(), port) == "503, expected 200-399"


async def test_a_greeting_is_matched_without_anything_sent(probing: Live) -> None:
    async with listening(greeting(b"220 mail.example.com ready\r\n")) as port:
        assert await probing.passes(tcp(expect="220 "), port)


async def test_send_without_expect_passes_when_it_is_sent(probing: Live) -> None:
    async with listening(silent) as port:
        assert await probing.passes(tcp(send="hello"), port)


async def test_what_does_not_fit_into_the_socket_at_once_is_sent_on(probing: Live) -> None:
    received: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(len(await reader.read(20_000_000)))
        while piece := await reader.read(1_000_000):
            received.append(len(piece))
        received.append(0)

    async with listening(count) as port:
        assert await probing.passes(tcp(send="x" * 20_000_000), port)
        await until(lambda: received[-1] == 0)
    assert sum(received) == 20_000_000


async def test_redirects_on_the_same_host_are_followed_at_most_ten_times(probing: Live) -> None:
    here = b"HTTP/1.1 302 Found\r\nLocation: /next\r\n\r\n"
    async with listening(answering(*[here] * 10, OK)) as port:
        assert await probing.passes(http(), port)
    async with listening(answering(here)) as port:
        assert await probing.failure(http(), port) == "stopped after 10 redirects"
    async with listening(answering(here, b"HTTP/1.1 500 Oops\r\n\r\n")) as port:
        assert await probing.failure(http(), port) == "500, expected 200-399 (after 1 redirect)"


async def test_a_redirect_to_another_port_of_the_host_goes_there(probing: Live) -> None:
    with nobody() as closed:
        there = f"HTTP/1.1 301 Moved\r\nLocation: http://{LOOPBACK}:{closed}/\r\n\r\n".encode()
        async with listening(answering(there)) as port:
            assert await probing.failure(http(), port) == "connection refused (after 1 redirect)"


async def test_a_redirect_to_another_host_passes_without_being_followed(probing: Live) -> None:
    with nobody() as closed:
        there = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{closed}/\r\n\r\n".encode()
        async with listening(answering(there)) as port:
            assert await probing.passes(http(), port)


async def test_ipv6_is_probed_like_ipv4(probing: Live) -> None:
    async with listening(answering(OK), host="::1") as port:
        assert await probing.passes(TCP, port, host="::1")
        assert await probing.passes(http(), port, host="::1")
        verdict = await probing.verdict(http(expectedStatuses=["500"]), port, host="::1")
        assert verdict.reason == f"httpGet http://[::1]:{port}/: 200, expected 500"


FIN = Timing(period=60.0, timeout=30.0)
RST = Timing(period=60.0, timeout=30.0, close="rst")


async def test_a_probe_ends_with_a_reset_only_where_that_is_asked_for(probing: Live) -> None:
    ends: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await reader.read()
            ends.append("fin")
        except ConnectionResetError:
            ends.append("rst")

    async with listening(note) as port:
        assert await probing.passes(http(), port, timing=FIN)
        await until(lambda: len(ends) == 1)
        assert await probing.passes(http(), port, timing=RST)
        await until(lambda: len(ends) == 2)
    assert ends == ["fin", "rst"]


async def test_a_bare_connect_that_ends_with_a_reset_is_never_seen_to_end_in_order(probing: Live) -> None:
    """As a rule the listener does not see it at all; it may see a reset where this process is held up meanwhile."""
    ends: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
            ends.append("fin")
        except ConnectionResetError:
            ends.append("rst")

    async with listening(note) as port:
        for number in range(20):
            assert await probing.passes(TCP, port, timing=RST), number
        assert await probing.passes(TCP, port, timing=FIN)
        await until(lambda: "fin" in ends)
    assert ends.count("fin") == 1


async def test_thousands_of_probes_of_every_kind_of_end_leave_no_descriptor_open(probing: Live) -> None:
    async with (
        listening(answering(OK)) as good,
        listening(resetting(after_request=True)) as rude,
        listening(silent) as mute,
    ):
        with nobody() as closed, black_hole() as hole:
            before = os.listdir("/proc/self/fd")
            for _ in range(10):
                kinds: tuple[tuple[int, Check, Timing], ...] = (
                    (good, http(), LONG),
                    (good, TCP, LONG),
                    (rude, http(), LONG),
                    (closed, TCP, LONG),
                    (mute, http(), SHORT),
                    (hole, TCP, SHORT),
                )
                targets = [
                    Target(f"{number}/{kind}", (Probe(check, timing, LOOPBACK, port),), immediate=True)
                    for number in range(40)
                    for kind, (port, check, timing) in enumerate(kinds)
                ]
                verdicts = await probing.verdicts(targets)
                healthy = [name for name, verdict in verdicts.items() if verdict.health is Health.HEALTHY]
                assert len(healthy) == 80
            assert probing.prober.stats.attempts == 2400
            assert probing.prober.stats.in_flight == 0
            # The listeners close their ends a little later.
            await until(lambda: len(os.listdir("/proc/self/fd")) <= len(before))


async def test_where_the_process_is_out_of_descriptors_nothing_is_concluded_until_there_are_some() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(silent) as port, live() as probing:
        target = Target("it", (Probe(TCP, Timing(period=0.1, failure_threshold=1), LOOPBACK, port),), immediate=True)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        held = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(socket.socket())
            probing.prober.upsert([target])
            await until(lambda: probing.prober.stats.skipped > 0)
            assert probing.prober.verdict("it").health is Health.UNKNOWN
            assert probing.prober.evidence("it")[0].reason == "skipped: too many open files"
        finally:
            for sock in held:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await probing.verdicts([target]))["it"].health is Health.HEALTHY
        assert probing.prober.stats.failed == 0
