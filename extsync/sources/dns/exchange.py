"""One question to one name server, by dnspython: over UDP, TCP or TLS."""

from __future__ import annotations

import socket
import ssl
from functools import cache
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import dns.asyncbackend
import dns.asyncquery
import dns.inet
from dns.message import Message, QueryMessage

Transport: TypeAlias = Literal["UDP", "TCP", "TLS"]

DEFAULT_PORTS: Final[dict[Transport, int]] = {"UDP": 53, "TCP": 53, "TLS": 853}


class Server(NamedTuple):
    """Where a name server answers. An IPv6 address may have a zone id, as in resolv.conf."""

    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class Exchange(Protocol):
    """Sends a question and returns what answers it; datagrams that do not are passed over."""

    async def __call__(self, query: QueryMessage, server: Server, transport: Transport, /) -> Message:
        """The response, whatever its code.

        The deadline is the caller's. Raises Truncated (a DNSException) where it does not fit a datagram, OSError and
        EOFError where there is no connection, DNSException where what comes over one is no response.
        """
        ...


class SystemExchange:
    """Exchanges through the operating system, with a socket, and so a random source port, for each question.

    ``tls`` verifies the servers; by default with the system's authorities. Since a name server is named by its address,
    its certificate has to be for that address (an iPAddress of its subjectAltName).
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def __call__(self, query: QueryMessage, server: Server, transport: Transport, /) -> Message:
        address, port = server
        if transport == "TLS":
            context, name = self._tls or _system_tls(), address.partition("%")[0]
            return await dns.asyncquery.tls(
                query, address, port=port, backend=self._backend, ssl_context=context, server_hostname=name
            )
        if transport == "UDP":
            return await self._udp(query, server)
        return await dns.asyncquery.tcp(query, address, port=port, backend=self._backend)

    async def _udp(self, query: QueryMessage, server: Server) -> Message:
        family = dns.inet.af_for_address(server.address)
        # Connected, so that the kernel drops what others send, and tells when nobody listens.
        connected = await self._backend.make_socket(  # type: ignore[no-untyped-call]
            family, socket.SOCK_DGRAM, destination=tuple(server)
        )
        async with connected:
            await dns.asyncquery.send_udp(connected, query, None)
            received: tuple[Message, float, object] = await dns.asyncquery.receive_udp(
                connected, query=query, ignore_errors=True, raise_on_truncation=True
            )
            return received[0]


@cache
def _system_tls() -> ssl.SSLContext:
    """Made once, since it takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["dot"])
    return context
