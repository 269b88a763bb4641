from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync import __version__
from extsync.config.checks import HttpGet
from extsync.errors import ConfigError
from extsync.health.base import PASSED, Failed, Follow, Result
from extsync.health.http import HttpCheck
from tests.health.support import HOST, PORT, context, http

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def judged(data: bytes, *, eof: bool = False, **block: Any) -> Result | None:
    check = http(**block)
    return check.judge(check.request(HOST, PORT), data, eof)


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", *headers, ""))
    return lines.encode() + body


def lines(data: bytes) -> list[str]:
    return data.decode().split("\r\n")


def test_the_request_is_what_kubelet_sends_under_our_own_name() -> None:
    request = http(path="/healthz?deep=1").request("192.0.2.1", 8080)
    assert lines(request.data) == [
        "GET /healthz?deep=1 HTTP/1.1",
        "Host: 192.0.2.1:8080",
        f"User-Agent: extsync/{__version__}",
        "Accept: */*",
        "Connection: close",
        "",
        "",
    ]
    assert (request.port, request.listens, request.tls) == (8080, True, None)


@pytest.mark.parametrize(
    ("host", "port", "block", "expected"),
    [
        ("192.0.2.1", 80, {}, "192.0.2.1"),
        ("192.0.2.1", 443, {}, "192.0.2.1:443"),
        ("192.0.2.1", 443, {"scheme": "HTTPS"}, "192.0.2.1"),
        ("2001:db8::1", 8080, {}, "[2001:db8::1]:8080"),
        ("2001:db8::1", 80, {}, "[2001:db8::1]"),
        ("192.0.2.1", 80, {"host": "shop.example.com"}, "shop.example.com"),
        ("192.0.2.1", 8080, {"host": "shop.example.com"}, "shop.example.com:8080"),
        ("192.0.2.1", 8080, {"httpHeaders": [{"name": "host", "value": "other"}]}, "other"),
    ],
)
def test_the_host_header_names_what_is_asked_for(host: str, port: int, block: dict[str, Any], expected: str) -> None:
    assert lines(http(**block).request(host, port).data)[1] == f"Host: {expected}"


def test_own_headers_replace_ours_and_an_empty_accept_removes_it() -> None:
    headers = [
        {"name": "User-Agent", "value": "mine"},
        {"name": "Accept", "value": ""},
        {"name": "X-Twice", "value": "a"},
        {"name": "X-Twice", "value": "b"},
    ]
    assert lines(http(httpHeaders=headers).request(HOST, PORT).data)[2:] == [
        "Connection: close",
        "User-Agent: mine",
        "X-Twice: a",
        "X-Twice: b",
        "",
        "",
    ]


def test_the_method_is_sent_and_a_fragment_is_not() -> None:
    assert lines(http(method="HEAD", path="/a#b").request(HOST, PORT).data)[0] == "HEAD /a HTTP/1.1"


def test_secrets_in_headers_come_from_the_environment_and_show_nowhere() -> None:
    block = HttpGet.model_validate(
        {"port": 80, "path": "/x?token=hunter1", "httpHeaders": [{"name": "Authorization", "value": "Bearer ${TOKEN}"}]}
    )
    check = HttpCheck(block, context(TOKEN="hunter2"))
    assert "Authorization: Bearer hunter2" in lines(check.request(HOST, PORT).data)
    assert "hunter" not in repr(check) + check.describe(HOST, PORT)
    with pytest.raises(ConfigError, match="TOKEN"):
        HttpCheck(block, context())
    with pytest.raises(ConfigError, match="line break"):
        HttpCheck(block, context(TOKEN="a\r\nX-Evil: b"))


def test_a_tls_file_that_cannot_be_used_is_reported_when_the_check_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tlsConfig"):
        http(tmp_path, scheme="HTTPS", tlsConfig={"caFile": "missing.pem"})
    (tmp_path / "garbage.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="tlsConfig"):
        http(tmp_path, scheme="HTTPS", tlsConfig={"caFile": "garbage.pem"})


@pytest.mark.parametrize("status", [200, 204, 302, 399])
def test_any_status_from_200_to_399_passes_as_soon_as_the_headers_are_complete(status: int) -> None:
    data = answer(status, "Content-Length: 1000")
    assert judged(data[:-1]) is None
    assert judged(data) is PASSED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (answer(503), "503, expected 200-399"),
        (answer(101), "101, expected 200-399"),
        (b"SSH-2.0-x\r\n", "not an HTTP/1.1 answer: it begins with 'SSH-2.0-x\\r\\n'"),
    ],
)
def test_anything_else_fails_in_words(data: bytes, reason: str) -> None:
    assert judged(data) == Failed(reason)


def test_expected_statuses_replace_the_default_range() -> None:
    block: dict[str, Any] = {"expectedStatuses": ["200", "401-403"]}
    assert judged(answer(403), **block) is PASSED
    assert judged(answer(204), **block) == Failed("204, expected 200, 401-403")


def test_a_connection_that_ends_too_early_fails() -> None:
    assert judged(b"", eof=True) == Failed("connection closed without an answer")
    assert judged(b"HTTP/1.1 200 OK\r\n", eof=True) == Failed("connection closed in the headers")


def test_informational_answers_are_skipped() -> None:
    assert judged(answer(100)) is None
    assert judged(answer(100) + answer(500)) == Failed("500, expected 200-399")


def test_the_expected_text_is_looked_for_in_the_body_only() -> None:
    block: dict[str, Any] = {"expectedBody": "fine"}
    head = answer(200, "X: fine", "Content-Length: 9")
    assert judged(head, **block) is None
    assert judged(head + b"all fin", **block) is None
    assert judged(head + b"all fine!", **block) is PASSED
    assert judged(head + b"all bad!!", **block) == Failed("200, but the body does not contain the expected text")
    assert judged(answer(503, body=b"fine"), **block) == Failed("503, expected 200-399")


def test_the_expected_text_may_be_split_over_chunks() -> None:
    data = answer(200, "Transfer-Encoding: chunked", body=b"2\r\nfi\r\n2\r\nne\r\n")
    assert judged(data, expectedBody="fine") is PASSED


def test_an_endless_body_is_judged_by_its_first_64_kib() -> None:
    data = answer(200, body=b"x" * 65_536 + b"fine")
    assert judged(data, expectedBody="fine") == Failed(
        "200, but the first 65536 bytes of the body does not contain the expected text"
    )


def redirect(location: str, *, status: int = 302, host: str = HOST, port: int = PORT, **block: Any) -> Result | None:
    check = http(**block)
    return check.judge(check.request(host, port), answer(status, f"Location: {location}"), False)


@pytest.mark.parametrize(
    ("location", "port", "line", "host"),
    [
        ("/login", 80, "GET /login HTTP/1.1", HOST),
        ("login?next=%2F", 80, "GET /a/login?next=%2F HTTP/1.1", HOST),
        ("?x=1", 80, "GET /a/b?x=1 HTTP/1.1", HOST),
        ("//192.0.2.1:8080", 8080, "GET / HTTP/1.1", f"{HOST}:8080"),
        ("http://192.0.2.1:81/x y\t#top", 81, "GET /x%20y%09 HTTP/1.1", f"{HOST}:81"),
        ("/gr\u00fcn", 80, "GET /gr%C3%BCn HTTP/1.1", HOST),
    ],
)
def test_a_redirect_on_the_same_host_is_followed(location: str, port: int, line: str, host: str) -> None:
    for status in (301, 302, 303, 307, 308):
        result = redirect(location, status=status, path="/a/b")
        assert isinstance(result, Follow)
        assert result.request.port == port
        assert lines(result.request.data)[:2] == [line, f"Host: {host}"]


def test_a_redirect_to_https_on_the_same_host_is_followed_with_tls() -> None:
    result = redirect("https://192.0.2.1/")
    assert isinstance(result, Follow)
    assert result.request.port == 443
    assert result.request.tls is not None
    assert result.request.server_name == HOST


def test_a_redirect_on_the_same_ipv6_host_is_followed() -> None:
    result = redirect("http://[2001:DB8::1]:81/x", host="2001:db8::1")
    assert isinstance(result, Follow)
    assert lines(result.request.data)[1] == "Host: [2001:db8::1]:81"


@pytest.mark.parametrize("location", ["http://elsewhere.example.com/", "//192.0.2.2/", "ftp://192.0.2.1/", "mailto:x"])
def test_a_redirect_elsewhere_passes(location: str) -> None:
    assert redirect(location) is PASSED


def test_a_redirect_without_a_location_passes_and_one_to_an_invalid_address_fails() -> None:
    assert judged(answer(302)) is PASSED
    assert redirect("http://192.0.2.1:99999/") == Failed("302 to an invalid address")
    assert redirect("http://[192.0.2.1/") == Failed("302 to an invalid address")


def test_a_redirect_whose_status_is_listed_is_an_answer() -> None:
    assert redirect("/login", expectedStatuses=["302"]) is PASSED
    assert isinstance(redirect("/login", expectedStatuses=["200"]), Follow)
    assert redirect("//192.0.2.2/", expectedStatuses=["200"]) == Failed("302, expected 200")


def test_a_host_header_of_its_own_goes_along_with_a_relative_redirect_only() -> None:
    block: dict[str, Any] = {"httpHeaders": [{"name": "Host", "value": "shop.example.com"}]}
    relative, absolute = redirect("/x", **block), redirect("http://192.0.2.1/x", **block)
    assert isinstance(relative, Follow)
    assert isinstance(absolute, Follow)
    assert lines(relative.request.data)[1] == "Host: shop.example.com"
    assert lines(absolute.request.data)[1] == f"Host: {HOST}"


def test_with_a_name_as_host_the_name_is_what_a_redirect_is_compared_with() -> None:
    check = http(host="shop.example.com")
    request = check.request(HOST, 8080)
    followed = check.judge(request, answer(302, "Location: http://Shop.Example.com/x"), False)
    assert isinstance(followed, Follow)
    assert lines(followed.request.data)[1] == "Host: shop.example.com"
    assert check.judge(request, answer(302, f"Location: http://{HOST}/x"), False) is PASSED


def test_checks_from_equal_blocks_are_equal_and_survive_pickling() -> None:
    block: dict[str, Any] = {
        "path": "/x",
        "httpHeaders": [{"name": "X", "value": "y"}],
        "expectedBody": "z",
        "scheme": "HTTPS",
    }
    check = http(**block)
    assert check == http(**block) == pickle.loads(pickle.dumps(check))
    assert hash(check) == hash(http(**block))
    assert check != http(**{**block, "path": "/y"})


def test_the_words_for_a_time_out_say_what_was_missing() -> None:
    request = http().request(HOST, PORT)
    assert http().awaited(request, b"") == http().awaited(request, b"garbage") == "headers"
    assert http().awaited(request, answer(200)) == "the body"


PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 X\r\n", b"HTTP/1.1 100 C\r\n", b"HTTP/1.1 500\r\n", b"\r\n", b"\n"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", b"2\r\nab\r\n", b"0\r\n\r\n"),
        *(b"Location: /x\r\n", b"Location: //[\r\n", b"Location: http://h\xff:1\r\n", b"abc", b"X: y\r\n", b"\x00"),
    ]
)
ANSWERS = st.one_of(
    st.binary(max_size=300),
    st.lists(PIECES, max_size=14).map(b"".join),
    st.tuples(st.just(b"HTTP/1.1 302 X\r\nLocation: "), st.binary(max_size=60), st.just(b"\r\n\r\n")).map(b"".join),
)
CHECKS = st.sampled_from([http(), http(expectedBody="abc"), http(expectedStatuses=["500"]), http(method="HEAD")])


@given(CHECKS, ANSWERS, st.lists(st.integers(0, 300), max_size=20))
def test_the_result_does_not_depend_on_how_the_bytes_were_split(check: HttpCheck, data: bytes, cuts: list[int]) -> None:
    request = check.request(HOST, PORT)
    piecewise = None
    for end in sorted(cut for cut in cuts if 0 < cut < len(data)):
        piecewise = piecewise or check.judge(request, data[:end], False)
    piecewise = piecewise or check.judge(request, data, True)
    at_once = check.judge(request, data, True)
    assert type(piecewise) is type(at_once)
    assert at_once is not None


@given(CHECKS, ANSWERS)
def test_a_request_that_follows_a_redirect_is_one_request_whatever_the_location(check: HttpCheck, data: bytes) -> None:
    result = check.judge(check.request(HOST, PORT), data, True)
    if isinstance(result, Follow):
        assert result.request.data.count(b"\r\n\r\n") == 1
        assert len(lines(result.request.data)[0].split(" ")) == 3
        assert 1 <= result.request.port <= 65535
