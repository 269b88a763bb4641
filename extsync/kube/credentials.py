"""Who extsync is to the API server: header values that are good for the next request, renewed when they age.

Each kind answers ``headers`` before every request, and ``renew`` after a 401. None of them shows a secret in its repr.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from extsync.errors import ConfigError
from extsync.kube.exec_plugin import ExecPlugin, Issued
from extsync.seams import Clock

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader

REREAD = 60.0
"""Seconds after which a token file is read, or an auth provider asked, again; client-go's figure."""
EXPIRY_MARGIN = 30.0
"""Seconds before its expiry from which an issued credential is not used any more."""
PLUGIN_DEADLINE = 300.0
"""Seconds that a plugin has: a person may be logging in on its page."""

Headers = tuple[tuple[str, str], ...]


class Credentials(Protocol):
    """Authenticates requests."""

    async def headers(self) -> Headers:
        """The headers for one request. Raises ConfigError where there are no credentials to be had."""
        ...

    def renew(self) -> bool:
        """The server answered 401: whether what ``headers`` gives now may be something else."""
        ...


class Fixed:
    """Nothing, a token or a password that stays what it is."""

    def __init__(self, headers: Headers = ()) -> None:
        self._headers = headers

    async def headers(self) -> Headers:
        return self._headers

    def renew(self) -> bool:
        return False


class TokenFile:
    """A token that somebody else rotates, as the kubelet does in a pod. A file that is away leaves the last token."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._headers: Headers = ()
        self._read_at = float("-inf")

    async def headers(self) -> Headers:
        if self._clock.monotonic() - self._read_at >= REREAD:
            self._read()
        return self._headers

    def renew(self) -> bool:
        before = self._headers
        self._read()
        return self._headers != before

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._headers:
                return
            raise ConfigError(f"the token file {self._path} cannot be read: {type(error).__name__}") from error
        if token:
            self._headers = _authorization(f"Bearer {token}")
        elif not self._headers:
            raise ConfigError(f"the token file {self._path} is empty")


class AuthProvider:
    """An ``auth-provider`` of a kubeconfig (OIDC, GCP); kubernetes-asyncio renews its token where that has expired."""

    def __init__(self, loader: KubeConfigLoader, configuration: Configuration, *, clock: Clock) -> None:
        self._loader = loader
        self._configuration = configuration
        self._clock = clock
        self._asked_at = float("-inf")

    async def headers(self) -> Headers:
        if self._clock.monotonic() - self._asked_at >= REREAD:
            self._asked_at = self._clock.monotonic()
            try:
                await self._loader.load_and_set(self._configuration)
            except Exception as error:  # whatever its providers and their HTTP clients raise
                raise ConfigError(f"the auth-provider gave no token: {type(error).__name__}: {error}") from error
        return bearer_of(self._configuration)

    def renew(self) -> bool:
        return False  # it goes by the expiry in the token; asking it again gives the same


def bearer_of(configuration: Configuration) -> Headers:
    """The Authorization header that kubernetes-asyncio put into its configuration."""
    value = configuration.api_key.get("BearerToken")
    return _authorization(str(value).strip()) if value else ()


def _authorization(value: str) -> Headers:
    if not value.isprintable():
        raise ConfigError("the token has line breaks or other control characters in it")
    return (("Authorization", value),)


class Plugin:
    """Credentials issued by an exec plugin, kept until shortly before they expire or the server refuses them.

    All requests wait for the same run of the plugin, and one that gives up does not end it: a person may need longer
    to log in than a request may take.
    """

    def __init__(self, plugin: ExecPlugin, *, clock: Clock, tls: ssl.SSLContext) -> None:
        self._plugin = plugin
        self._clock = clock
        self._tls = tls
        self._issued: Issued | None = None
        self._running: asyncio.Task[Issued] | None = None

    async def headers(self) -> Headers:
        issued = self._issued if self._is_fresh() else await asyncio.shield(self._run())
        return _authorization(f"Bearer {issued.token}") if issued and issued.token else ()

    def renew(self) -> bool:
        self._issued = None
        return True

    def _is_fresh(self) -> bool:
        if self._issued is None:
            return False
        expires = self._issued.expires
        return expires is None or self._clock.wall() < expires - EXPIRY_MARGIN

    def _run(self) -> asyncio.Task[Issued]:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._issue(), name=str(self._plugin))
            # Its callers may all have given up by the time it fails.
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._running

    async def _issue(self) -> Issued:
        try:
            async with self._clock.timeout(PLUGIN_DEADLINE):
                issued = await self._plugin.issue()
        except TimeoutError as error:
            raise ConfigError(f"{self._plugin} gave no answer within {PLUGIN_DEADLINE:g} s") from error
        if issued.client_certificate_data and issued.client_key_data:
            use_issued_certificate(self._tls, issued.client_certificate_data, issued.client_key_data)
        self._issued = issued
        return issued


def use_client_certificate(tls: ssl.SSLContext, certificate: str | Path, key: str | Path | None) -> None:
    """Gives ``tls`` a client certificate from PEM files, for the connections to come; raises ConfigError."""
    try:
        tls.load_cert_chain(certificate, key, password="")  # or OpenSSL asks for a passphrase on the terminal
    except OSError as error:
        raise ConfigError(f"the client certificate and its key cannot be used: {error}") from error


def use_issued_certificate(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """The same from PEM texts. OpenSSL reads files only: it is given the ends of pipes, so that no key is on disk."""
    with _readable(certificate) as certificate_path, _readable(key) as key_path:
        use_client_certificate(tls, certificate_path, key_path)


@contextmanager
def _readable(text: str) -> Iterator[str]:
    """A path at which this process reads ``text``, once."""
    reader, writer = os.pipe()
    try:
        try:
            os.set_blocking(writer, False)
            content = text.encode()
            if os.write(writer, content) < len(content):
                raise ConfigError(f"the client certificate or its key is too long: {len(content)} bytes")
        finally:
            os.close(writer)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
