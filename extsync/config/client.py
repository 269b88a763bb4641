"""How a source speaks to its server: TLS, authentication, headers. Prometheus's HTTP client options in our spelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from extsync.config.block import Block, SourceBlock
from extsync.config.faults import Faults, fail
from extsync.config.secret import Secret, is_telling
from extsync.config.values import FilePath, HttpHost, OneLine, check_header_name

_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "expect", "host", "if-none-match",
        "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers that say how extsync itself speaks HTTP; Prometheus refuses most of them too."""

_NO_MANAGER = "there is no manager of secrets: mount the secret as a file, or write ${NAME}"
_INLINE = "certificates and keys come from files, which are read again when they change: write "
_PROXY = "extsync reads no proxies from the environment by itself: write "


def mark_header(name: str, value: Secret) -> Secret:
    """The value of header ``name``, marked as harmless unless headers of such a name commonly carry a secret.

    Raises ValueError where the value is not one line.
    """
    if value.has_line_break:
        raise ValueError("has a line break, which would begin another header: remove it")
    return value if is_telling(name) else value.as_harmless()


class TLS(Block):
    """TLS towards a backend; certificates are verified unless ``insecureSkipVerify``.

    Without ``caFile`` the system's certificate authorities are trusted; paths are relative to the manifest.
    """

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "ca": _INLINE + "caFile",
        "cert": _INLINE + "certFile",
        "key": _INLINE + "keyFile",
        "ca_ref": _NO_MANAGER,
        "cert_ref": _NO_MANAGER,
        "key_ref": _NO_MANAGER,
        "min_version": "TLS 1.2 is the oldest version that is spoken: leave it out",
        "max_version": "the newest version that both sides know is spoken: leave it out",
    }

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


def _user(name: str) -> str:
    if ":" in name:
        raise ValueError("has a colon, at which servers end a user's name: use another user")
    return name


class BasicAuth(SourceBlock):
    """User name and password; the password from a file (read again when it changes) or from ``${NAME}``."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("password", "passwordFile")
    NOUN: ClassVar[str] = "basicAuth"
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "username_file": "a user's name is no secret: write username",
        "username_ref": "a user's name is no secret: write username",
        "password_ref": _NO_MANAGER,
    }

    username: Annotated[OneLine, AfterValidator(_user)]
    password: Secret | None = None
    password_file: FilePath | None = None


def _scheme(text: str) -> str:
    try:
        return check_header_name(text.strip())
    except ValueError:
        # The text is not repeated: people write the credentials here too.
        raise ValueError("is one word such as Bearer: what follows it belongs to credentials") from None


class Authorization(SourceBlock):
    """An Authorization header; the credentials from a file (read again when it changes) or from ``${NAME}``."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("credentials", "credentialsFile")
    NOUN: ClassVar[str] = "authorization"
    INSTEAD: ClassVar[Mapping[str, str]] = {"credentials_ref": _NO_MANAGER}

    type: Annotated[str, AfterValidator(_scheme)] = "Bearer"
    credentials: Secret | None = None
    credentials_file: FilePath | None = None


def _plain_headers(value: object) -> object:
    """Prometheus writes a header's value as ``{values: [text]}`` or ``{secrets: [text]}``; ours is the text."""
    if not isinstance(value, dict):
        return value
    faults = Faults("httpHeaders")
    plain = {}
    for name, entry in value.items():
        try:
            plain[name] = _only_value(entry)
        except ValueError as error:
            faults.add((str(name),), str(error))
    faults.raise_any()
    return plain


def _only_value(entry: Any) -> Any:
    match entry:
        case {"values": [value], **others} if not others:
            return value
        case {"secrets": [str() as value], **others} if not others:
            return Secret(value, confidential=True)
        case {"files": _}:
            raise ValueError("takes no values from files: write ${NAME}, or use authorization with credentialsFile")
        case {"values": _} | {"secrets": _}:
            raise ValueError("has not exactly one value, and a header is sent once: join its values by commas")
    return entry


def _marked_headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    faults = Faults("httpHeaders")
    marked = {}
    for name, value in headers.items():
        try:
            marked[name] = mark_header(_free_header(name), value)
        except ValueError as error:
            faults.add((name,), str(error))
    faults.raise_any()
    return marked


def _free_header(name: str) -> str:
    """The name of a header that a manifest may set."""
    if check_header_name(name).lower() in _OURS:
        raise ValueError("is set by extsync itself: leave it out")
    return name


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

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "oauth2": "let something else fetch the token into a file, and write authorization: {credentialsFile: PATH}",
        "bearer_token": "write authorization: {credentials: TOKEN}",
        "bearer_token_file": "write authorization: {credentialsFile: PATH}",
        "enable_http2": "HTTP/1.1 is spoken: leave it out",
        "proxy_from_environment": _PROXY + 'proxyUrl: "${HTTPS_PROXY}", which takes it from there',
        "no_proxy": "a source has one server: leave this out, and proxyUrl too where that is not to be used",
        "proxy_connect_header": "credentials for a proxy belong to its URL: write proxyUrl: http://user:${NAME}@host:port",
    }

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
        for name in self.http_headers if self.basic_auth or self.authorization else ():
            if name.lower() == "authorization":
                key = "basicAuth" if self.basic_auth else "authorization"
                fail(("httpHeaders", name), f"{key} sets this header too: give only one of them")
        return self
