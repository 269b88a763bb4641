"""What the client reads of a source's block: Prometheus's HTTP client options as ``extsync.config.client`` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from extsync.config.secret import Secret


class BasicAuth(Protocol):
    """A user's name, and the password or the file that holds it."""

    @property
    def username(self) -> str: ...
    @property
    def password(self) -> Secret | None: ...
    @property
    def password_file(self) -> str | None: ...


class Authorization(Protocol):
    """A scheme, and the credentials or the file that holds them."""

    @property
    def type(self) -> str: ...
    @property
    def credentials(self) -> Secret | None: ...
    @property
    def credentials_file(self) -> str | None: ...


class TLS(Protocol):
    """Whom to trust and who to be; paths are relative to the manifest."""

    @property
    def ca_file(self) -> str | None: ...
    @property
    def cert_file(self) -> str | None: ...
    @property
    def key_file(self) -> str | None: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def insecure_skip_verify(self) -> bool: ...


class ClientConfig(Protocol):
    """The keys of a client in a validated block; at most one of ``basic_auth`` and ``authorization`` is set."""

    @property
    def basic_auth(self) -> BasicAuth | None: ...
    @property
    def authorization(self) -> Authorization | None: ...
    @property
    def tls_config(self) -> TLS | None: ...
    @property
    def proxy_url(self) -> Secret | None: ...
    @property
    def follow_redirects(self) -> bool: ...
    @property
    def http_headers(self) -> Mapping[str, Secret]: ...
