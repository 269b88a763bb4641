"""The client against real listeners that answer well, badly, slowly or not at all."""

from __future__ import annotations

import asyncio
import gzip
import traceback
from typing import Any

import pytest

from extsync.errors import ReadFailed
from extsync.sources.client.exchange import MAX_LINE
from tests.health.listeners import (
    LOOPBACK,
    Handler,
    answering,
    closing,
    endless,
    greeting,
    listening,
    nobody,
    resetting,
    silent,
)
from tests.sources.client.support import (
    LIMIT,
    OK,
    Asked,
    client,
    failure,
    get,
    headers_of,
    redirect,
    stalling,
    trickling,
)
from tests.sources.support import GENEROUS

pytestmark = pytest.mark.sockets

SHORT = 0.2
"""Seconds for what only the deadline can end."""


def url(port: int, path: str = "/sd?token=hunter2") -> str:
    return f"http://{LOOPBACK}:{port}{path}"


async def reason(handler: Handler, *, timeout: float | None = None) -> str:
    """Why a listener gives no answer, without the URL that the text begins with."""
    async with listening(handler) as port:
        told = await (failure(url(port)) if timeout is None else failure(url(port), timeout=timeout))
        prefix = f"http://{LOOPBACK}:{port}/sd?...: "
        assert told.startswith(prefix)
        return told.removeprefix(prefix).replace(f"{LOOPBACK}:{port}", "HOST")


# ---- answers -------------------------------------------------------------------------------------------------------


async def test_an_answer_is_given_as_it_is_whatever_its_status() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nX-Consul-Index: 7\r\nContent-Length: 5\r\n\r\nnever"
    async with listening(answering(answer)) as port:
        reply = await get(url(port))
    assert (reply.status, reply.body, reply.headers["x-consul-index"]) == (404, b"never", "7")
    assert reply.url == url(port)


async def test_a_body_without_a_length_and_in_chunks_is_read_to_its_end() -> None:
    async with listening(answering(b"HTTP/1.1 200 OK\r\n\r\nto the end")) as port:
        assert (await get(url(port))).body == b"to the end"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nto \r\n7\r\nthe end\r\n0\r\n\r\n"
    async with listening(answering(chunked)) as port:
        assert (await get(url(port))).body == b"to the end"


async def test_requests_share_a_connection() -> None:
    asked = Asked(OK)
    connections = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await asked(reader, writer)

    async with listening(counting) as port, client() as made:
        for _ in range(3):
            await made.get(url(port), timeout=30)
        assert (len(asked.heads), connections) == (3, 1)


async def test_a_connection_that_the_server_has_closed_in_the_meantime_is_made_again() -> None:
    async with listening(answering(OK)) as port, client() as made:
        for _ in range(3):
            assert (await made.get(url(port), timeout=30)).body == b"ok"


@pytest.mark.parametrize("resend", [True, False])
async def test_a_request_whose_connection_is_lost_is_sent_again_only_where_it_may_be(resend: bool) -> None:
    heads = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        while True:
            await reader.readuntil(b"\r\n\r\n")
            heads += 1
            if heads == 2:
                return
            writer.write(OK)

    async with listening(handle) as port, client() as made:
        assert (await made.get(url(port), timeout=GENEROUS, resend=resend)).body == b"ok"
        if resend:
            assert (await made.get(url(port), timeout=GENEROUS)).body == b"ok"
            return
        with pytest.raises(ReadFailed, match="closed the connection without an answer"):
            await made.get(url(port), timeout=GENEROUS, resend=False)
        assert heads == 2


async def test_a_client_that_was_closed_can_be_used_again() -> None:
    async with listening(answering(OK)) as port, client() as made:
        for _ in range(2):
            assert (await made.get(url(port), timeout=30)).body == b"ok"
            await made.close()


async def test_the_request_says_who_asks_and_wants_no_compression() -> None:
    asked = Asked(OK)
    async with listening(asked) as port, client(httpHeaders={"X-Team": "shop", "User-Agent": "me"}) as made:
        await made.get(url(port, "/a%2Fb?x=%3D"), headers={"Accept": "application/json", "x-team": "?"}, timeout=30)
    assert asked.heads[0].startswith("GET /a%2Fb?x=%3D HTTP/1.1\r\n")
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["accept"] == "application/json"
    assert asked.heads[0].lower().count("x-team: ") == 1
    assert (asked.headers["x-team"], asked.headers["user-agent"]) == ("shop", "me")


# ---- no answer -----------------------------------------------------------------------------------------------------


async def test_a_port_that_nobody_listens_on_is_told() -> None:
    with nobody() as port:
        told = await failure(url(port))
    address = f"{LOOPBACK}:{port}"
    assert told == (
        f"http://{address}/sd?...: cannot connect to {address} (connection refused): "
        "does the server run, and on this port?"
    )


async def test_a_name_that_does_not_exist_is_told() -> None:
    assert "the name 'no.such.invalid' cannot be resolved (" in await failure("http://no.such.invalid/")
    assert "cannot be the name of a host" in await failure(f"http://{'a' * 64}.invalid/")
    assert "is not a URL that begins with http:// or https://" in await failure("ftp://192.0.2.1/")


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (closing, "HOST closed the connection without an answer: if it speaks TLS, begin the URL with https://"),
        (resetting(after_request=True), "HOST closed the connection without an answer (connection reset by peer): if"),
        (answering(b"\x00\x01\xff\r\n\r\n"), "HOST does not speak proper HTTP (Bad status line"),
        (greeting(b"SSH-2.0-OpenSSH_9.2\r\n"), "HOST does not speak proper HTTP (Bad status line"),
        (answering(b"\x15\x03\x03\x00\x02\x02\x0a"), "HOST speaks TLS: begin the URL with https://"),
        (
            answering(b"HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"),
            "HOST speaks TLS: begin the URL with https://",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n"),
            "HOST does not speak proper HTTP (Duplicate Content-Length",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "HOST does not speak proper HTTP (",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
            "HOST broke off the connection while reading the answer, after 3 of 100 bytes",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            "HOST broke off the connection while reading the answer, after 2 bytes",
        ),
        (
            resetting(after_request=True, start=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
            "HOST broke off the connection while ",
        ),
    ],
)
async def test_each_way_to_break_off_or_to_speak_something_else_is_told(handler: Handler, told: str) -> None:
    assert (await reason(handler)).startswith(told)


# ---- too much ------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_announced_to_be_too_long_is_not_read() -> None:
    told = await reason(answering(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\nabc".encode()))
    assert told == f"the answer has 1,073,741,824 bytes, and the limit is {LIMIT:,}"


async def test_a_body_without_end_is_cut_at_the_limit() -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    assert await reason(handle) == f"the answer has more than {LIMIT:,} bytes, which is the limit"
    assert sent < 64 << 20  # of what could have been for ever: what sockets and buffers hold


async def test_a_body_of_just_the_limit_is_not_too_long() -> None:
    async with listening(answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LIMIT)) as port:
        assert len((await get(url(port))).body) == LIMIT
    await reason(answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1)))


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_LINE * 2 + b"\r\n\r\n"), "Got more than 16384 bytes"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"), "Too many headers"),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "Too many headers"),
        (endless(b"HTTP/1.1 200 ", b"x" * 1000), "Got more than 16384 bytes"),
    ],
)
async def test_headers_are_bounded(handler: Handler, told: str) -> None:
    assert (await reason(handler)).startswith(f"HOST does not speak proper HTTP ({told}")


@pytest.mark.parametrize("encoding", [b"gzip", b"DEFLATE", b"br", b"zstd", b"gzip, gzip"])
async def test_a_compressed_answer_is_refused_and_never_inflated(encoding: bytes) -> None:
    bomb = gzip.compress(b"[" + b" " * 10_000_000 + b"]")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (encoding, len(bomb))
    told = await reason(answering(head + bomb))
    assert told.startswith(
        f"the answer is compressed ('{encoding.decode().lower()}'), and extsync asks for one that is"
    )


# ---- too slow ------------------------------------------------------------------------------------------------------


async def test_a_deadline_says_what_it_waited_for() -> None:
    assert await reason(silent, timeout=SHORT) == (
        "gave no complete answer within 0.2 s (it ended while waiting for the answer)"
    )
    began = stalling(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nabc")
    assert await reason(began, timeout=SHORT) == (
        "gave no complete answer within 0.2 s (it ended while reading the answer, after 3 of 5,000 bytes)"
    )


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "])
async def test_one_deadline_holds_for_a_server_that_drips(start: bytes) -> None:
    assert "gave no complete answer within 0.2 s" in await reason(trickling(start), timeout=SHORT)


async def test_one_deadline_holds_for_all_redirects_together() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(SHORT / 4)
        writer.write(redirect("/again"))

    assert "gave no complete answer within 0.2 s" in await reason(slow, timeout=SHORT)


# ---- redirects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int) -> None:
    async with listening(Asked(redirect("/b?c", status), OK)) as port:
        reply = await get(url(port))
    assert (reply.body, reply.url) == (b"ok", url(port, "/b?c"))


async def test_redirects_are_answers_where_they_are_not_to_be_followed() -> None:
    async with listening(Asked(redirect("/b"), OK)) as port:
        reply = await get(url(port), followRedirects=False)
    assert (reply.status, reply.headers["Location"]) == (302, "/b")


async def test_a_redirect_that_leads_nowhere_is_an_answer() -> None:
    async with listening(answering(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")) as port:
        assert (await get(url(port))).status == 302


async def test_a_loop_of_redirects_ends() -> None:
    asked = Asked(redirect("/again?token=hunter2"))
    async with listening(asked) as port:
        told = await failure(url(port))
    assert told.endswith(f", redirected to http://{LOOPBACK}:{port}/again?...: redirects more than 10 times")
    assert len(asked.heads) == 11


async def test_a_failure_after_a_redirect_names_both_urls() -> None:
    with nobody() as closed:
        async with listening(answering(redirect(url(closed, "/there")))) as port:
            told = await failure(url(port, "/here"))
    assert told.startswith(f"{url(port, '/here')}, redirected to {url(closed, '/there')}: cannot connect to ")


SECRETS: dict[str, Any] = {
    "basicAuth": {"username": "u", "password": "hunter2"},
    "httpHeaders": {"X-Key": "hunter2"},
}


async def test_a_redirect_on_the_same_origin_keeps_credentials() -> None:
    asked = Asked(redirect("/b"), OK)
    async with listening(asked) as port, client(**SECRETS) as made:
        await made.get(url(port), headers={"X-Consul-Token": "hunter2"}, timeout=30)
    assert {"authorization", "x-key", "x-consul-token"} <= asked.headers.keys()


async def test_a_redirect_to_another_origin_loses_credentials_and_they_do_not_come_back() -> None:
    home, foreign = Asked(), Asked()
    async with listening(home) as port, listening(foreign) as other, client(**SECRETS) as made:
        home.answers = [redirect(url(other, "/")), OK]
        foreign.answers = [redirect(url(port, "/back"))]
        sent = {"X-Consul-Token": "hunter2", "If-None-Match": '"1"'}
        assert (await made.get(url(port), headers=sent, timeout=30)).body == b"ok"
    secret = {"authorization", "x-key", "x-consul-token"}
    assert secret <= headers_of(home.heads[0]).keys()
    for head in (foreign.heads[0], home.heads[1]):
        assert "hunter2" not in head
        assert not secret & headers_of(head).keys()
        assert headers_of(head)["if-none-match"] == '"1"'


# ---- proxies -------------------------------------------------------------------------------------------------------


async def test_a_proxy_is_asked_in_the_place_of_the_server() -> None:
    proxy = Asked(OK)
    async with listening(proxy) as port:
        reply = await get("http://inventory.invalid/sd", proxyUrl=f"http://anna:hunter2@{LOOPBACK}:{port}")
    assert reply.body == b"ok"
    assert proxy.heads[0].startswith("GET http://inventory.invalid/sd HTTP/1.1\r\n")
    assert proxy.headers["host"] == "inventory.invalid"
    assert proxy.headers["proxy-authorization"] == "Basic YW5uYTpodW50ZXIy"


async def test_a_proxy_is_asked_for_a_tunnel_to_tls() -> None:
    proxy = Asked(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
    keys: dict[str, Any] = {"authorization": {"credentials": "hunter3"}}
    async with listening(proxy) as port:
        told = await failure("https://inventory.invalid/sd", proxyUrl=f"http://a:hunter2@{LOOPBACK}:{port}", **keys)
    assert proxy.heads[0].startswith("CONNECT inventory.invalid:443 HTTP/1.1\r\n")
    assert proxy.headers["proxy-authorization"] == "Basic YTpodW50ZXIy"
    assert "hunter3" not in proxy.heads[0]
    assert told.startswith(
        "https://inventory.invalid/sd: the proxy wants other credentials (status 407): proxyUrl takes"
    )


async def test_a_proxy_that_does_not_do_its_work_is_told() -> None:
    async with listening(answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")) as port:
        told = await failure("http://inventory.invalid/", proxyUrl=f"http://{LOOPBACK}:{port}")
        assert "the proxy wants other credentials (status 407)" in told
    async with listening(answering(b"HTTP/1.1 403 Not Ours\r\nContent-Length: 0\r\n\r\n")) as port:
        told = await failure("https://inventory.invalid/", proxyUrl=f"http://{LOOPBACK}:{port}")
        assert "the proxy refuses to connect (status 403 'Not Ours')" in told
    with nobody() as port:
        told = await failure("http://inventory.invalid/", proxyUrl=f"http://{LOOPBACK}:{port}")
        assert f"the proxy {LOOPBACK}:{port} cannot be reached (connection refused): check proxyUrl" in told
    async with listening(closing) as port:
        told = await failure("http://inventory.invalid/", proxyUrl=f"http://{LOOPBACK}:{port}")
        assert f"inventory.invalid:80 through the proxy {LOOPBACK}:{port} closed the connection" in told


# ---- secrets -------------------------------------------------------------------------------------------------------


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readuntil(b"\r\n\r\n"))


@pytest.mark.parametrize(
    ("handler", "scheme"),
    [
        (closing, "http"),
        (silent, "http"),
        (echoing, "http"),
        (answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), "http"),
        (answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), "https"),
        (answering(b"HTTP/1.1 200 OK\r\n\r\nno TLS"), "https"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"), "http"),
        (answering(redirect("ftp://u:hunter2@inventory.invalid/?hunter2")), "http"),
    ],
)
async def test_no_failure_tells_a_secret_not_even_in_its_traceback(handler: Handler, scheme: str) -> None:
    async with (
        listening(handler) as port,
        client(**SECRETS, proxyUrl=f"http://u:hunter2@{LOOPBACK}:{port}") as made,
    ):
        with pytest.raises(ReadFailed) as failed:
            await made.get(
                f"{scheme}://inventory.invalid/?token=hunter2", headers={"X-Consul-Token": "hunter2"}, timeout=SHORT
            )
    assert "hunter2" not in "".join(traceback.format_exception(failed.value))
    error: BaseException | None = failed.value
    while error is not None:
        assert "hunter2" not in repr(error)
        error = error.__cause__


async def test_a_question_is_sent_with_its_body_and_all_that_goes_with_it_and_stays_at_home() -> None:
    asked = Asked(redirect("/elsewhere", 307))
    bodies: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.heads.append(head.decode())
        bodies.append(await reader.readexactly(int(asked.headers["content-length"])))
        writer.write(asked.answers[0])
        await writer.drain()

    async with listening(handle) as port, client(httpHeaders={"X-Team": "shop"}) as made:
        reply = await made.post(url(port), body=b'{"a": 1}', headers={"X-Consul-Token": "t"}, timeout=GENEROUS)
    assert reply.status == 307
    assert bodies == [b'{"a": 1}']
    assert asked.heads[0].startswith("POST /sd?token=hunter2 HTTP/1.1")
    sent = asked.headers
    assert (sent["content-type"], sent["x-team"], sent["x-consul-token"]) == ("application/json", "shop", "t")


async def test_a_question_that_nobody_answers_is_given_up() -> None:
    async with listening(stalling(b"")) as port, client() as made:
        with pytest.raises(ReadFailed, match=r"gave no complete answer within 0\.1 s"):
            await made.post(url(port), body=b"{}", timeout=0.1)
