from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from extsync.health.base import PASSED, Failed, Request
from extsync.health.tcp import ANSWER_LIMIT
from tests.health.support import tcp


def test_without_send_and_expect_nothing_is_said_and_nothing_awaited() -> None:
    assert tcp().request("192.0.2.1", 3306) == Request(3306)


def test_send_is_sent_and_expect_makes_it_listen() -> None:
    assert tcp(send="PING\r\n").request("192.0.2.1", 6379) == Request(6379, b"PING\r\n", listens=False)
    assert tcp(expect="OK").request("192.0.2.1", 6379) == Request(6379, b"", listens=True)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_the_expected_text_may_come_anywhere_in_the_answer(before: bytes, after: bytes) -> None:
    check = tcp(send="PING\r\n", expect="+PONG")
    assert check.judge(Request(1), before + b"+PONG" + after, eof=False) is PASSED


def test_it_reads_on_until_the_text_or_the_end_has_come() -> None:
    check = tcp(expect="220 ready")
    assert check.judge(Request(1), b"220 re", eof=False) is None
    assert check.judge(Request(1), b"", eof=True) == Failed("connection closed without an answer")
    assert check.judge(Request(1), b"220 re", eof=True) == Failed("connection closed before '220 ready' was received")


def test_it_gives_up_after_a_bounded_answer() -> None:
    noise = b"x" * ANSWER_LIMIT
    assert tcp(expect="y").judge(Request(1), noise + b"y", eof=False) == Failed(
        "'y' is not in the first 65536 bytes received"
    )


def test_a_long_expected_text_is_cut_in_messages() -> None:
    assert tcp(expect="z" * 500).awaited(Request(1), b"") == f"'{'z' * 40}...'"


def test_checks_from_equal_blocks_are_equal_and_survive_pickling_without_showing_what_they_send() -> None:
    check = tcp(send="AUTH hunter2\r\n", expect="+OK")
    assert check == tcp(send="AUTH hunter2\r\n", expect="+OK") == pickle.loads(pickle.dumps(check))
    assert hash(check) == hash(tcp(send="AUTH hunter2\r\n", expect="+OK"))
    assert check != tcp(expect="+OK")
    assert "hunter2" not in repr(check) + check.describe("192.0.2.1", 1)


def test_it_is_described_by_kind_and_address() -> None:
    assert tcp().describe("192.0.2.1", 3306) == "tcpSocket 192.0.2.1:3306"
    assert tcp().describe("2001:db8::1", 3306) == "tcpSocket [2001:db8::1]:3306"
