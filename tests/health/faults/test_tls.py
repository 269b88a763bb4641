"""TLS that is not what it should be; certificates that are wrong are tested with the check tls and with HTTPS."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from extsync.health.base import Check
from tests.health.faults.kinds import Kinds
from tests.health.faults.test_http import bounded_memory
from tests.health.listeners import LONG, SHORT, Live, answering, endless, listening, silent
from tests.health.support import handshake, http, mysql, postgres, redis, tcp

pytestmark = pytest.mark.sockets

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
HANDSHAKE = b"\x16\x03\x03"
ALERT = b"\x15\x03\x03"


@pytest.mark.parametrize("version", VERSIONS)
async def test_http_on_a_port_of_tls_is_told(probing: Live, kinds: Kinds, version: ssl.TLSVersion) -> None:
    async with listening(silent, tls=kinds.context(version)) as port:
        assert await probing.failure(http(), port) in (
            "the port speaks TLS, not plain HTTP",
            "connection closed without an answer",  # where the server says no word about it
            "connection reset by peer (waiting for headers)",
        )


async def test_tls_on_a_port_of_http_is_told_where_the_server_answers_at_all(probing: Live) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    for check in (http(scheme="HTTPS"), handshake()):
        async with listening(refuse) as port:
            assert await probing.failure(check, port) == "the port does not speak TLS"
        async with listening(answering(OK)) as port:  # which waits for the end of the headers
            assert await probing.failure(check, port, timing=SHORT) == "timed out after 0.2 s in the TLS handshake"


async def test_databases_and_plain_tcp_on_a_port_of_tls_fail(probing: Live, kinds: Kinds) -> None:
    checks: list[Check] = [postgres(), redis(), mysql(), tcp(send="?\r\n\r\n", expect="!")]
    async with listening(silent, tls=kinds.context()) as port:
        for check in checks:
            timing = SHORT if isinstance(check, type(mysql())) else LONG  # both wait for the other to begin
            assert await probing.failure(check, port, timing=timing)


@pytest.mark.parametrize(
    "piece",
    [
        HANDSHAKE + b"\x40\x00" + b"\x02\xff\xff\xff" + b"x" * 16380,
        (HANDSHAKE + b"\x00\x04" + b"\x00\x00\x00\x00") * 1000,
        HANDSHAKE + b"\x00\x00",
        ALERT + b"\x00\x02\x01\x5a",
        b"\x14\x03\x03\x00\x01\x01",
        b"\x17\x03\x03\x40\x00" + b"x" * 16384,
        b"\x17\x03\x03\xff\xff" + b"x" * 65535,
    ],
    ids=["long message", "hello requests", "empty", "warnings", "cipher changes", "application data", "long record"],
)
@pytest.mark.parametrize("check", [handshake(), http(scheme="HTTPS")], ids=["tls", "https"])
async def test_a_handshake_without_end_fails(probing: Live, check: Check, piece: bytes) -> None:
    with bounded_memory():
        async with listening(endless(b"", piece)) as port:
            reason = await probing.failure(check, port)
            assert reason.startswith(
                ("TLS failed: ", "the port does not speak TLS", "TLS takes more than 1048576 bytes")
            )


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_has_no_end_behind_tls_is_bounded_too(probing: Live, kinds: Kinds, version: ssl.TLSVersion) -> None:
    trusting = {"caFile": str(kinds.authority.certificate)}
    context = kinds.context(version)
    check = http(scheme="HTTPS", tlsConfig=trusting)
    with bounded_memory():
        async with listening(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500), tls=context) as port:
            assert await probing.failure(check, port) == "the headers are longer than 32768 bytes"
        async with listening(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000), tls=context) as port:
            body = http(scheme="HTTPS", tlsConfig=trusting, expectedBody="y")
            assert "first 65536 bytes" in await probing.failure(body, port)
            assert await probing.passes(check, port)
            assert await probing.passes(handshake(tlsConfig=trusting), port)


async def test_versions_and_ciphers_in_which_both_sides_do_not_meet_are_told(probing: Live, kinds: Kinds) -> None:
    context = kinds.context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    async with listening(silent, tls=context) as port:
        reason = await probing.failure(handshake(), port)
        assert reason.startswith(("TLS failed: ", "certificate verify failed: "))
