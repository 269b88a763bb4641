"""TLS contexts from files, made anew when the contents change: it takes 25 ms. All of it blocks: it is for a thread."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from extsync.errors import ReadFailed
from extsync.file_roots import ANYWHERE, FileRoots
from extsync.sources.client.config import TLS
from extsync.sources.whole_file import read_file, why

MAX_PEM: Final = 4 << 20
"""Bytes of a file with certificates or a key; the bundles of distributions have a quarter of a MiB."""

_LOOKS: Final = 3  # until certificate and key are not exchanged while they are read


class Contexts(NamedTuple):
    """How to speak TLS with the server that the manifest names, and with others that it redirects to.

    Both trust the same authorities; the second shows no client certificate.
    """

    own: ssl.SSLContext
    others: ssl.SSLContext


class TlsFiles:
    """The files of a ``tlsConfig`` (None: the system's authorities and no client certificate)."""

    def __init__(self, config: TLS | None, base_dir: Path, roots: FileRoots = ANYWHERE) -> None:
        self._roots = roots
        self._verify = config is None or not config.insecure_skip_verify
        named = (config.ca_file, config.cert_file, config.key_file) if config else (None, None, None)
        self._ca, self._certificate, self._key = (base_dir / path if path else None for path in named)
        self._mark: bytes | None = None
        self._made: Contexts | None = None

    @property
    def has_files(self) -> bool:
        """Whether what ``contexts`` returns can change."""
        return self._ca is not None or self._certificate is not None

    def contexts(self) -> Contexts:
        """The contexts for what the files hold now. Raises ReadFailed, which names the file, where that is not to be
        used.
        """
        for _ in range(_LOOKS):
            mark = self._look()
            if self._made is not None and mark == self._mark:
                return self._made
            made = self._make()
            if self._look() == mark:
                self._mark, self._made = mark, made
                return made
        raise ReadFailed(f"{self._certificate}: changes faster than it can be read")

    def _look(self) -> bytes:
        """Stands for the contents of all files together."""
        digest = blake2b(digest_size=16)
        for path in (self._ca, self._certificate, self._key):
            if path is not None:
                digest.update(blake2b(_content(path, self._roots)).digest())
        return digest.digest()

    def _make(self) -> Contexts:
        others = self._trusting()
        if self._certificate is None:
            return Contexts(others, others)
        own = self._trusting()
        try:
            with ExitStack() as stack:
                certificate = stack.enter_context(self._roots.pinned(self._certificate)).path
                key = None if self._key is None else stack.enter_context(self._roots.pinned(self._key)).path
                own.load_cert_chain(certificate, key, password=_refuse)
        except (OSError, ValueError) as error:
            raise ReadFailed(f"{self._certificate}, {self._key}: {_why_unusable(error)}") from error
        return Contexts(own, others)

    def _trusting(self) -> ssl.SSLContext:
        if not self._verify:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca is None:
            context = ssl.create_default_context()
        else:
            context = _trusting(self._ca, self._roots)
        context.set_alpn_protocols(["http/1.1"])
        return context


def _trusting(bundle: Path, roots: FileRoots) -> ssl.SSLContext:
    # Bundles have comments in any language; the certificates themselves are ASCII.
    authorities = _content(bundle, roots).decode("ascii", errors="ignore")
    try:
        if not authorities:  # of which ssl would make the system's
            raise ValueError("empty")
        return ssl.create_default_context(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ReadFailed(f"{bundle}: holds no certificates in PEM form") from error


def _content(path: Path, roots: FileRoots) -> bytes:
    try:
        return read_file(path, limit=MAX_PEM, roots=roots)
    except OSError as error:
        raise ReadFailed(f"{path}: {why(error)}") from error


def _refuse() -> NoReturn:
    raise ValueError("the key is encrypted, and nobody is here to type its password: decrypt it with openssl pkey")


def _why_unusable(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the certificate is not that of the key"
        return "hold no certificate and key in PEM form"
    return why(error)
