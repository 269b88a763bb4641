"""Datagrams: the check by itself, and in virtual time on a scripted network."""

from __future__ import annotations

import errno
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.base import PASSED, Request
from extsync.health.target import Timing
from extsync.model import Health
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import REFUSING, BlackHole, Failing, Listening
from tests.health.support import probing, target, udp

ONCE = Timing(period=10.0, failure_threshold=1)


def test_it_sends_one_datagram() -> None:
    assert udp().request("192.0.2.1", 514) == Request(514, b"ping", listens=True, datagram=True)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_expected_text_may_be_anywhere_in_a_datagram(before: bytes, after: bytes) -> None:
    assert udp().judge(Request(1), before + b"pong" + after, False) is PASSED


@given(st.binary(max_size=50).filter(lambda noise: b"pong" not in noise))
def test_another_datagram_decides_nothing(noise: bytes) -> None:
    assert udp().judge(Request(1), noise, False) is None
    assert udp().awaited(Request(1), noise).startswith("'pong'")


def test_checks_from_equal_blocks_are_equal_and_do_not_show_what_they_send() -> None:
    check = udp(send="hunter2")
    assert check == udp(send="hunter2") == pickle.loads(pickle.dumps(check))
    assert "hunter2" not in repr(check) + check.describe("192.0.2.1", 1)
    assert udp().describe("2001:db8::1", 514) == "udp [2001:db8::1]:514"


@virtual_time
async def test_an_answered_datagram_is_a_pass_and_one_goes_out_each_period() -> None:
    heard: list[bytes] = []

    def answer(datagram: bytes) -> bytes:
        heard.append(datagram)
        return b"a pong"

    async with probing() as bench:
        bench.script(Listening(answer=answer, delay=0.2))
        bench.prober.upsert([target(check=udp(), timing=ONCE)])
        await bench.sleep(25)
        assert bench.prober.verdict("a").health is Health.HEALTHY
        assert heard == [b"ping"] * 3
        evidence = bench.prober.evidence("a")[0]
        assert evidence.latency == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (BlackHole(), "timed out after 1 s waiting for 'pong'"),
        (Listening(), "timed out after 1 s waiting for 'pong'"),
        (Listening(answer=b"what?"), "timed out after 1 s waiting for 'pong' ('what?' came)"),
        (Listening(answer=lambda _: b""), "timed out after 1 s waiting for 'pong'"),
        (REFUSING, "port unreachable"),
        (Failing(errno.EHOSTUNREACH), "no route to host"),
        (Failing(errno.ENETUNREACH, latency=None), "network is unreachable"),
    ],
)
@virtual_time
async def test_each_way_to_fail_is_told(behaviour: BlackHole | Listening | Failing, reason: str) -> None:
    async with probing() as bench:
        bench.script(behaviour)
        bench.prober.upsert([target(check=udp(), timing=ONCE)])
        await bench.sleep(5)
        assert bench.prober.verdict("a").reason == f"udp 192.0.2.1:80: {reason}"


@virtual_time
async def test_a_lost_datagram_is_what_the_threshold_is_for() -> None:
    timing = Timing(period=1.0, failure_threshold=2)
    async with probing() as bench:
        bench.script(Listening(answer=b"pong"))
        bench.prober.upsert([target(check=udp(), timing=timing)])
        await bench.sleep(1.5)
        bench.script(BlackHole())
        await bench.sleep(1)
        bench.script(Listening(answer=b"pong"))
        await bench.sleep(10)
        assert [verdict.health for _, verdict in bench.prober.drain()] == [Health.HEALTHY]
        assert bench.prober.stats.failed == 1
