from __future__ import annotations

import pytest
import yarl

from extsync.errors import ReadFailed
from extsync.sources.client.urls import authority, parse_url, redirected, same_origin, shown_url

HOME = yarl.URL("https://registry.example.com/v1/list?a=b")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://a.example", "/"),
        ("http://a.example/x%2Fy?q=%3D%3D&r=a+b", "/x%2Fy?q=%3D%3D&r=a+b"),
        ("http://a.example/ä?ö=ü", "/%C3%A4?%C3%B6=%C3%BC"),
        ("http://[2001:db8::1]:8500/v1#part", "/v1"),
    ],
)
def test_what_is_escaped_stays_as_it_is_and_the_rest_is_escaped(text: str, sent: str) -> None:
    assert parse_url(text).raw_path_qs == sent


@pytest.mark.parametrize("text", ["ftp://a.example/", "a.example", "http://", "http://a.example:0/", "http://[::1", ""])
def test_what_is_no_web_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|IPv6|port"):
        parse_url(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a.example/x", "http://a.example/x"),
        ("http://a.example:81/x?token=hunter2", "http://a.example:81/x?..."),
        ("http://user:hunter2@a.example/x#hunter2", "http://a.example/x"),
        ("http://[::1", "the URL"),
        ("http://a.example/" + "x" * 300, "http://a.example/" + "x" * 183 + "..."),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_the_origin_is_scheme_host_and_port() -> None:
    assert same_origin(HOME, yarl.URL("https://REGISTRY.example.com:443/other", encoded=True))
    for other in ("http://registry.example.com/", "https://registry.example.com:8443/", "https://example.com/"):
        assert not same_origin(HOME, yarl.URL(other))
    assert authority(yarl.URL("http://[2001:db8::1]/")) == "[2001:db8::1]:80"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2", "https://registry.example.com/v2"),
        ("next?page=2", "https://registry.example.com/v1/next?page=2"),
        ("//b.example.com/x", "https://b.example.com/x"),
        ("https://user:hunter2@b.example.com/x?sig=%2F", "https://b.example.com/x?sig=%2F"),
        ("https://b.example.com/ä", "https://b.example.com/%C3%A4"),
    ],
)
def test_a_redirect_leads_where_a_browser_would_go_without_its_credentials(location: str, target: str) -> None:
    assert str(redirected(HOME, location)) == target


@pytest.mark.parametrize(
    "location", ["ftp://u:hunter2@b.example.com/x", "mailto:a@b", "https://a:b:c/", "https://[::1", "javascript:1"]
)
def test_a_redirect_out_of_http_is_refused_without_its_credentials(location: str) -> None:
    with pytest.raises(
        ReadFailed, match=r"registry\.example\.com/v1/list\?\.\.\.: redirects to '.*', which is no"
    ) as no:
        redirected(HOME, location)
    assert "hunter2" not in str(no.value)


def test_a_redirect_out_of_tls_is_refused_with_the_cure() -> None:
    with pytest.raises(ReadFailed, match=r"https to http://b\.example\.com/x, where anybody could answer: if that is"):
        redirected(HOME, "http://b.example.com/x")
