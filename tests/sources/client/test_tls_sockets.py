"""HTTPS against real listeners with good, wrong and no certificates."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.health.certificates import Authority, server_context
from tests.health.listeners import LOOPBACK, answering, closing, greeting, listening
from tests.sources.client.support import OK, Asked, client, failure, get, redirect

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    """What a server needs that all is well with."""
    return server_context(authority.issue("good"))


def trusting(folder: Path, **keys: Any) -> dict[str, Any]:
    return {"base_dir": folder, "tlsConfig": {"caFile": "ca.pem", **keys}}


def url(port: int, host: str = LOOPBACK) -> str:
    return f"https://{host}:{port}/"


async def test_a_certificate_of_the_given_authority_is_accepted(folder: Path, good: ssl.SSLContext) -> None:
    async with listening(answering(OK), tls=good) as port:
        assert (await get(url(port), **trusting(folder))).body == b"ok"
        assert (await get(url(port), tlsConfig={"insecureSkipVerify": True})).body == b"ok"


async def test_an_expired_certificate_is_told_with_its_date(folder: Path, authority: Authority) -> None:
    certificate = authority.issue("old", days=0)
    expired_at = ssl.cert_time_to_seconds(_not_after(certificate[0]))
    asked = Asked(OK)
    async with listening(asked, tls=server_context(certificate)) as port:
        told = await failure(url(port), **trusting(folder))
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expired_at))
    assert told == (f"{url(port)}: the certificate of {LOOPBACK}:{port} expired at {date}: it has to be renewed there")
    assert asked.heads == []  # it was looked at twice, and nothing was said to it


def _not_after(certificate: Path) -> str:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]


async def test_a_certificate_of_nobody_known_is_told_with_the_cure(folder: Path, good: ssl.SSLContext) -> None:
    async with listening(answering(OK), tls=good) as port:
        told = await failure(url(port))
    assert "is of an authority that is not trusted (unable to get local issuer certificate)" in told
    assert told.endswith("name the authority's certificate in tlsConfig.caFile")


async def test_a_self_signed_certificate_is_told_with_the_cure(folder: Path, tmp_path: Path) -> None:
    alone = Authority(tmp_path, "alone")
    context = server_context((alone.certificate, alone.certificate.with_suffix(".key")))
    async with listening(answering(OK), tls=context) as port:
        assert "is of an authority that is not trusted (self-signed certificate)" in await failure(
            url(port), **trusting(folder)
        )


async def test_a_certificate_for_another_name_is_told_with_the_cure(folder: Path, authority: Authority) -> None:
    context = server_context(authority.issue("named", names="DNS:shop.example.com"))
    async with listening(answering(OK), tls=context) as port:
        told = await failure(url(port), **trusting(folder))
        assert "is for another name (IP address mismatch, certificate is not valid for '127.0.0.1')" in told
        assert told.endswith("or set tlsConfig.serverName to one")
        told = await failure(url(port), **trusting(folder, serverName="other.example.com"))
        assert "is for another name (Hostname mismatch, certificate is not valid for 'other.example.com')" in told
        assert (await get(url(port), **trusting(folder, serverName="shop.example.com"))).body == b"ok"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown_where_one_is_given(
    folder: Path, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = server_context(authority.issue("server"), clients=authority.certificate)
    context.maximum_version = version
    authority.issue("client")
    keys = trusting(folder, certFile="client.pem", keyFile="client.key")
    async with listening(answering(OK), tls=context) as port:
        assert (await get(url(port), **keys)).body == b"ok"
        assert re.search("client certificate|in the TLS handshake", await failure(url(port), **trusting(folder)))


async def test_a_redirect_to_another_origin_is_shown_no_client_certificate_and_asked_by_its_own_name(
    folder: Path, authority: Authority, good: ssl.SSLContext
) -> None:
    authority.issue("client")
    picky = server_context(authority.issue("picky"), clients=authority.certificate)
    keys = trusting(folder, certFile="client.pem", keyFile="client.key", serverName="shop.example.com")
    named = server_context(authority.issue("named", names="DNS:shop.example.com"))
    async with listening(Asked(OK), tls=good) as elsewhere, listening(Asked(OK), tls=picky) as closed:
        async with listening(answering(redirect(url(elsewhere))), tls=named) as port:
            assert (await get(url(port), **keys)).body == b"ok"
        async with listening(answering(redirect(url(closed))), tls=named) as port:
            await failure(url(port), **keys)


async def test_a_replaced_authority_and_a_client_certificate_count_from_the_next_request_on(
    authority: Authority, good: ssl.SSLContext, tmp_path: Path
) -> None:
    shutil.copy(Authority(tmp_path, "other").certificate, tmp_path / "trusted.pem")
    async with (
        listening(answering(OK), tls=good) as port,
        client(tmp_path, tlsConfig={"caFile": "trusted.pem"}) as made,
    ):
        with pytest.raises(Exception, match="not trusted"):
            await made.get(url(port), timeout=30)
        shutil.copy(authority.certificate, tmp_path / "trusted.pem")
        assert (await made.get(url(port), timeout=30)).body == b"ok"
        (tmp_path / "trusted.pem").unlink()
        with pytest.raises(Exception, match=r"was not asked: .*trusted\.pem: there is no such file"):
            await made.get(url(port), timeout=30)


async def test_a_port_without_tls_is_named_as_such(folder: Path) -> None:
    async with listening(greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        told = await failure(url(port), **trusting(folder))
        assert told.endswith(
            f"{LOOPBACK}:{port} does not speak TLS: if plain HTTP is meant, begin the URL with http://"
        )
    async with listening(closing) as port:
        assert "closed the connection in the TLS handshake: does it speak TLS?" in await failure(url(port))


async def test_a_tunnel_through_a_proxy_ends_at_the_server(folder: Path, authority: Authority) -> None:
    """The proxy sees CONNECT and bytes; certificate and name are those of the server."""
    server = Asked(OK)
    context = server_context(authority.issue("behind", names="DNS:inventory.invalid"))
    async with listening(server, tls=context) as hidden:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"CONNECT inventory.invalid:443 ")
            behind_reader, behind_writer = await asyncio.open_connection(LOOPBACK, hidden)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))

        async with listening(tunnel) as port:
            proxy = f"http://{LOOPBACK}:{port}"
            keys = trusting(folder) | {"proxyUrl": proxy, "authorization": {"credentials": "t0ken"}}
            assert (await get("https://inventory.invalid/sd", **keys)).body == b"ok"
    assert server.headers["authorization"] == "Bearer t0ken"
    assert "proxy-authorization" not in server.headers
