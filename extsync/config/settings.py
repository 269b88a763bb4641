"""The settings of a process: a YAML file, then ``EXTSYNC_*`` variables, then flags; the later wins.

Importing this module imports pydantic-settings, which takes longer than reading a manifest does: only commands that
need settings import it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from extsync.config import names
from extsync.config.documents import read_documents
from extsync.config.durations import Duration
from extsync.config.faults import Place, kind_of, suggestion
from extsync.config.files import read_files
from extsync.config.messages import describe
from extsync.config.networks import Cidr, Directory, NamespaceNetworks, Variable, from_json
from extsync.config.problems import Problem, written
from extsync.config.text import Document, Mark, TextFault
from extsync.config.values import DnsLabel, Items, PositiveDuration, described, probe_host
from extsync.errors import ConfigError

PREFIX: Final = "EXTSYNC_"
DEFAULT_OWNER: Final = "default"
"""The owner id of an installation that was given none."""


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _split(value: object) -> object:
    """In variables and flags a list is written with commas."""
    if isinstance(value, str):
        return [entry.strip() for entry in value.split(",") if entry.strip()]
    return value


def _owner(text: str) -> str:
    if not text:
        raise ValueError("is empty: an owner id tells installations apart")
    return described(names.check_label_value)(text)


Cidrs = Annotated[Items[Cidr], NoDecode, BeforeValidator(_split)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1)]
Share = Annotated[int, BeforeValidator(_number), Field(ge=1, le=100)]


def _address_and_port(text: str) -> tuple[str, int]:
    """The two halves of an address and a port as they are written together; the address may be missing, then "".

    Raises ValueError where it is not that; whether the address is one is not looked at.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or (":" in bare) is not (host != bare) or not (port.isdecimal() and int(port) < 65536):
        raise ValueError(text)
    return bare, int(port)


def _sentinel(text: str) -> str:
    try:
        host, port = _address_and_port(text)
        address = ip_address(probe_host(host))
    except ValueError:
        address, port = None, 0
    if address is None or not port:
        raise ValueError("is no address with a port: write 192.0.2.1:53 or [2001:db8::1]:53")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _source_address(text: str) -> str:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        raise ValueError(f"{text!r} is no IP address: write an address of this machine") from None
    return probe_host(text)


SourceAddress = Annotated[str, AfterValidator(_source_address)]


def _one_of_a_family(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if len({":" in address for address in addresses}) != len(addresses):
        raise ValueError("has two addresses of one family: probes are sent from one IPv4 and one IPv6 address at most")
    return addresses


Sentinel = Annotated[str, AfterValidator(_sentinel)]
"""Where a connection is accepted whenever the network is there: an IP address and a port."""


def _listen(text: str) -> str:
    if text == "none":
        return text
    try:
        host, _ = _address_and_port(text)
        if host:
            ip_address(host)
    except ValueError:
        raise ValueError("is no address with a port: write 127.0.0.1:9440, :9440 for all addresses, or none") from None
    return text


def _lease_namespace(text: str) -> str:
    return described(names.check_dns_label)(text) if text else text


class Settings(BaseSettings):
    """What holds for the whole process, whatever the manifests. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    owner: Annotated[str, AfterValidator(_owner)] = DEFAULT_OWNER
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9440"
    endpoint_metrics: bool = False
    namespaces: Annotated[Items[DnsLabel], NoDecode, BeforeValidator(_split)] = ()
    concurrency: Count = 4
    qps: Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)] = 20.0
    burst: Count = 30
    request_timeout: PositiveDuration = Duration(10)
    removal_delay: Duration = Duration(60)
    manifest_poll_interval: PositiveDuration = Duration(10)
    max_in_flight: Count = 10_000
    probe_workers: Annotated[int, BeforeValidator(_number), Field(ge=0, le=64)] = 0
    probe_source_addresses: Annotated[
        Items[Annotated[str, AfterValidator(_source_address)]],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(_one_of_a_family),
    ] = ()
    self_doubt_services: Annotated[int, BeforeValidator(_number), Field(ge=0)] = 3
    self_doubt_service_percent: Share = 80
    self_doubt_percent: Share = 50
    self_doubt_window: PositiveDuration = Duration(30)
    max_freeze: PositiveDuration = Duration(600)
    sentinels: Annotated[Items[Sentinel], NoDecode, BeforeValidator(_split), Field(max_length=16)] = ()
    leader_election: bool = False
    lease_namespace: Annotated[str, AfterValidator(_lease_namespace)] = ""
    lease_duration: PositiveDuration = Duration(15)
    renew_deadline: PositiveDuration = Duration(10)
    retry_period: PositiveDuration = Duration(2)
    shards: Annotated[int, BeforeValidator(_number), Field(ge=1, le=256)] = 1
    standby_probes: bool = True
    allowed_cidrs: Cidrs = ()
    denied_cidrs: Cidrs = ()
    contact_allowed_cidrs: Cidrs = ()
    contact_denied_cidrs: Cidrs = ()
    namespace_cidrs: Annotated[dict[DnsLabel, NamespaceNetworks], NoDecode, BeforeValidator(from_json)] = {}
    cluster_ranges: Literal["Read", "Settings"] = "Read"
    pod_cidrs: Cidrs = ()
    service_cidrs: Cidrs = ()
    node_cidrs: Cidrs = ()
    file_roots: Annotated[Items[Directory], NoDecode, BeforeValidator(_split)] = ()
    manifest_variables: Annotated[Items[Variable], NoDecode, BeforeValidator(_split)] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load_settings`` has put together, so that a test's settings do not depend on the environment."""
        return (init_settings,)


KEYS: Final[Mapping[str, str]] = {to_camel(name): name for name in Settings.model_fields}
"""The name of the setting behind each key of a settings file."""


def load_settings(config: str | Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process: the file ``config``, the environment, then ``overrides`` by name.

    Raises ConfigError with every fault, each with its place and cure; a file that is named has to exist.
    """
    layer = None if config is None else _FileLayer(str(config))
    environment = _read_environment()
    flags = dict(overrides or {})
    faults = [] if layer is None else layer.faults
    try:
        settings = Settings(**{**(layer.values if layer else {}), **environment, **flags})
    except ValidationError as error:
        faults.extend(_placed(details, flags, environment, layer) for details in error.errors(include_url=False))
    else:
        if not faults:
            return settings
    raise ConfigError("\n".join(faults))


def _placed(details: Any, flags: Mapping[str, Any], environment: Mapping[str, Any], layer: _FileLayer | None) -> str:
    """A fault in the value of a setting, and where that value came from."""
    name, *rest = details["loc"]
    message = describe(details)
    text = f"{message.text} ({message.hint})" if message.hint else message.text
    if name not in flags and name not in environment and layer is not None:
        return layer.fault((to_camel(name), *rest), message.text, message.hint)
    origin = f"--{name.replace('_', '-')}" if name in flags else f"{PREFIX}{name.upper()}"
    place = written(tuple(rest)) if rest and isinstance(rest[0], str) else ""  # of lists with commas the text says it
    return f"{origin}: {place}: {text}" if place else f"{origin}: {text}"


def _read_environment() -> dict[str, Any]:
    """The settings that variables give. Raises ConfigError for a variable that is nearly the name of one.

    Other unknown variables are let be: Kubernetes sets some for a Service of the name extsync.
    """
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in known:
            close = get_close_matches(variable, known, n=1, cutoff=0.9)
            if close:
                raise ConfigError(f"{variable}: unknown variable (did you mean {close[0]}?)")
    return EnvSettingsSource(Settings)()


class _FileLayer:
    """The settings of a file. Raises ConfigError where it is no settings file at all."""

    def __init__(self, path: str) -> None:
        if os.path.isdir(path):
            raise ConfigError(f"{path}: this is a directory: name the file with the settings")
        [file] = read_files([path], None)
        if isinstance(file, Problem):
            raise ConfigError(str(file))
        self._name = file.name
        self._reading = read_documents(file.text, only_json=file.is_json)
        documents = self._reading.documents
        self._refuse_other_files(documents)
        self._document = documents[0] if documents else Document(0, {}, Mark())
        self.values: dict[str, Any] = {}
        self.faults: list[str] = []
        for key, value in self._document.data.items():
            self._take(key, value)

    def _refuse_other_files(self, documents: Sequence[Document]) -> None:
        found = [] if self._reading.broken is None else [self._reading.broken]
        found.extend(fault for document in documents for fault in document.faults)
        for document in documents:
            if not isinstance(document.data, dict):
                found.append(TextFault(document.mark, f"settings are a mapping, not {kind_of(document.data)}"))
        if len(documents) > 1:
            found.append(TextFault(documents[1].mark, "settings are one document, and here another one begins"))
        if found:
            raise ConfigError("\n".join(self._line(fault) for fault in found))

    def _take(self, key: str, value: Any) -> None:
        name = KEYS.get(key)
        if name is None:
            meant = suggestion(key, KEYS)
            hint = f"did you mean {meant!r}?" if meant else f"known here: {', '.join(KEYS)}"
            self.faults.append(self.fault((key,), "unknown key", hint, at_key=True))
        elif value is None:
            self.faults.append(self.fault((key,), "is empty: give it a value or leave the key out", at_key=True))
        else:
            self.values[name] = value

    def fault(self, place: Place, message: str, hint: str = "", *, at_key: bool = False) -> str:
        """One line about the value at ``place``."""
        span = self._reading.locate(self._document, [place]).get(place)
        mark = self._document.mark if span is None else span.key if at_key else span.value
        return self._line(TextFault(mark, message, hint), written(place))

    def _line(self, fault: TextFault, path: str = "") -> str:
        return str(Problem(self._name, *fault.mark, "error", fault.message, fault.hint, path))
