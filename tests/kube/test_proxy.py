"""The proxy that the environment names is used as kubectl uses it."""

from __future__ import annotations

import pytest

from extsync.kube.proxy import proxy_from_environment

PROXY = "http://proxy:3128"


def through(url: str, no_proxy: str = "") -> bool:
    return proxy_from_environment(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == PROXY


def test_the_scheme_of_the_url_chooses_the_variable() -> None:
    environ = {"HTTPS_PROXY": "http://a", "http_proxy": "b:80"}
    assert proxy_from_environment("https://api.example", environ) == "http://a"
    assert proxy_from_environment("http://api.example", environ) == "http://b:80"
    assert proxy_from_environment("https://api.example", {}) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_loopback_is_never_proxied(host: str) -> None:
    assert not through(f"https://{host}:6443")


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("*", "api.example:6443"),
        ("10.0.0.0/8", "10.96.0.1:443"),
        ("fd00::/8", "[fd00::1]:443"),
        ("192.0.2.1", "192.0.2.1:6443"),
        ("192.0.2.1:6443", "192.0.2.1:6443"),
        ("fd00::1", "[fd00::1]:443"),
        ("[fd00::1]:443", "[fd00::1]:443"),
        ("example", "api.example:6443"),
        ("api.example", "API.example:6443"),
        (".example", "api.example"),
        ("*.example", "api.example"),
        ("other, api.example:443 ,", "api.example"),
    ],
)
def test_exceptions_are_reached_directly(no_proxy: str, host: str) -> None:
    assert not through(f"https://{host}", no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("10.0.0.0/8", "192.0.2.1"),
        ("10.0.0.0/8", "api.example"),
        ("10.0.0.0/99", "10.0.0.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("192.0.2.10", "192.0.2.1"),
        (".example", "example"),
        ("ample", "api.example"),
        ("api.example:80", "api.example"),
        (" , ", "api.example"),
    ],
)
def test_all_others_go_through_the_proxy(no_proxy: str, host: str) -> None:
    assert through(f"https://{host}", no_proxy)
