"""How a source speaks to its server: TLS, authentication, headers. Prometheus's HTTP client options in our spelling."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from extsync.config.block import Block, SourceBlock
from extsync.config.faults import Faults, fail
from extsync.config.secret import Secret
from extsync.config.values import FilePath, HeaderName, HttpHost, OneLine, check_header_name

_TELLING = ("auth", "cookie", "token", "secret", "password", "key", "session", "signature", "credential")


def mark_header(name: str, value: Secret) -> Secret:
    """The value of header ``name``, marked as harmless unless headers of such a name commonly carry a secret.

    Raises ValueError where the value is not one line.
    """
    if value.has_line_break:
        raise ValueError("has a line break, which would begin another header: remove it")
    folded = name.lower()
    return value if any(word in folded for word in _TELLING) else value.as_harmless()


class TLS(Block):
    """TLS towards a backend; certificates are verified unless ``insecureSkipVerify``.

    Without ``caFile`` the system's certificate authorities are trusted; paths are relative to the manifest.
    """

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    server_name: HttpHost | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            missing = "keyFile" if self.key_file is None else "certFile"
            message = f"{missing} is missing: a client certificate needs certFile and keyFile"
            fail((), message, reads=("certFile", "keyFile"))
        return self


class ClientTLS(SourceBlock, TLS):
    """TLS towards the server of a source."""


class BasicAuth(SourceBlock):
    """User name and password; the password from a file (read again when it changes) or from ``${NAME}``."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("password", "passwordFile")
    NOUN: ClassVar[str] = "basicAuth"

    username: OneLine
    password: Secret | None = None
    password_file: FilePath | None = None


class Authorization(SourceBlock):
    """An Authorization header; the credentials from a file (read again when it changes) or from ``${NAME}``."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("credentials", "credentialsFile")
    NOUN: ClassVar[str] = "authorization"

    type: HeaderName = "Bearer"
    credentials: Secret | None = None
    credentials_file: FilePath | None = None


def _plain_headers(value: object) -> object:
    """Prometheus writes a header's value as ``{values: [text]}`` or ``{secrets: [text]}``; ours is the text."""
    if not isinstance(value, dict):
        return value
    return {name: _only_value(entry) for name, entry in value.items()}


def _only_value(entry: Any) -> Any:
    match entry:
        case {"values": [value]} | {"secrets": [value]} if len(entry) == 1:
            return value
    return entry


def _marked_headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    faults = Faults("httpHeaders")
    marked = {}
    for name, value in headers.items():
        try:
            marked[name] = mark_header(check_header_name(name), value)
        except ValueError as error:
            faults.add((name,), str(error))
    faults.raise_any()
    return marked


def _proxy(value: Secret) -> Secret:
    """A proxy's URL may hold credentials, so that it is kept as a secret; without them it may be shown."""
    if not value.is_literal:
        return value
    text = value.resolve({})
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable:
        raise ValueError("is not the URL of a proxy: write http://host:port")
    return value if parts.username is not None else value.as_harmless()


class Client(SourceBlock):
    """What every source that speaks HTTP takes besides its own keys."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: ClientTLS | None = None
    proxy_url: Annotated[Secret, AfterValidator(_proxy)] | None = None
    follow_redirects: bool = True
    http_headers: Annotated[dict[str, Secret], BeforeValidator(_plain_headers), AfterValidator(_marked_headers)] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        if self.basic_auth is not None and self.authorization is not None:
            fail(("authorization",), "authorization and basicAuth set the same header: give only one of them")
        return self
