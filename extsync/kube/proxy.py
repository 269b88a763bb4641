"""The HTTP proxy to an API server, from the environment, by the rules that kubectl goes by.

They are those of Go's ``golang.org/x/net/http/httpproxy``. Python's own know no address ranges in NO_PROXY, which is
how clusters are usually kept off a company's proxy (``NO_PROXY=10.0.0.0/8``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def proxy_from_environment(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for requests to ``url``, or None for a direct connection. Loopback never goes through a proxy."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name)
    if not proxy or _is_local(host):
        return None
    exceptions = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_matches(entry.strip().lower(), host.lower(), port) for entry in exceptions.split(",") if entry.strip()):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY covers the host: ``*``, a range, or a host or domain with an optional port."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*")
    if domain.startswith("."):
        return host.endswith(domain)
    return host == domain or host.endswith(f".{domain}")


def _split_port(entry: str) -> tuple[str, int | None]:
    if _address(entry) is not None:  # a bare IPv6 address has colons of its own
        return entry, None
    name, colon, port = entry.rpartition(":")
    if not colon or not port.isdigit():
        return entry.strip("[]"), None
    return name.strip("[]"), int(port)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
