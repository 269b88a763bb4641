"""The scalar types of manifests, each with its rule, its reason and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema

from extsync.addresses import check_address, is_address
from extsync.config import names
from extsync.config.durations import Duration, positive
from extsync.config.faults import kind_of, shown
from extsync.config.secret import masked_url

T = TypeVar("T")

HIGHEST_PORT: Final = 65535
INT_OR_STRING: Final[dict[str, Any]] = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
}


def described(check: Callable[[str], str]) -> Callable[[str], str]:
    """A check whose reasons are predicates ("is empty"), made to begin with the value they speak of."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise ValueError(f"{shown(text)} {error}") from None

    return checked


def port_number(value: object) -> int:
    """A port number; raises ValueError with the reason."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a port number, not {kind_of(value)}{_unquote(value)}")
    if not 1 <= value <= HIGHEST_PORT:
        raise ValueError(f"{value} is not a port: ports are 1 to {HIGHEST_PORT}")
    return value


def port_reference(value: object) -> int | str:
    """A port number or the name of a port of the manifest; raises ValueError with the reason."""
    if not isinstance(value, str):
        return port_number(value)
    if value.isdecimal():
        raise ValueError(f"must be a port number or a port's name{_unquote(value)}")
    return described(names.check_dns_label)(value)


def _unquote(value: object) -> str:
    return f": take the quotes away from {value!r}" if isinstance(value, str) and value.isdecimal() else ""


def probe_host(text: str) -> str:
    """An address that probes connect to."""
    return check_address(text, probe_target=True)


def _http_host(text: str) -> str:
    return probe_host(text) if is_address(text) else described(names.check_dns_name)(text)


_PORT: Final = re.compile(r":([0-9]+)$")
_LONGEST_NUMBER: Final = 20
_NO_REFERENCE: Final = (
    "is a URL with ${NAME}, which is replaced in secrets alone: "
    "a secret belongs to authorization, basicAuth or httpHeaders, and the URL is to be written out"
)


def _web_url(text: str) -> str:
    usable, wrong_port = False, ""
    try:
        parts = urlsplit(text)
        credentials = parts.username is not None
        wrong_port = _wrong_port(parts.netloc)
        usable = not wrong_port and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        credentials = "@" in text
    if credentials:
        # The text is not repeated: it holds a password.
        raise ValueError("has credentials in the URL, where they would show in logs: use basicAuth")
    if "${" in text:
        raise ValueError(_NO_REFERENCE)
    if wrong_port and text.isprintable():
        raise ValueError(f"{wrong_port} is not a port: ports are 1 to {HIGHEST_PORT}")
    if not usable or not text.isprintable() or " " in text:
        named = "this" if "@" in text else shown(text.partition("?")[0])
        raise ValueError(f"{named} is not a URL that begins with http:// or https:// and has a host")
    return text


def _wrong_port(netloc: str) -> str:
    """The number behind the host that is no port, or ""."""
    found = _PORT.search(netloc)
    if found is None or (len(found[1]) <= 5 and 1 <= int(found[1]) <= HIGHEST_PORT):
        return ""
    return found[1] if len(found[1]) <= _LONGEST_NUMBER else "the number behind the host"


def _consul_server(text: str) -> str:
    return _web_url(text if "://" in text else f"http://{text}")


def _name_server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if _is_host_name(host if colon else text):
        raise ValueError(f"{shown(text)} is a name, and a name server is given by its IP address: 192.0.2.53:53")
    if not colon or not port.isdecimal() or (":" in host and not bracketed):
        raise ValueError(f"{shown(text)} is not ip:port (for IPv6: [ip]:port), such as 192.0.2.53:53")
    address = check_address(host[1:-1] if bracketed else host, name_server=True)
    number = port_number(int(port))
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


def _is_host_name(text: str) -> bool:
    try:
        return not is_address(names.check_dns_name(text))
    except ValueError:
        return False


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(f"{shown(text)} is not a path of a file")
    return text


def _one_line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} must be one line of printable characters")
    return text


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def check_header_name(text: str) -> str:
    """A header's name as RFC 9110 has it."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{shown(text)} is not the name of an HTTP header")
    return text


Items = Annotated[tuple[T, ...], Strict(False)]
"""A list in a manifest; a tuple once it is read."""

PortNumber: TypeAlias = Annotated[
    int, PlainValidator(port_number), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": HIGHEST_PORT})
]
PortRef: TypeAlias = Annotated[int | str, PlainValidator(port_reference), WithJsonSchema(INT_OR_STRING)]
Natural: TypeAlias = Annotated[int, Field(ge=0)]
AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]
Percent: TypeAlias = Annotated[int, Field(ge=0, le=100)]
PositiveDuration: TypeAlias = Annotated[Duration, AfterValidator(positive)]

DnsLabel: TypeAlias = Annotated[str, AfterValidator(described(names.check_dns_label))]
ServiceName: TypeAlias = Annotated[str, AfterValidator(described(names.check_service_name))]
Subdomain: TypeAlias = Annotated[str, AfterValidator(described(names.check_subdomain))]
DnsName: TypeAlias = Annotated[str, AfterValidator(described(names.check_dns_name))]
LabelValue: TypeAlias = Annotated[str, AfterValidator(described(names.check_label_value))]
QualifiedName: TypeAlias = Annotated[str, AfterValidator(described(names.check_qualified_name))]

ProbeHost: TypeAlias = Annotated[str, AfterValidator(probe_host)]
HttpHost: TypeAlias = Annotated[str, AfterValidator(_http_host)]
NameServer: TypeAlias = Annotated[str, AfterValidator(_name_server)]
WebUrl: TypeAlias = Annotated[str, AfterValidator(_web_url), PlainSerializer(masked_url)]
ConsulServer: TypeAlias = Annotated[str, AfterValidator(_consul_server)]
FilePath: TypeAlias = Annotated[str, AfterValidator(_path)]
OneLine: TypeAlias = Annotated[str, AfterValidator(_one_line)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(check_header_name)]
