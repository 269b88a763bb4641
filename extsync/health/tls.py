"""TLS without sockets: parameters, contexts that are made once, and sessions over bytes.

A session turns bytes into bytes (ssl.MemoryBIO), so that TLS runs over the prober's own non-blocking sockets and over
scripted ones alike.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from extsync.errors import ConfigError
from extsync.file_roots import ANYWHERE, FileRoots, OutsideRoots

if TYPE_CHECKING:
    from extsync.config.client import TLS

_CACHED: Final = 128
_READ: Final = 16384  # the largest TLS record

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


class Tls(msgspec.Struct, frozen=True, gc=False):
    """How a connection is secured. Files are PEM files; without ``ca_file`` the system's authorities are trusted.

    ``protocols`` are offered to the server to choose from (ALPN); one that knows none of them may refuse. With
    ``insists`` it has to choose one. Files are read within ``roots`` only; none: anywhere.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure_skip_verify: bool = False
    protocols: tuple[str, ...] = ()
    insists: bool = False
    roots: tuple[str, ...] = ()

    def context(self) -> ssl.SSLContext:
        """The context for these parameters: one for all connections, since making it takes 25 ms.

        Files are read again when they are replaced; where they cannot be read then, the last good context stays, for
        that says nothing about a backend. Raises OSError (ssl.SSLError is one) where there never was a good one.
        """
        return _contexts.get(self)

    def trusting(self) -> Tls:
        """The same for a server that need not prove who it is."""
        return msgspec.structs.replace(self, insecure_skip_verify=True)


def configured(
    config: TLS | None, base_dir: Path, *protocols: str, insists: bool = False, roots: FileRoots = ANYWHERE
) -> Tls:
    """The parameters of a ``tlsConfig``, the rest as in Tls. Raises ConfigError where a file of it cannot be used."""
    if config is None:
        tls = Tls(protocols=protocols, insists=insists)
    else:
        ca, cert, key = (path and str(base_dir / path) for path in (config.ca_file, config.cert_file, config.key_file))
        tls = Tls(ca, cert, key, config.insecure_skip_verify, protocols, insists, roots.roots)
    try:
        tls.context()
    except OutsideRoots as error:
        raise ConfigError(f"tlsConfig: {error.filename} {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"tlsConfig: a file cannot be used: {error}") from error
    return tls


def asked_name(config: TLS | None, host: str) -> str:
    """The name that the server's certificate must have."""
    return (config and config.server_name) or host


class _Contexts:
    """The contexts in use, the least recently used one dropped first."""

    def __init__(self) -> None:
        self._made: OrderedDict[Tls, tuple[_Stamp, ssl.SSLContext]] = OrderedDict()

    def get(self, tls: Tls) -> ssl.SSLContext:
        found = self._made.get(tls)
        try:
            if found is None or found[0] != _stamp(map(os.stat, _files(tls))):
                found = _make(tls)
        except OSError:
            if found is None:
                raise
        self._made[tls] = found
        self._made.move_to_end(tls)
        if len(self._made) > _CACHED:
            self._made.popitem(last=False)
        return found[1]


_contexts: Final = _Contexts()


def _files(tls: Tls) -> list[str]:
    return [path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path is not None]


def _stamp(stats: Iterable[os.stat_result]) -> _Stamp:
    """What changes when a file is replaced, also by the symlink swap of a mounted Secret."""
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def _make(tls: Tls) -> tuple[_Stamp, ssl.SSLContext]:
    """A context for what the files are now, with the stamp of what it was made from."""
    roots = FileRoots(tls.roots)
    with contextlib.ExitStack() as stack:
        pinned = {path: stack.enter_context(roots.pinned(path)) for path in _files(tls)}
        paths = {path: one.path for path, one in pinned.items()}
        context = _context(tls, *(path and paths[path] for path in (tls.ca_file, tls.cert_file, tls.key_file)))
        return _stamp(pinned[path].status for path in _files(tls)), context


def _context(tls: Tls, ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    if tls.insecure_skip_verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        # An encrypted key must fail, not ask on the terminal.
        context.load_cert_chain(certificate, key, password="")
    if tls.protocols:
        context.set_alpn_protocols(tls.protocols)
    return context


class TlsSession:
    """The client's side of one TLS connection. Whoever holds it moves the bytes.

    Every method may leave bytes to be sent, which ``outgoing`` hands over, and raises ssl.SSLError, which ``tls_words``
    puts into words. ``established``: the handshake is complete on this side, and ``certificate`` is the server's,
    verified or not (DER). ``agreed``: the server is content as well. Up to TLS 1.2 it has the last word in the
    handshake; in TLS 1.3 (RFC 8446, section 2) the client has, and whatever comes then shows that the server agreed, if
    only a ticket or a farewell, while an alert raises.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_tls", "agreed", "certificate", "established")

    def __init__(self, tls: Tls, server_name: str) -> None:
        self._tls = tls
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = tls.context().wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)
        self.agreed = False
        self.certificate = b""
        self.established = False

    def handshake(self, data: bytes = b"", *, eof: bool = False) -> bool:
        """Goes on with the handshake after ``data`` has come; returns whether it is complete."""
        self._feed(data, eof)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.certificate = self._object.getpeercert(binary_form=True) or b""
        self.established = True
        self.agreed = self._object.version() != "TLSv1.3"
        return True

    @property
    def missed(self) -> str:
        """The protocols, in words, of which the server has chosen none although it had to (ALPN); otherwise ""."""
        if not self._tls.insists or self._object.selected_alpn_protocol():
            return ""
        return " or ".join(self._tls.protocols)

    @property
    def is_current(self) -> bool:
        """Whether a new session would have the same parameters: files may have been replaced since."""
        try:
            return self._object.context is self._tls.context()
        except OSError:
            return False

    def farewell(self) -> None:
        """Says that nothing more will be written."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._object.unwrap()

    def read(self, data: bytes = b"", *, eof: bool = False) -> tuple[bytes, bool]:
        """Decrypts ``data`` and what came before it: returns the plain text, and whether nothing more will come."""
        self._feed(data, eof)
        plain = bytearray()
        while eof or self._incoming.pending or self._object.pending():
            try:
                piece = self._object.read(_READ)
            except ssl.SSLWantReadError:
                return bytes(plain), False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return bytes(plain), True
            if not piece:
                return bytes(plain), True
            plain += piece
        return bytes(plain), False

    def write(self, plain: bytes) -> None:
        """Encrypts ``plain``."""
        self._object.write(plain)

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        return self._outgoing.read()

    def _feed(self, data: bytes, eof: bool) -> None:
        if data:
            self._incoming.write(data)
            self.agreed = self.established
        if eof:
            self._incoming.write_eof()
