from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.base import PASSED, Failed, Request
from tests.health.dialogues import holds_against, judged
from tests.health.support import redis


def test_it_says_ping() -> None:
    assert redis().request("192.0.2.1", 6379) == Request(
        6379, b"*1\r\n$4\r\nPING\r\n", listens=True, server_name="192.0.2.1"
    )


@pytest.mark.parametrize(
    "answer",
    [
        "+PONG",
        "-NOAUTH Authentication required.",
        "-NOPERM this user has no permissions to run the 'ping' command",
        "-ERR operation not permitted",
    ],
)
def test_a_server_that_answers_or_wants_a_login_first_is_alive(answer: str) -> None:
    assert judged(redis(), f"{answer}\r\n".encode()) is PASSED
    assert judged(redis(), answer.encode()) is None


@pytest.mark.parametrize(
    "answer",
    [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "ERR max number of clients reached",
        "BUSY Redis is busy running a script.",
    ],
)
def test_a_server_that_cannot_serve_fails_in_its_own_words(answer: str) -> None:
    assert judged(redis(), f"-{answer}\r\n".encode()) == Failed(f"the server says: {answer}")


def test_a_long_refusal_is_cut() -> None:
    result = judged(redis(), b"-DENIED Redis is running in protected mode" + b" because" * 100 + b"\r\n")
    assert isinstance(result, Failed)
    assert len(result.reason) < 200


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0-OpenSSH_9.2p1", b"+OK\r\n", b"$-1\r\n"])
def test_what_is_not_redis_is_told(answer: bytes) -> None:
    result = judged(redis(), answer)
    assert isinstance(result, Failed)
    assert result.reason.startswith("not a Redis server: it answers with '")


def test_an_endless_line_is_given_up() -> None:
    assert judged(redis(), b"+" * 5000) == Failed("the answer is longer than 4096 bytes")


def test_a_connection_that_ends_is_told() -> None:
    assert judged(redis(), b"", eof=True) == Failed("connection closed without an answer")
    assert judged(redis(), b"+PON", eof=True) == Failed("connection closed in the answer")


def test_with_tls_it_speaks_tls_from_the_beginning() -> None:
    check = redis(tlsConfig={"serverName": "cache.example.com"})
    request = check.request("192.0.2.1", 6379)
    assert request.tls == check.tls is not None
    assert request.server_name == "cache.example.com"


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda noise: b"-" + noise + b"\r\n"))
def test_no_answer_confuses_it(noise: bytes) -> None:
    holds_against(redis(), (), noise)


def test_checks_from_equal_blocks_are_equal_and_survive_pickling() -> None:
    assert redis() == redis() == pickle.loads(pickle.dumps(redis()))
    assert redis() != redis(tlsConfig={})
    assert redis().describe("192.0.2.1", 6379) == "redis 192.0.2.1:6379"
