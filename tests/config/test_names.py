"""Kubernetes's rules for names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from extsync.config import names

Check = Callable[[str], str]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.check_dns_label, "a"),
        (names.check_dns_label, "9-a"),
        (names.check_dns_label, "x" * 63),
        (names.check_service_name, "orders-db"),
        (names.check_subdomain, "node-1.example.com"),
        (names.check_dns_name, "_http._tcp.Example.com."),
        (names.check_label_value, ""),
        (names.check_label_value, "v1.2_3-a"),
        (names.check_qualified_name, "app"),
        (names.check_qualified_name, "app.kubernetes.io/part-of"),
        (names.check_own_label_key, "example.com/extsync.dev"),
        (names.check_own_annotation_key, "Example.COM/Runbook"),
    ],
)
def test_a_name_that_kubernetes_accepts_comes_back(check: Check, text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(
    ("check", "text", "reason"),
    [
        (names.check_dns_label, "", "is empty"),
        (names.check_dns_label, "x" * 64, "has 64 characters: at most 63"),
        (names.check_dns_label, "Upper", "lower-case letters"),
        (names.check_dns_label, "-a", "beginning and ending"),
        (names.check_dns_label, "a-", "beginning and ending"),
        (names.check_dns_label, "a\n", "is not allowed"),
        (names.check_service_name, "1st", "beginning with a letter"),
        (names.check_subdomain, "a..b", "joined by dots"),
        (names.check_subdomain, "x" * 254, "at most 253"),
        (names.check_dns_name, "a b", "joined by dots"),
        (names.check_dns_name, "x" * 64 + ".com", "between its dots"),
        (names.check_label_value, "a b", "letters, digits"),
        (names.check_label_value, "-a", "beginning and ending"),
        (names.check_qualified_name, "", "is empty"),
        (names.check_qualified_name, "/a", "prefix"),
        (names.check_qualified_name, "a/b/c", "prefix"),
        (names.check_qualified_name, "Upper.com/a", "prefix"),
        (names.check_qualified_name, "example.com/", "is empty"),
        (names.check_own_label_key, "extsync.dev/owner", "reserved"),
        (names.check_own_label_key, "endpointslice.kubernetes.io/managed-by", "reserved"),
        (names.check_own_label_key, "endpoints.kubernetes.io/managed-by", "reserved"),
        (names.check_own_label_key, "kubernetes.io/service-name", "binds a slice to its Service"),
        (names.check_own_label_key, "service.kubernetes.io/headless", "reserved"),
        (names.check_own_annotation_key, "endpoints.kubernetes.io/over-capacity", "reserved"),
        (names.check_own_annotation_key, "extsync.dev/x", "reserved"),
        (names.check_own_annotation_key, "control-plane.alpha.kubernetes.io/leader", "election's lock"),
    ],
)
def test_a_name_that_is_not_allowed_is_refused_with_the_reason(check: Check, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check(text)
