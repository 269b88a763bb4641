"""The checks of a manifest: Kubernetes's probes in Kubernetes's words, and what goes beyond them."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from extsync.config.block import Block
from extsync.config.client import TLS, mark_header
from extsync.config.faults import fail, kind_of, shown
from extsync.config.secret import Secret
from extsync.config.sources import PluginBlock
from extsync.config.values import (
    AtLeastOne,
    DnsLabel,
    HeaderName,
    HttpHost,
    Items,
    Natural,
    OneLine,
    PortRef,
    ProbeHost,
)


class StatusRange(NamedTuple):
    """HTTP statuses from ``low`` to ``high``, both included."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


_STATUS = r"[1-5][0-9][0-9]"
_STATUSES = re.compile(rf"({_STATUS})(?:-({_STATUS}))?")


def _statuses(value: object) -> StatusRange:
    if isinstance(value, StatusRange):
        return value
    if not isinstance(value, str):
        raise ValueError(f'must be text such as "200" or "200-299", not {kind_of(value)}: put it in quotes')
    found = _STATUSES.fullmatch(value)
    statuses = StatusRange(int(found[1]), int(found[2] or found[1])) if found else None
    if statuses is None or statuses.low > statuses.high:
        raise ValueError(f'{shown(value)} is not a status or a range of them such as "200" or "200-299"')
    return statuses


Statuses = Annotated[
    StatusRange,
    PlainValidator(_statuses),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": rf"^{_STATUS}(-{_STATUS})?$"}),
]


def _path(text: str) -> str:
    """The path of a request; Kubernetes puts a missing slash before it as well."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{shown(text)} is not the path of a URL: write other characters as %XX")
    return text if text.startswith("/") else f"/{text}"


_LONGEST_DATAGRAM = 1200  # what fits into one packet on any network, with room for tunnels


def _datagram(text: str) -> str:
    if len(text.encode()) > _LONGEST_DATAGRAM:
        raise ValueError(f"is longer than {_LONGEST_DATAGRAM} bytes, which one packet may not hold")
    return text


NonEmpty: TypeAlias = Annotated[str, Field(min_length=1)]
Datagram: TypeAlias = Annotated[NonEmpty, AfterValidator(_datagram)]
User: TypeAlias = Annotated[OneLine, Field(max_length=63)]
GrpcService: TypeAlias = Annotated[OneLine, Field(max_length=255)]


class HttpHeader(Block):
    """A header of a probe's request; the value may hold ``${NAME}``."""

    name: HeaderName
    value: Secret

    @field_validator("value")
    @classmethod
    def _one_line(cls, value: Secret, info: ValidationInfo) -> Secret:
        return mark_header(info.data.get("name", ""), value)


class TcpSocket(Block):
    """Passes where a connection opens and, with ``expect``, where that text comes back (after ``send`` was sent)."""

    port: PortRef
    host: ProbeHost | None = None
    send: NonEmpty | None = None
    expect: NonEmpty | None = None


class HttpGet(Block):
    """Passes where the status is among ``expectedStatuses`` and, with ``expectedBody``, the body contains that text."""

    path: Annotated[str, AfterValidator(_path)] = "/"
    port: PortRef
    host: HttpHost | None = None
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    http_headers: Items[HttpHeader] = ()
    expected_statuses: Annotated[Items[Statuses], Field(min_length=1)] = (StatusRange(200, 399),)
    expected_body: NonEmpty | None = None
    tls_config: TLS | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls_config is not None and self.scheme == "HTTP":
            fail(("tlsConfig",), "tlsConfig has no use with scheme HTTP: write scheme: HTTPS", reads=("scheme",))
        if self.expected_body is not None and self.method == "HEAD":
            fail(("expectedBody",), "an answer to HEAD has no body: use method GET", reads=("method",))
        return self


class Grpc(Block):
    """Passes where gRPC's health service says SERVING for ``service``."""

    port: PortRef
    host: ProbeHost | None = None
    service: GrpcService = ""
    tls_config: TLS | None = None


class TlsHandshake(Block):
    """Passes where a TLS handshake succeeds and the certificate is valid."""

    port: PortRef
    host: ProbeHost | None = None
    tls_config: TLS | None = None


class Udp(Block):
    """Passes where a datagram with ``expect`` in it comes back after ``send``."""

    port: PortRef
    host: ProbeHost | None = None
    send: Datagram
    expect: NonEmpty


class Greeting(Block):
    """Passes where the server answers in its own protocol; without ``tlsConfig`` that is spoken in the clear."""

    port: PortRef
    host: ProbeHost | None = None
    tls_config: TLS | None = None


class Mysql(Greeting):
    """Passes where a MySQL or MariaDB server is ready for a login; it counts none as failed where ``user`` exists."""

    user: User = "extsync"


class Postgres(Greeting):
    """Passes where a PostgreSQL server accepts connections; the login ends before a password is asked for."""

    user: User = "extsync"


class Redis(Greeting):
    """Passes where a Redis server answers PING, if only with the demand to log in first."""


class Check(Block):
    """How backends are probed; exactly one of the blocks from ``tcpSocket`` to ``plugin``."""

    ONE_OF: ClassVar[tuple[str, ...]] = (
        "tcpSocket", "httpGet", "grpc", "tls", "udp", "mysql", "postgres", "redis", "plugin",
    )  # fmt: skip
    NOUN: ClassVar[str] = "check"

    name: DnsLabel | None = None
    tcp_socket: TcpSocket | None = None
    http_get: HttpGet | None = None
    grpc: Grpc | None = None
    tls: TlsHandshake | None = None
    udp: Udp | None = None
    mysql: Mysql | None = None
    postgres: Postgres | None = None
    redis: Redis | None = None
    plugin: PluginBlock | None = None
    initial_delay_seconds: Natural = 0
    period_seconds: AtLeastOne = 10
    timeout_seconds: AtLeastOne = 1
    success_threshold: AtLeastOne = 1
    failure_threshold: AtLeastOne = 3
    transition_period_seconds: AtLeastOne | None = None
    close: Literal["fin", "rst"] = "fin"

    @model_validator(mode="after")
    def _transition_is_not_slower(self) -> Self:
        period = self.transition_period_seconds
        if period is not None and period > self.period_seconds:
            message = f"is longer than periodSeconds ({self.period_seconds}): it is for probing faster near a change"
            fail(("transitionPeriodSeconds",), message, reads=("periodSeconds",))
        return self

    @property
    def kind(self) -> str:
        """The key of its block, which for a plugin is ``plugin``."""
        return next(key for key in self.ONE_OF if self._block(key) is not None)

    @property
    def factory(self) -> str:
        """The name under which it is registered: its kind, or the type of a plugin."""
        return self.plugin.type if self.plugin is not None else self.kind

    @property
    def config(self) -> Any:
        """The block of its kind, or the free-form config of a plugin."""
        return self.plugin.config if self.plugin is not None else self._block(self.kind)

    @property
    def port(self) -> int | str | None:
        """The port that is probed; None where a plugin decides."""
        return None if self.plugin is not None else self._block(self.kind).port

    def _block(self, key: str) -> Any:
        return getattr(self, self.keys()[key])
