"""What counts as an answer, and what is said of one that does not."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from multidict import CIMultiDict

from extsync.sources.client import Reply
from extsync.sources.http.contract import MAX_RETRY_AFTER, Refused, check, read_retry_after, validator
from tests.sources.http.support import URL, reply

NOW = 1_800_000_000.0


def refusal(answer: Reply) -> str:
    with pytest.raises(Refused) as refused:
        check(answer, wall=NOW)
    told = str(refused.value)
    assert told.startswith(f"{URL}: ")
    return told.removeprefix(f"{URL}: ")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; charset=utf8; version=2",
    ],
)
def test_json_in_utf8_is_an_answer(kind: str) -> None:
    check(reply("[]", Content_Type=kind), wall=NOW)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(status=401), "wants other credentials (status 401 Unauthorized): set basicAuth or authorization"),
        (reply(status=403), "refuses access (status 403 Forbidden): have the server allow it"),
        (reply(status=404), "has nothing there (status 404 Not Found): is the path of the URL right?"),
        (reply(status=429), "wants fewer requests (status 429 Too Many Requests): make refreshInterval longer"),
        (reply(status=500), "fails by itself (status 500 Internal Server Error): its own logs tell why"),
        (reply(status=599), "fails by itself (status 599): its own logs"),
        (reply(status=204), "answered with status 204 No Content, and only 200 brings a list"),
        (reply(status=206), "answered with status 206 Partial Content, and only 200"),
        (reply(status=304), "answered with status 304 Not Modified, and only 200"),
        (
            reply(status=302, Location="https://u:hunter2@sso.example.com/login?next=hunter2"),
            "redirects (status 302 Found) to https://sso.example.com/login?..., and followRedirects is false",
        ),
        (reply("<html>", Content_Type="text/html; charset=utf-8"), "answered with an HTML page instead of JSON: is it"),
        (reply("[]", Content_Type="text/plain"), "answered with Content-Type 'text/plain', and must say application"),
        (reply("[]", Content_Type=""), "answered with Content-Type none, and must say application/json"),
        (reply("[]", Content_Type="nonsense\udcff"), "answered with Content-Type 'nonsense\\udcff', and must say"),
        (reply("[]", Content_Type="application/json; charset=latin-1"), "answered in the charset 'latin-1', and must"),
    ],
)
def test_anything_else_is_refused_with_what_helps(answer: Reply, told: str) -> None:
    assert refusal(answer).startswith(told)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 1e8, usegmt=True), MAX_RETRY_AFTER),
        ("-1", 0.0),
        ("1.5", 0.0),
        ("٣", 0.0),
        ("soon", 0.0),
        ("Mon, 99 Foo 2026 99:99:99 GMT", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_is_bounded(text: str, seconds: float) -> None:
    assert read_retry_after(CIMultiDict({"retry-after": text}), wall=NOW) == seconds


@pytest.mark.parametrize(("status", "seconds"), [(429, 7.0), (503, 7.0), (500, 0.0), (404, 0.0)])
def test_only_a_server_that_is_busy_is_left_alone(status: int, seconds: float) -> None:
    with pytest.raises(Refused) as refused:
        check(reply(status=status, Retry_After="7"), wall=NOW)
    assert refused.value.retry_after == seconds


def test_a_validator_is_kept_as_it_is_where_it_can_be_sent_back() -> None:
    assert validator(CIMultiDict({"etag": 'W/"a b"'})) == 'W/"a b"'
    assert validator(CIMultiDict({"etag": '"a\tb"'})) == ""
    assert validator(CIMultiDict({"etag": '"ä"'})) == ""
    assert validator(CIMultiDict()) == ""
