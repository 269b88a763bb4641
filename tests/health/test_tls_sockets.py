"""HTTPS against real listeners with good, wrong and no certificates."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extsync.health.http import HttpCheck
from tests.health.certificates import Authority, Certificate, server_context
from tests.health.listeners import HALFWAY, SHORT, Live, answering, closing, greeting, listening, resetting, silent
from tests.health.support import http

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def https(authority: Authority, **tls: Any) -> HttpCheck:
    """A check that trusts the authority."""
    return http(scheme="HTTPS", tlsConfig={"caFile": str(authority.certificate), **tls})


async def test_a_certificate_of_the_given_authority_is_accepted(
    probing: Live, authority: Authority, good: Certificate
) -> None:
    async with listening(answering(OK), tls=server_context(good)) as port:
        assert await probing.passes(https(authority), port)
        assert await probing.passes(http(scheme="HTTPS", tlsConfig={"insecureSkipVerify": True}), port)
        body = http(scheme="HTTPS", tlsConfig={"caFile": str(authority.certificate)}, expectedBody="ok")
        assert await probing.passes(body, port)


async def test_a_certificate_that_nobody_vouches_for_is_refused(probing: Live, good: Certificate) -> None:
    async with listening(answering(OK), tls=server_context(good)) as port:
        reason = await probing.failure(http(scheme="HTTPS"), port)
        assert reason == "certificate verify failed: unable to get local issuer certificate"


async def test_a_self_signed_certificate_is_refused_unless_verification_is_off(probing: Live, folder: Path) -> None:
    alone = Authority(folder, "alone")
    context = server_context((alone.certificate, alone.certificate.with_suffix(".key")))
    async with listening(answering(OK), tls=context) as port:
        assert await probing.failure(http(scheme="HTTPS"), port) == (
            "certificate verify failed: self-signed certificate"
        )
        assert await probing.passes(http(scheme="HTTPS", tlsConfig={"insecureSkipVerify": True}), port)


async def test_an_expired_certificate_is_refused(probing: Live, authority: Authority) -> None:
    async with listening(answering(OK), tls=server_context(authority.issue("old", days=0))) as port:
        assert await probing.failure(https(authority), port) == f"certificate expired {datetime.now(UTC):%Y-%m-%d}"


async def test_the_certificate_must_be_for_the_address_or_the_server_name(probing: Live, authority: Authority) -> None:
    context = server_context(authority.issue("named", names="DNS:shop.example.com"))
    async with listening(answering(OK), tls=context) as port:
        reason = await probing.failure(https(authority), port)
        assert reason.startswith("certificate verify failed: IP address mismatch")
        reason = await probing.failure(https(authority, serverName="other.example.com"), port)
        assert reason.startswith("certificate verify failed: Hostname mismatch")
        assert await probing.passes(https(authority, serverName="shop.example.com"), port)
        tls = {"caFile": str(authority.certificate)}
        assert await probing.passes(http(scheme="HTTPS", host="shop.example.com", tlsConfig=tls), port)


async def test_a_client_certificate_is_shown_where_one_is_given(
    probing: Live, authority: Authority, good: Certificate
) -> None:
    context = server_context(good, clients=authority.certificate)
    certificate, key = authority.issue("client")
    async with listening(answering(OK), tls=context) as port:
        reason = await probing.failure(https(authority), port)
        assert reason.startswith(("the server wants a client certificate", "connection "))
        assert await probing.passes(https(authority, certFile=str(certificate), keyFile=str(key)), port)


async def test_a_replaced_authority_file_counts_from_the_next_probe_on(
    probing: Live, authority: Authority, tmp_path: Path, good: Certificate
) -> None:
    other = Authority(tmp_path, "other")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(other.certificate, trusted)
    check = http(scheme="HTTPS", tlsConfig={"caFile": str(trusted)})
    async with listening(answering(OK), tls=server_context(good)) as port:
        assert not await probing.passes(check, port)
        shutil.copy(authority.certificate, tmp_path / "new.pem")
        os.replace(tmp_path / "new.pem", trusted)
        assert await probing.passes(check, port)
        trusted.unlink()
        assert await probing.passes(check, port)  # the last good one stays


async def test_a_port_without_tls_is_named_as_such(probing: Live) -> None:
    async with listening(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert await probing.failure(http(scheme="HTTPS"), port) == "the port does not speak TLS"


async def test_http_to_a_tls_port_is_named_as_such(probing: Live) -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x0a"  # fatal, unexpected message
    async with listening(answering(alert)) as port:
        assert await probing.failure(http(), port) == "the port speaks TLS, not plain HTTP"


async def test_each_way_to_fail_in_the_handshake_is_told(probing: Live) -> None:
    check = http(scheme="HTTPS")
    async with listening(silent) as port:
        assert await probing.failure(check, port, timing=SHORT) == "timed out after 0.2 s in the TLS handshake"
    async with listening(closing) as port:
        assert await probing.failure(check, port) == "connection closed in the TLS handshake"
    async with listening(resetting(after_request=False)) as port:
        assert await probing.failure(check, port) in (
            "connection reset by peer (in the TLS handshake)",
            "broken pipe (in the TLS handshake)",
        )
    async with listening(greeting(os.urandom(5000))) as port:
        assert not await probing.passes(check, port)


async def test_a_server_that_is_silent_after_the_handshake_times_out(
    probing: Live, authority: Authority, good: Certificate
) -> None:
    async with listening(silent, tls=server_context(good)) as port:
        reason = await probing.failure(https(authority), port, timing=HALFWAY)
        assert reason == "timed out after 1 s waiting for headers"


async def test_a_server_that_closes_after_the_handshake_fails(
    probing: Live, authority: Authority, good: Certificate
) -> None:
    async with listening(closing, tls=server_context(good)) as port:
        assert await probing.failure(https(authority), port) == "connection closed without an answer"


async def test_a_long_answer_over_many_records_is_read(probing: Live, authority: Authority, good: Certificate) -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 60_000 + b"fine"
    tls = {"caFile": str(authority.certificate)}
    async with listening(answering(answer), tls=server_context(good)) as port:
        assert await probing.passes(http(scheme="HTTPS", tlsConfig=tls, expectedBody="fine"), port)


async def test_a_redirect_from_http_to_https_is_followed_and_verified(probing: Live, good: Certificate) -> None:
    async with listening(answering(OK), tls=server_context(good)) as secure:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 308 Moved\r\nLocation: https://127.0.0.1:{secure}/\r\n\r\n".encode())

        async with listening(redirect) as port:
            assert await probing.failure(http(), port) == (
                "certificate verify failed: unable to get local issuer certificate (after 1 redirect)"
            )
