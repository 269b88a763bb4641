"""The check tls against real listeners, and what is told of the dates of certificates, by it and over HTTPS."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extsync.errors import ConfigError
from extsync.health.base import Check, Request
from extsync.health.target import Evidence, Probe, Target
from extsync.model import Health
from tests.health.certificates import Authority, Certificate, server_context
from tests.health.listeners import (
    HALFWAY,
    LONG,
    LOOPBACK,
    SHORT,
    Handler,
    Live,
    answering,
    closing,
    greeting,
    listening,
    nobody,
    resetting,
    silent,
    until,
)
from tests.health.support import handshake, http
from tests.servers.nginx import Nginx

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NOW = datetime.now(UTC)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def old(authority: Authority) -> Certificate:
    return authority.issue_for("old", datetime(2020, 1, 1), datetime(2020, 11, 1, 12))


def trusting(authority: Authority, **tls: Any) -> dict[str, Any]:
    return {"tlsConfig": {"caFile": str(authority.certificate), **tls}}


async def told(probing: Live, check: Check, port: int) -> Evidence:
    """The evidence of one attempt."""
    target = Target("it", (Probe(check, LONG, LOOPBACK, port),), immediate=True)
    probing.prober.upsert([target])
    await until(lambda: probing.prober.verdict("it").health is not Health.UNKNOWN)
    evidence = probing.prober.evidence("it")[0]
    probing.prober.remove(["it"])
    return evidence


# ---- the check -------------------------------------------------------------------------------------------------------


def test_it_asks_for_nothing_but_tls_and_offers_no_protocol() -> None:
    check = handshake(tlsConfig={"serverName": "ldap.example.com"})
    assert check.request("192.0.2.1", 636) == Request(636, tls=check.tls, server_name="ldap.example.com")
    assert handshake().request("192.0.2.1", 636).server_name == "192.0.2.1"
    assert check.tls.protocols == ()
    assert check.describe("2001:db8::1", 636) == "tls [2001:db8::1]:636"
    assert check == pickle.loads(pickle.dumps(check)) != handshake()


def test_a_file_that_cannot_be_used_is_an_error_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tlsConfig: a file cannot be used"):
        handshake(tmp_path, tlsConfig={"caFile": "missing.pem"})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("handler", [silent, greeting(b"220 ready\r\n"), closing])
async def test_a_handshake_passes_whatever_the_server_does_then(
    probing: Live, authority: Authority, good: Certificate, version: ssl.TLSVersion, handler: Handler
) -> None:
    context = server_context(good)
    context.maximum_version = version
    async with listening(handler, tls=context) as port:
        for _ in range(5):
            assert await probing.passes(handshake(**trusting(authority)), port)
        assert await probing.passes(handshake(tlsConfig={"insecureSkipVerify": True}), port)
        reason = await probing.failure(handshake(), port)
        assert reason == "certificate verify failed: unable to get local issuer certificate"
        reason = await probing.failure(handshake(**trusting(authority, serverName="other.example.com")), port)
        assert reason.startswith("certificate verify failed: Hostname mismatch")


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_the_server_thinks_of_the_client_s_certificate_is_part_of_the_handshake(
    probing: Live, authority: Authority, good: Certificate, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(good, clients=authority.certificate)
    context.maximum_version = version
    certificate, key = authority.issue("client")
    stranger, strange_key = Authority(tmp_path, "other").issue("stranger")
    async with listening(silent, tls=context) as port:
        reason = await probing.failure(handshake(**trusting(authority)), port)
        assert reason.startswith(("the server wants a client certificate", "TLS failed: ", "connection "))
        foreign = trusting(authority, certFile=str(stranger), keyFile=str(strange_key))
        reason = await probing.failure(handshake(**foreign), port)
        assert reason.startswith(("the server refuses the client certificate: unknown ca", "connection "))
        assert await probing.passes(handshake(**trusting(authority, certFile=str(certificate), keyFile=str(key))), port)


async def test_each_way_to_fail_in_the_handshake_is_told(probing: Live) -> None:
    check = handshake()
    async with listening(silent) as port:
        assert await probing.failure(check, port, timing=SHORT) == "timed out after 0.2 s in the TLS handshake"
    async with listening(closing) as port:
        assert await probing.failure(check, port) == "connection closed in the TLS handshake"
    async with listening(resetting(after_request=False)) as port:
        assert "(in the TLS handshake)" in await probing.failure(check, port)
    async with listening(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert await probing.failure(check, port) == "the port does not speak TLS"
    async with listening(greeting(os.urandom(5000))) as port:
        assert not await probing.passes(check, port)
    with nobody() as port:
        assert await probing.failure(check, port) == "connection refused"


@pytest.mark.parametrize("tickets", [0, 2])
async def test_a_server_that_only_shook_hands_passes_where_it_shows_that_it_agreed(
    probing: Live, authority: Authority, good: Certificate, tickets: int
) -> None:
    context = server_context(good)
    context.num_tickets = tickets

    def serve() -> None:
        plain, _ = listener.accept()
        with plain, context.wrap_socket(plain, server_side=True) as secure:
            left.wait(30)
            secure.close()

    left = threading.Event()
    with socket.create_server((LOOPBACK, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            check, port = handshake(**trusting(authority)), listener.getsockname()[1]
            if tickets:
                assert await probing.passes(check, port)
            else:
                reason = await probing.failure(check, port, timing=SHORT)
                assert reason == "timed out after 0.2 s in the TLS handshake"
        finally:
            left.set()
            thread.join(30)


# ---- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [handshake, lambda **keys: http(scheme="HTTPS", **keys)], ids=["tls", "httpGet"])
async def test_a_certificate_that_is_not_valid_now_is_told_with_its_date(
    probing: Live, authority: Authority, old: Certificate, make: Callable[..., Check]
) -> None:
    check = make(**trusting(authority))
    async with listening(answering(OK), tls=server_context(old)) as port:
        assert await probing.failure(check, port) == "certificate expired 2020-11-01"
    new = authority.issue_for("new", NOW + timedelta(days=40), NOW + timedelta(days=80))
    async with listening(answering(OK), tls=server_context(new)) as port:
        date = (NOW + timedelta(days=40)).date()
        assert await probing.failure(check, port) == f"certificate not valid before {date}"


async def test_where_it_is_the_authority_that_has_expired_that_is_told(probing: Live, folder: Path) -> None:
    root = Authority(folder, "root", span=(datetime(2020, 1, 1), datetime(2020, 11, 1)))
    async with listening(silent, tls=server_context(root.issue("signed"))) as port:
        reason = await probing.failure(handshake(tlsConfig={"caFile": str(root.certificate)}), port)
        assert reason == "certificate expired: not the server's own, but one that vouches for it"


async def test_where_the_second_look_fails_the_failure_is_told_without_a_date(
    probing: Live, authority: Authority, old: Certificate
) -> None:
    for later in (silent, closing, resetting(after_request=False), greeting(b"220 ready\r\n")):
        context = server_context(old)
        seen: list[int] = []

        async def turn(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            later: Handler = later,
            context: ssl.SSLContext = context,
            seen: list[int] = seen,
        ) -> None:
            seen.append(1)
            if len(seen) > 1:
                await later(reader, writer)
                return
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = context.wrap_bio(incoming, outgoing, server_side=True)
            while data := await reader.read(65536):
                incoming.write(data)
                try:
                    session.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    return
                writer.write(outgoing.read())

        async with listening(turn) as port:
            timing = HALFWAY if later is silent else LONG
            reason = await probing.failure(handshake(**trusting(authority)), port, timing=timing)
            assert reason in (
                "certificate expired",
                "timed out after 1 s in the TLS handshake again: certificate expired",
            )
            assert len(seen) == 2


@pytest.mark.parametrize("make", [handshake, lambda **keys: http(scheme="HTTPS", **keys)], ids=["tls", "httpGet"])
async def test_a_certificate_that_expires_soon_passes_with_a_note(
    probing: Live, authority: Authority, good: Certificate, make: Callable[..., Check]
) -> None:
    last = NOW + timedelta(days=8, hours=1)
    soon = authority.issue_for("soon", NOW - timedelta(days=80), last)
    async with listening(answering(OK), tls=server_context(soon)) as port:
        evidence = await told(probing, make(**trusting(authority)), port)
        assert (evidence.reason, evidence.note) == ("passed", f"certificate expires {last.date()} (in 8 days)")
    async with listening(answering(OK), tls=server_context(good)) as port:
        assert (await told(probing, make(**trusting(authority)), port)).note == ""


async def test_a_certificate_that_is_accepted_although_it_has_expired_passes_with_a_note(
    probing: Live, old: Certificate
) -> None:
    async with listening(silent, tls=server_context(old)) as port:
        evidence = await told(probing, handshake(tlsConfig={"insecureSkipVerify": True}), port)
        assert (evidence.reason, evidence.note) == ("passed", "certificate expired 2020-11-01")


# ---- a real server ---------------------------------------------------------------------------------------------------


async def test_nginx_is_probed_by_handshake_and_by_https(
    probing: Live, make_nginx: Callable[..., Nginx], authority: Authority, good: Certificate, old: Certificate
) -> None:
    nginx = make_nginx("location = /healthz { return 200 'fine'; }", tls=good)
    port = int(nginx.https_url.rpartition(":")[2])
    for _ in range(20):
        assert await probing.passes(handshake(**trusting(authority)), port)
    secure = http(scheme="HTTPS", path="/healthz", expectedBody="fine", **trusting(authority))
    assert await probing.passes(secure, port)
    assert "SSL_do_handshake() failed" not in nginx.log.read_text()
    plain = int(nginx.url.rpartition(":")[2])
    assert await probing.failure(handshake(), plain) == "the port does not speak TLS"
    stale = make_nginx(tls=old)
    reason = await probing.failure(handshake(**trusting(authority)), int(stale.https_url.rpartition(":")[2]))
    assert reason == "certificate expired 2020-11-01"
