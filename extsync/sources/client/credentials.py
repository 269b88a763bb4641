"""What requests carry, read anew for each of them: credentials, configured headers, TLS contexts, the proxy.

Nothing here has a repr that shows a secret.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import unquote

from extsync.config.secret import Secret
from extsync.errors import ConfigError, ReadFailed
from extsync.sources.base import SourceContext
from extsync.sources.client.config import ClientConfig
from extsync.sources.client.secrets import SecretSource, SlowReader, fit_for_header
from extsync.sources.client.tls import Contexts, TlsFiles
from extsync.sources.client.urls import parse_url
from extsync.sources.offload import Offload


class Proxy:
    """Where requests go first. ``url`` has no credentials; ``headers`` are for the proxy alone."""

    __slots__ = ("headers", "url")

    def __init__(self, text: str) -> None:
        """Raises ReadFailed where ``text`` is not the URL of a proxy."""
        try:
            url = parse_url(text)
        except ValueError:
            raise ReadFailed("proxyUrl is not the URL of a proxy: write http://host:port") from None
        self.url = url.with_user(None).with_path("/")
        self.headers: Mapping[str, str] = {}
        if url.raw_user is not None:
            value = _basic(unquote(url.raw_user), unquote(url.raw_password or ""))
            self.headers = {"Proxy-Authorization": value}


class Carried:
    """What one request carries. ``headers`` are for the origin that the manifest names and for no other."""

    __slots__ = ("contexts", "headers", "proxy")

    def __init__(self, headers: Mapping[str, str], proxy: Proxy | None, contexts: Contexts | None) -> None:
        self.headers = headers
        self.proxy = proxy
        self.contexts = contexts


class Credentials:
    """Reads what the manifest, the environment and the files say now."""

    def __init__(self, config: ClientConfig, context: SourceContext, *, offload: Offload) -> None:
        self._config = config
        self._environ = context.environ
        self._tls = TlsFiles(config.tls_config, context.base_dir, context.roots)
        self._contexts: Contexts | None = None
        self._secret = _secret(config, context, offload)
        self._tls_reader = SlowReader(self._tls.contexts, "the files of tlsConfig", context.clock, offload)

    async def carried(self, scheme: str) -> Carried:
        """What a request to a URL of that scheme carries now.

        Raises ReadFailed that says which file or variable is at fault.
        """
        try:
            proxy = self._proxy()
            secret = "" if self._secret is None else await self._secret.read()
            headers = self._headers(secret)
        except ConfigError as error:  # an environment variable that is not set
            raise ReadFailed(str(error)) from error
        if "https" not in (scheme, proxy and proxy.url.scheme):
            return Carried(headers, proxy, None)
        if self._contexts is None or self._tls.has_files:
            self._contexts = await self._tls_reader.read()
        return Carried(headers, proxy, self._contexts)

    def close(self) -> None:
        """Waits no more for files that are being read."""
        self._tls_reader.close()
        if self._secret is not None:
            self._secret.close()

    def _headers(self, secret: str) -> dict[str, str]:
        headers = {name: self._line(name, value) for name, value in self._config.http_headers.items()}
        basic, authorization = self._config.basic_auth, self._config.authorization
        if basic is not None:
            headers["Authorization"] = _basic(basic.username, secret)
        elif authorization is not None:
            headers["Authorization"] = f"{authorization.type} {secret}"
        return headers

    def _proxy(self) -> Proxy | None:
        url = self._config.proxy_url
        return None if url is None else Proxy(url.resolve(self._environ))

    def _line(self, name: str, value: Secret) -> str:
        """The value of a header as the manifest has it."""
        return fit_for_header(f"the header {name}", value.resolve(self._environ))


def _secret(config: ClientConfig, context: SourceContext, offload: Offload) -> SecretSource | None:
    """The secret of the Authorization header."""
    basic, given = config.basic_auth, config.authorization
    if basic is not None:
        return SecretSource("basicAuth.password", basic.password, basic.password_file, context, offload=offload)
    if given is None:
        return None
    key = "authorization.credentials"
    return SecretSource(key, given.credentials, given.credentials_file, context, offload=offload)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
