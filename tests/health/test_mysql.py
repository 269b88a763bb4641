from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.base import Failed, Passed, Request
from tests.health.dialogues import holds_against, judged, said
from tests.health.support import mysql

CAPABILITIES = 0x81BFFFDF  # MariaDB's, with TLS
NONCE = b"0123456789012345678901"


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((number,)) + payload


def greeting(capabilities: int = CAPABILITIES, plugin: bytes = b"mysql_native_password\0", protocol: int = 10) -> bytes:
    low, high = (capabilities & 0xFFFF).to_bytes(2, "little"), (capabilities >> 16).to_bytes(2, "little")
    return packet(
        0,
        bytes((protocol,)) + b"10.11.19-MariaDB\0" + bytes(4) + NONCE[:8] + b"\0" + low + b"\x2d\x02\0" + high
        + b"\x15" + bytes(10) + NONCE[8:20] + b"\0" + plugin,
    )  # fmt: skip


def error(number: int, code: int, message: str, state: str = "") -> bytes:
    marked = f"#{state}" if state else ""
    return packet(number, b"\xff" + code.to_bytes(2, "little") + (marked + message).encode())


OK = packet(2, b"\0\0\0\2\0\0\0")
DENIED = error(2, 1045, "Access denied for user 'extsync'@'192.0.2.9' (using password: NO)", "28000")


def test_it_waits_for_the_greeting_and_says_nothing_before() -> None:
    assert mysql().request("192.0.2.1", 3306) == Request(3306, listens=True, host="192.0.2.1")
    assert judged(mysql(), greeting()[:-1]) is None
    assert judged(mysql(), b"") is None


def test_it_logs_in_without_a_password_by_the_plugin_that_the_server_prefers() -> None:
    login = said(mysql(user="probe"), greeting(plugin=b"caching_sha2_password\0"))
    assert login.listens
    assert login.tls is None
    assert login.data[3] == 1
    assert len(login.data) == 4 + login.data[0]
    assert int.from_bytes(login.data[4:8], "little") == 0x88201
    assert login.data[36:] == b"probe\0\0caching_sha2_password\0"


def test_a_server_without_plugins_is_told_of_none() -> None:
    login = said(mysql(), greeting(CAPABILITIES & ~0x80000))
    assert int.from_bytes(login.data[4:8], "little") == 0x8201
    assert login.data[36:] == b"extsync\0\0"


def test_after_a_login_it_says_farewell_and_passes() -> None:
    assert said(mysql(), greeting(), OK) == Request(80, b"\1\0\0\0\1")


def test_whatever_plugin_the_account_wants_there_is_no_password() -> None:
    switch = packet(2, b"\xfemysql_native_password\0" + NONCE + b"\0")
    assert said(mysql(), greeting(), switch).data == b"\0\0\0\3"
    assert said(mysql(), greeting(), switch, packet(4, b"\0\0\0\2\0\0\0")) == Request(80, b"\1\0\0\0\1")
    full = packet(2, b"\x01\x04")
    assert said(mysql(), greeting(), full).data == b"\0\0\0\3"
    assert judged(mysql(), greeting(), packet(2, b"\x01\x03")) is None
    assert said(mysql(), greeting(), packet(2, b"\x01\x03") + packet(3, b"\0\0\0\2\0\0\0")).data == b"\1\0\0\0\1"


def test_a_server_that_refuses_the_account_is_alive_and_the_note_says_so() -> None:
    assert judged(mysql(), greeting(), DENIED) == Passed(
        "not logged in as 'extsync': Access denied for user 'extsync'@'192.0.2.9' (using password: NO) (1045)"
    )
    nobody = error(0, 1130, "Host '192.0.2.9' is not allowed to connect to this MariaDB server")
    assert isinstance(judged(mysql(), nobody), Passed)
    insecure = error(2, 3159, "Connections using insecure transport are prohibited", "HY000")
    assert isinstance(judged(mysql(), greeting(), insecure), Passed)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            error(0, 1129, "Host 'a' is blocked because of many connection errors; unblock with 'x'"),
            "the server says: Host 'a' is blocked because of many connection errors; unblock with 'x' (1129)",
        ),
        (error(0, 1040, "Too many connections", "08004"), "the server says: Too many connections (1040)"),
        (error(0, 1053, "Server\nshutdown\0"), "the server says: Server shutdown (1053)"),
    ],
)
def test_a_server_that_refuses_everybody_or_this_host_fails_in_its_own_words(answer: bytes, reason: str) -> None:
    assert judged(mysql(), answer) == Failed(reason)


def test_a_refusal_that_comes_after_the_login_fails_too() -> None:
    assert judged(mysql(), greeting(), error(2, 1053, "Server shutdown in progress", "08S01")) == Failed(
        "the server says: Server shutdown in progress (1053)"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not a MySQL server: it begins with 'HTTP/1.1 400 Bad Request"),
        (b"220 mail.example.com\r\n", "not a MySQL server: it begins with '220 mail.example.com\\r\\n'"),
        (bytes(4), "not a MySQL server: it begins with '\\x00\\x00\\x00\\x00'"),
        (greeting(protocol=9)[:12] + bytes(200), "not a greeting of MySQL: it begins with '\\t10.11.1"),
        (packet(0, b"\x0a5.0\0"), "the greeting of MySQL is too short"),
        (greeting(0), "the server speaks the protocol of MySQL before 4.1 only"),
    ],
)
def test_what_is_not_mysql_is_told(answer: bytes, reason: str) -> None:
    result = judged(mysql(), answer)
    assert isinstance(result, Failed)
    assert result.reason.startswith(reason)


def test_a_connection_that_ends_is_told_with_what_was_awaited() -> None:
    assert judged(mysql(), b"", eof=True) == Failed("connection closed before the greeting")
    assert judged(mysql(), greeting()[:20], eof=True) == Failed("connection closed in the greeting")
    assert judged(mysql(), greeting(), b"", eof=True) == Failed("connection closed before the answer to the login")


def test_with_tls_it_asks_for_it_in_the_clear_and_logs_in_behind_it() -> None:
    check = mysql(tlsConfig={"insecureSkipVerify": True, "serverName": "db.example.com"})
    login = said(check, greeting())
    assert login.tls == check.tls
    assert login.server_name == "db.example.com"
    assert login.preface[:4] == b"\x20\0\0\1"
    assert login.preface[4:] == login.data[4:36]
    assert int.from_bytes(login.preface[4:8], "little") & 0x800
    assert login.data[3] == 2
    assert said(mysql(tlsConfig={}), greeting()).server_name == "192.0.2.1"
    assert judged(check, greeting(CAPABILITIES & ~0x800)) == Failed("the server does not offer TLS")


NOISE = st.binary(max_size=120) | st.builds(packet, st.integers(0, 255), st.binary(max_size=120))


@given(NOISE)
def test_no_greeting_confuses_it(noise: bytes) -> None:
    holds_against(mysql(), (), noise)


@given(st.integers(0, 90), st.binary(min_size=1, max_size=3))
def test_no_damaged_greeting_confuses_it(position: int, damage: bytes) -> None:
    sound = greeting()
    holds_against(mysql(tlsConfig={}), (), sound[:position] + damage + sound[position + len(damage) :])


@given(NOISE)
def test_no_answer_to_the_login_confuses_it(noise: bytes) -> None:
    holds_against(mysql(), (greeting(),), noise)


def test_checks_from_equal_blocks_are_equal_and_survive_pickling() -> None:
    assert mysql() == mysql(user="extsync") == pickle.loads(pickle.dumps(mysql()))
    assert mysql() != mysql(user="other")
    assert hash(mysql(tlsConfig={})) == hash(mysql(tlsConfig={}))
    assert mysql().describe("2001:db8::1", 3306) == "mysql [2001:db8::1]:3306"
