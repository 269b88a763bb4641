"""TLS without sockets: parameters, contexts that are made once, and sessions over bytes.

A session turns bytes into bytes (ssl.MemoryBIO), so that TLS runs over the prober's own non-blocking sockets and over
scripted ones alike.
"""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from typing import Final, TypeAlias

import msgspec

_CACHED: Final = 128
_READ: Final = 16384  # the largest TLS record

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


class Tls(msgspec.Struct, frozen=True, gc=False):
    """How a connection is secured. Files are PEM files; without ``ca_file`` the system's authorities are trusted."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure_skip_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """The context for these parameters: one for all connections, since making it takes 25 ms.

        Files are read again when they are replaced; where they cannot be read then, the last good context stays, for
        that says nothing about a backend. Raises OSError (ssl.SSLError is one) where there never was a good one.
        """
        return _contexts.get(self)


class _Contexts:
    """The contexts in use, the least recently used one dropped first."""

    def __init__(self) -> None:
        self._made: OrderedDict[Tls, tuple[_Stamp, ssl.SSLContext]] = OrderedDict()

    def get(self, tls: Tls) -> ssl.SSLContext:
        found = self._made.get(tls)
        try:
            stamp = _stamp(tls)
            if found is None or found[0] != stamp:
                found = (stamp, _make(tls))
        except OSError:
            if found is None:
                raise
        self._made[tls] = found
        self._made.move_to_end(tls)
        if len(self._made) > _CACHED:
            self._made.popitem(last=False)
        return found[1]


_contexts: Final = _Contexts()


def _stamp(tls: Tls) -> _Stamp:
    """What changes when a file is replaced, also by the symlink swap of a mounted Secret."""
    stats = [os.stat(path) for path in (tls.ca_file, tls.cert_file, tls.key_file) if path is not None]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def _make(tls: Tls) -> ssl.SSLContext:
    if tls.insecure_skip_verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        # An encrypted key must fail, not ask on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsSession:
    """The client's side of one TLS connection. Whoever holds it moves the bytes.

    Every method may leave bytes to be sent, which ``outgoing`` hands over, and raises ssl.SSLError; ``words`` puts that
    into words.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "established")

    def __init__(self, tls: Tls, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = tls.context().wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)
        self.established = False

    def handshake(self, data: bytes = b"", *, eof: bool = False) -> bool:
        """Goes on with the handshake after ``data`` has come; returns whether it is complete."""
        self._feed(data, eof)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        return True

    def read(self, data: bytes = b"", *, eof: bool = False) -> tuple[bytes, bool]:
        """Decrypts ``data`` and what came before it: returns the plain text, and whether nothing more will come."""
        self._feed(data, eof)
        plain = bytearray()
        while True:
            try:
                piece = self._object.read(_READ)
            except ssl.SSLWantReadError:
                return bytes(plain), False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return bytes(plain), True
            if not piece:
                return bytes(plain), True
            plain += piece

    def write(self, plain: bytes) -> None:
        """Encrypts ``plain``."""
        self._object.write(plain)

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        return self._outgoing.read()

    def _feed(self, data: bytes, eof: bool) -> None:
        if data:
            self._incoming.write(data)
        if eof:
            self._incoming.write_eof()


def words(error: ssl.SSLError) -> str:
    """Says what went wrong: "certificate verify failed: self-signed certificate"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLEOFError):
        return "connection closed in the TLS handshake"
    reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")  # Python's own have none
    if reason in ("wrong version number", "record layer failure", "packet length too long"):
        return "the port does not speak TLS"
    return f"TLS failed: {reason or 'protocol error'}"
