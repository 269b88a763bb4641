"""Which absolute names a name may stand for."""

from __future__ import annotations

import pytest

from extsync.errors import ConfigError
from extsync.sources.dns.names import candidates, shown

DOMAINS = ("prod.example.com", "example.net")


def texts(name: str, *domains: str) -> list[str]:
    return [candidate.to_text() for candidate in candidates(name, domains)]


def test_without_search_domains_every_name_is_absolute() -> None:
    assert texts("db") == ["db."]
    assert texts("db.example.com") == ["db.example.com."]


def test_a_name_with_a_last_dot_is_never_searched() -> None:
    assert texts("db.example.com.", *DOMAINS) == ["db.example.com."]


def test_a_name_without_a_dot_is_tried_in_the_domains_first() -> None:
    assert texts("db", *DOMAINS) == ["db.prod.example.com.", "db.example.net.", "db."]


def test_a_name_with_a_dot_is_tried_as_it_is_first() -> None:
    assert texts("_mysql._tcp", *DOMAINS) == [
        "_mysql._tcp.",
        "_mysql._tcp.prod.example.com.",
        "_mysql._tcp.example.net.",
    ]


def test_a_domain_may_be_absolute_and_counts_once() -> None:
    assert texts("db", "example.net.", "example.net") == ["db.example.net.", "db."]


def test_a_name_that_is_too_long_in_a_domain_is_refused_with_both() -> None:
    long = ".".join(["a" * 60] * 4)
    with pytest.raises(ConfigError, match=r"aaa.* is too long in the search domain example\.net"):
        candidates(long, ("example.net",))


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'a\.\.b'"):
        candidates("a..b", ())


def test_names_are_shown_without_their_last_dot() -> None:
    assert shown(candidates("db.example.com", ())[0]) == "db.example.com"
