from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.base import PASSED, Failed, Passed, Request
from tests.health.dialogues import holds_against, judged, said
from tests.health.support import postgres

STARTUP = b"\0\0\0\x41\0\x03\0\0user\0extsync\0database\0postgres\0application_name\0extsync\0\0"


def message(kind: str, body: bytes) -> bytes:
    return kind.encode() + (len(body) + 4).to_bytes(4, "big") + body


def error(code: str, text: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": text, "F": "postmaster.c", "L": "2351"}
    return message("E", b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0")


SCRAM = message("R", b"\0\0\0\x0aSCRAM-SHA-256\0\0")
LET_IN = message("R", bytes(4)) + message("S", b"TimeZone\0UTC\0") + message("K", bytes(8))
READY = message("Z", b"I")
STARTING = error("57P03", "the database system is starting up")


def test_it_begins_a_session() -> None:
    request = postgres().request("192.0.2.1", 5432)
    assert (request.port, request.listens, request.tls) == (5432, True, None)
    assert request.data == STARTUP


@pytest.mark.parametrize(
    "demand", [SCRAM, message("R", b"\0\0\0\x05salt"), message("R", b"\0\0\0\x03"), message("v", bytes(8)) + SCRAM]
)
def test_a_server_that_asks_for_a_password_accepts_connections(demand: bytes) -> None:
    assert judged(postgres(), demand) is PASSED
    assert judged(postgres(), demand[:-1]) is None


def test_a_session_that_needs_no_password_is_ended_in_order() -> None:
    assert judged(postgres(), LET_IN) is None
    assert said(postgres(), LET_IN + READY) == Request(80, b"X\0\0\0\4")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("28000", 'role "extsync" does not exist'),
        ("28000", 'no pg_hba.conf entry for host "192.0.2.9", user "extsync", database "postgres", no encryption'),
        ("3D000", 'database "postgres" does not exist'),
        ("42501", 'permission denied for database "postgres"'),
    ],
)
def test_a_server_that_refuses_the_account_is_alive_and_the_note_says_so(code: str, text: str) -> None:
    assert judged(postgres(), message("R", bytes(4)) + error(code, text)) == Passed(
        f"not logged in as 'extsync': {text}"
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("57P03", "the database system is starting up"),
        ("57P03", "the database system is not accepting connections"),
        ("57P01", "terminating connection due to administrator command"),
        ("53300", "sorry, too many clients already"),
    ],
)
def test_a_server_that_accepts_nobody_fails_in_its_own_words(code: str, text: str) -> None:
    assert judged(postgres(), error(code, text)) == Failed(f"the server says: {text} ({code})")
    assert judged(postgres(), message("R", bytes(4)) + error(code, text)) == Failed(f"the server says: {text} ({code})")


def test_a_server_that_cannot_even_start_a_process_says_so_in_plain_text() -> None:
    text = b"Ecould not fork new process for connection: Cannot allocate memory\n\0"
    assert judged(postgres(), text[:-1]) is None
    assert judged(postgres(), text) == Failed(
        "the server says: could not fork new process for connection: Cannot allocate memory"
    )


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"-ERR unknown command\r\n", bytes(100)]
)
def test_what_is_not_postgres_is_told(answer: bytes) -> None:
    result = judged(postgres(), answer)
    assert isinstance(result, Failed)
    assert result.reason.startswith("not a PostgreSQL server: it answers with '")


def test_it_gives_up_on_a_server_that_never_comes_to_the_point() -> None:
    notice = message("N", b"SNOTICE\0\0" * 20)
    assert judged(postgres(), notice * 170) is None
    assert judged(postgres(), notice * 250) == Failed("the answer is longer than 32768 bytes")
    assert judged(postgres(), notice * 200 + notice[:9]) == Failed("the answer is longer than 32768 bytes")


def test_it_gives_up_on_a_server_that_says_too_many_things() -> None:
    assert judged(postgres(), message("N", b"") * 256) is None
    assert judged(postgres(), message("N", b"") * 256 + SCRAM) == PASSED
    assert judged(postgres(), message("N", b"") * 257) == Failed("the answer has more than 256 messages")


def test_a_connection_that_ends_is_told() -> None:
    assert judged(postgres(), b"", eof=True) == Failed("connection closed without an answer")
    assert judged(postgres(), LET_IN, eof=True) == Failed("connection closed in the answer")


def test_with_tls_it_asks_for_it_first() -> None:
    check = postgres(tlsConfig={"insecureSkipVerify": True})
    request = check.request("192.0.2.1", 80)
    assert (request.data, request.tls) == (b"\0\0\0\x08\x04\xd2\x16\x2f", None)
    assert check.awaited(request, b"") == "the offer of TLS"
    session = said(check, b"S")
    assert (session.tls, session.server_name, session.data) == (check.tls, "192.0.2.1", STARTUP)
    assert said(postgres(tlsConfig={"serverName": "db.example.com"}), b"S").server_name == "db.example.com"
    assert judged(check, b"S", SCRAM) is PASSED
    assert judged(check, b"N") == Failed("the server does not offer TLS")
    assert judged(check, b"H") == Failed("not a PostgreSQL server: it answers with 'H'")
    assert judged(check, b"", eof=True) == Failed("connection closed without an answer")


NOISE = st.binary(max_size=120) | st.lists(
    st.builds(message, st.sampled_from("REvNSKZ"), st.binary(max_size=40)), max_size=4
).map(b"".join)


@given(NOISE)
def test_no_answer_confuses_it(noise: bytes) -> None:
    holds_against(postgres(), (), noise)


@given(NOISE)
def test_no_answer_to_the_demand_for_tls_confuses_it(noise: bytes) -> None:
    holds_against(postgres(tlsConfig={}), (), noise)


@given(st.integers(0, 100), st.binary(min_size=1, max_size=3))
def test_no_damaged_answer_confuses_it(position: int, damage: bytes) -> None:
    sound = LET_IN + STARTING
    holds_against(postgres(), (), sound[:position] + damage + sound[position + len(damage) :])


def test_checks_from_equal_blocks_are_equal_and_survive_pickling() -> None:
    assert postgres() == postgres(user="extsync") == pickle.loads(pickle.dumps(postgres()))
    assert postgres() != postgres(user="other")
    assert postgres().describe("192.0.2.1", 5432) == "postgres 192.0.2.1:5432"
