"""A name server on loopback that does what a test says, over UDP and TCP or TLS. Its messages are dnslib's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from dnslib import RR, DNSRecord

from extsync.sources.dns.exchange import Server
from tests.cluster.processes import free_ports

Handler: TypeAlias = Callable[[DNSRecord, str], Iterable[bytes]]
"""What is sent back to a query that came over "udp" or "tcp": a datagram each, or the bytes of a stream."""

HOST = "127.0.0.1"


@asynccontextmanager
async def serving(handler: Handler, *, host: str = HOST, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answers by ``handler``; with ``tls`` its streams are TLS. A stream is closed after what was sent."""
    (port,) = free_ports(1)
    transport = await datagrams(handler, Server(host, port))
    streams = await asyncio.start_server(_stream(handler), host, port, ssl=tls)
    try:
        yield Server(host, port)
    finally:
        transport.close()
        streams.close()
        await streams.wait_closed()


def zone(*records: str) -> Handler:
    """A handler that knows these records, whole over TCP and cut off over UDP where they do not fit 512 bytes."""

    def handler(query: DNSRecord, over: str) -> Iterable[bytes]:
        made = reply(query, *records)
        yield framed(made) if over == "tcp" else made if len(made) <= 512 else cut_off(query)

    return handler


def reply(query: DNSRecord, *records: str, **header: int) -> bytes:
    """A reply with those of the records (lines of a zone file) that are of the query's name and type, or aliases."""
    made = query.reply()
    for record in (record for line in records for record in RR.fromZone(line)):
        if record.rname == query.q.qname and record.rtype in (query.q.qtype, 5):
            made.add_answer(record)
    for name, value in header.items():
        setattr(made.header, name, value)
    return packed(made)


def cut_off(query: DNSRecord) -> bytes:
    """A truncated reply with the first of its records only."""
    return reply(query, f"{query.q.qname} 30 A 192.0.2.99", tc=1)


def packed(record: DNSRecord) -> bytes:
    return bytes(record.pack())


def framed(message: bytes) -> bytes:
    """A message as streams have it, its length before it."""
    return len(message).to_bytes(2, "big") + message


async def datagrams(
    handler: Handler, at: Server, *, through: asyncio.DatagramTransport | None = None
) -> asyncio.DatagramTransport:
    """Answers datagrams only, from the socket that they come to or ``through`` another one."""
    protocol = _Datagrams(handler)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, local_addr=(at.address, at.port))
    protocol.transport = through or transport
    return transport


class _Datagrams(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def datagram_received(self, data: bytes, address: Any) -> None:
        for datagram in self._handler(DNSRecord.parse(data), "udp"):
            self.transport.sendto(datagram, address)


def _stream(handler: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            writer.writelines(handler(DNSRecord.parse(await reader.readexactly(length)), "tcp"))
            await writer.drain()
        writer.close()

    return serve
