"""The messages of gRPC's health service, held against those of its own library."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.grpc_message import Malformed, code, failure, request, serving_status, status_name


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


@given(st.text(max_size=400))
def test_a_request_is_what_the_library_would_send(service: str) -> None:
    assert request(service) == framed(health_pb2.HealthCheckRequest(service=service).SerializeToString())


@pytest.mark.parametrize("name", ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"])
def test_every_status_is_read_and_named(name: str) -> None:
    status = health_pb2.HealthCheckResponse.ServingStatus.Value(name)
    body = framed(health_pb2.HealthCheckResponse(status=status).SerializeToString())
    assert serving_status(body) == status
    assert status_name(status) == name


def test_fields_that_a_later_version_may_add_are_passed_over() -> None:
    body = framed(b"\x12\x02hi" + b"\x08\x02" + b"\x1d1234" + b"\x2112345678" + b"\x30\x05" + b"\x08\x01")
    assert serving_status(body) == 1
    assert status_name(77) == "status 77"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the answer is not one message"),
        (b"\0\0\0\0", "the answer is not one message"),
        (framed(b"\x08\x01") + b"\0", "the answer is not one message"),
        (framed(b"\x08\x01")[:-1], "the answer is not one message"),
        (framed(b"\x08\x01", flag=1), "the answer is compressed, which was not offered"),
        (framed(b"\x08"), "the answer is no health status: '\\x08'"),
        (framed(b"\x08" + b"\xff" * 20), "the answer is no health status"),
        (framed(b"\x12\x7fx"), "the answer is no health status"),
        (framed(b"\x0b"), "the answer is no health status"),
        (framed(b"\x12\x00" * 4000), "the answer is longer than 4096 bytes"),
    ],
)
def test_what_is_no_answer_is_told(body: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        serving_status(body)
    assert reason in str(caught.value)


@given(st.binary(max_size=40))
def test_garbage_is_a_status_or_malformed(message: bytes) -> None:
    try:
        assert serving_status(framed(message)) >= 0
    except Malformed:
        return


def test_failures_are_named_with_what_the_server_says_decoded_and_bounded() -> None:
    assert failure(14, b"") == "UNAVAILABLE"
    assert failure(14, b"no%20backend%0A%E2%9C%93%zz") == "UNAVAILABLE: no backend \N{CHECK MARK}%zz"
    assert failure(99, b"x" * 10_000) == "grpc-status 99: " + "x" * 160 + "..."


@pytest.mark.parametrize("text", [b"", b"-1", b"+1", b"1.0", b"9999999999", b"ok", "٣".encode()])
def test_a_status_that_is_no_number_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed, match="grpc-status"):
        code(text)
