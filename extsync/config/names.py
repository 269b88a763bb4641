"""Kubernetes's rules for names, labels and annotations (k8s.io/apimachinery/pkg/util/validation). Pure.

Each ``check_*`` returns the text it was given, or raises ValueError with what is wrong and what would be right.
"""

from __future__ import annotations

import re

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DNS_NAME = re.compile(r"([A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?\.?")

_ENDS = "beginning and ending with a letter or digit"

LONGEST_LABEL = 63
LONGEST_SUBDOMAIN = 253
LARGEST_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values of an object's annotations together."""

_RESERVED_LABEL_PREFIXES = ("extsync.dev", "endpointslice.kubernetes.io", "endpoints.kubernetes.io")
_RESERVED_LABELS = {
    "kubernetes.io/service-name": "it binds a slice to its Service",
    "service.kubernetes.io/headless": "extsync sets it where the Service is headless",
}
_RESERVED_ANNOTATION_PREFIXES = ("extsync.dev", "endpoints.kubernetes.io")
_RESERVED_ANNOTATIONS = {
    "control-plane.alpha.kubernetes.io/leader": "Kubernetes takes Endpoints that carry it for an election's lock",
}


def check_dns_label(text: str) -> str:
    """An RFC 1123 label: a namespace, a host name of an endpoint, a port's name."""
    return _match(text, _DNS_LABEL, LONGEST_LABEL, f"lower-case letters, digits and '-', {_ENDS}")


def check_service_name(text: str) -> str:
    """An RFC 1035 label: a Service's name on every version of Kubernetes."""
    rule = "lower-case letters, digits and '-', beginning with a letter, ending with a letter or digit"
    return _match(text, _SERVICE_NAME, LONGEST_LABEL, rule)


def check_subdomain(text: str) -> str:
    """A DNS subdomain in lower case: the name of a node, the target of an ExternalName Service."""
    return _match(text, _SUBDOMAIN, LONGEST_SUBDOMAIN, "labels of lower-case letters, digits and '-', joined by dots")


def check_dns_name(text: str) -> str:
    """A name to look up in DNS: any case, underscores as in SRV names, perhaps absolute (with a last dot)."""
    _match(text, _DNS_NAME, LONGEST_SUBDOMAIN + 1, "labels of letters, digits, '-' and '_', joined by dots")
    if any(len(label) > LONGEST_LABEL for label in text.split(".")):
        raise ValueError(f"has a part of more than {LONGEST_LABEL} characters between its dots")
    return text


def check_label_value(text: str) -> str:
    """The value of a label; it may be empty."""
    if not text:
        return text
    return _match(text, _NAME_PART, LONGEST_LABEL, f"letters, digits, '-', '_' and '.', {_ENDS}")


def check_qualified_name(text: str) -> str:
    """A label's or annotation's key, or an appProtocol: a name, perhaps with a DNS subdomain and a slash before it."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        try:
            check_subdomain(prefix)
        except ValueError as error:
            raise ValueError(f"has a prefix (before the slash) that {error}") from None
    _match(name, _NAME_PART, LONGEST_LABEL, f"letters, digits, '-', '_' and '.', {_ENDS}")
    return text


def check_own_label_key(text: str) -> str:
    """The key of a label that a manifest may put onto objects: not one that has a meaning for extsync or Kubernetes."""
    check_qualified_name(text)
    return _not_reserved(text, _RESERVED_LABEL_PREFIXES, _RESERVED_LABELS)


def check_own_annotation_key(text: str) -> str:
    """The key of an annotation that a manifest may put onto objects."""
    prefix, slash, name = text.rpartition("/")
    # Kubernetes folds the case of annotation keys before it checks them.
    check_qualified_name(prefix.lower() + slash + name)
    return _not_reserved(text, _RESERVED_ANNOTATION_PREFIXES, _RESERVED_ANNOTATIONS)


def _not_reserved(text: str, prefixes: tuple[str, ...], names: dict[str, str]) -> str:
    prefix = text.rpartition("/")[0]
    if prefix in prefixes:
        raise ValueError(f"is reserved: what begins with {prefix}/ is written by extsync and Kubernetes alone")
    if text in names:
        raise ValueError(f"is reserved: {names[text]}")
    return text


def _match(text: str, pattern: re.Pattern[str], longest: int, rule: str) -> str:
    if not text:
        raise ValueError("is empty")
    if len(text) > longest:
        raise ValueError(f"has {len(text)} characters: at most {longest} are allowed")
    if not pattern.fullmatch(text):
        raise ValueError(f"is not allowed: use {rule}")
    return text
