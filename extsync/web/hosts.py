"""By which names the status port may be asked for on loopback, so that no foreign web page reads it.

A page that somebody looks at may ask for whatever its own name resolves to, and who owns a name can have it resolve to
127.0.0.1 (DNS rebinding): the browser then takes extsync for a part of that page. The Host header tells. So what comes
over loopback, from a browser of this machine or through ``kubectl port-forward``, is answered only where it was asked
for by an address, or by a name that nobody can own in the public DNS. Health and metrics are answered by any name: a
Prometheus of this machine may ask by the machine's full name, which often resolves to loopback, and a scrape that is
refused leaves the alerts blind.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from extsync.web.documents import Problem

_PRIVATE: Final = ("localhost", "local", "internal", "svc")
"""Last parts of names that no public registry gives away."""

_OPEN: Final = ("/healthz", "/readyz", "/metrics")

_FOREIGN: Final = Problem(
    "on loopback extsync is asked for as localhost or by its address; a proxy before it has to set the header Host so"
)


@web.middleware
async def own_names(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses with 421 (misdirected) what came over loopback for a public name."""
    if request.path not in _OPEN and _is_loopback(request) and not is_own(request.headers.get("Host", "")):
        return web.Response(status=421, body=msgspec.json.encode(_FOREIGN), content_type="application/json")
    return await handler(request)


def is_own(host: str) -> bool:
    """Whether a Host header names no machine in the public DNS: an address, a name of one part, or a private one."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        ip_address(name)
    except ValueError:
        parts = name.lower().rstrip(".").split(".")
        return len(parts) == 1 or parts[-1] in _PRIVATE
    return True


def _is_loopback(request: web.Request) -> bool:
    socket = None if request.transport is None else request.transport.get_extra_info("sockname")
    if not isinstance(socket, tuple):
        return False
    address = ip_address(socket[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
