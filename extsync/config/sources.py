"""The sources of a manifest: each has a name, what holds for every kind, and exactly one block that says its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from extsync.addresses import is_address
from extsync.config.backends import Backends
from extsync.config.block import Block, SourceBlock
from extsync.config.client import Client
from extsync.config.durations import Duration
from extsync.config.faults import Faults, fail, shown
from extsync.config.names import check_dns_name
from extsync.config.prometheus import rewrite_sd_configs
from extsync.config.relabel import Relabel
from extsync.config.secret import Secret, masked
from extsync.config.values import (
    AtLeastOne,
    ConsulServer,
    DnsLabel,
    DnsName,
    FilePath,
    Items,
    LabelValue,
    NameServer,
    Natural,
    OneLine,
    PortNumber,
    PositiveDuration,
    QualifiedName,
    WebUrl,
    described,
)


class StaticSource(SourceBlock):
    """Backends as declared here."""

    backends: Backends


class FileSource(SourceBlock):
    """Backends from files: lists in this manifest's form, or Prometheus's file_sd payload, as YAML or JSON.

    Paths are relative to the manifest. Changes are noticed at once; ``refreshInterval`` is the fallback.
    """

    files: Annotated[Items[FilePath], Field(min_length=1)]
    refresh_interval: PositiveDuration = Duration(300)


class HttpSource(Client):
    """Backends from a URL that answers with Prometheus's http_sd payload."""

    url: WebUrl = Field(repr=False)
    refresh_interval: PositiveDuration = Duration(60)
    max_body_bytes: AtLeastOne = 10 * 1024 * 1024


def _looked_up(text: str) -> str:
    if is_address(text):
        raise ValueError(f"{shown(text)} is an address, which needs no DNS: use static, or file")
    return described(check_dns_name)(text)


LookedUp: TypeAlias = Annotated[str, AfterValidator(_looked_up)]


class DnsSource(SourceBlock):
    """Backends from DNS; ``Host`` is A and AAAA together. SRV records bring their ports, the others take ``port``."""

    INSTEAD: ClassVar[Mapping[str, str]] = {"refresh_interval": "names are looked up by their TTL: write maxTTL"}

    names: Annotated[Items[LookedUp], Field(min_length=1)]
    type: Literal["Host", "A", "AAAA", "SRV"] = "Host"
    port: PortNumber | None = None
    nameservers: Items[NameServer] = ()
    transport: Literal["UDP", "TCP", "TLS"] = "UDP"
    search_domains: Items[DnsName] = ()
    min_ttl: Annotated[PositiveDuration, Field(alias="minTTL")] = Duration(1)
    max_ttl: Annotated[PositiveDuration, Field(alias="maxTTL")] = Duration(300)
    timeout: PositiveDuration = Duration(5)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # The default of minTTL gives way to a shorter maxTTL: nobody wrote it.
        if "min_ttl" in self.model_fields_set and self.min_ttl > self.max_ttl:
            fail(("minTTL",), f"minTTL {self.min_ttl} is longer than maxTTL {self.max_ttl}", reads=("minTTL", "maxTTL"))
        if self.type == "SRV" and self.port is not None:
            fail(("port",), "SRV records bring their own ports: leave port out", reads=("type", "port"))
        return self


_QUOTED: Final = re.compile(r'"[^"]*"|`[^`]*`')
_OF_THE_CATALOG: Final = re.compile(r"\b(?:Service(Address|ID|Kind|Meta|Name|Port|Tags|TaggedAddresses)|Node(Meta))\b")


def _filter(text: str) -> str:
    """Consul's endpoints differ in what they call things, and Prometheus's ``filter`` is one for the catalog."""
    found = _OF_THE_CATALOG.search(_QUOTED.sub("", text))
    if found is not None:
        word = {"Name": "Service"}.get(found[1], found[1])
        meant = f"Service.{word}" if found[1] else f"Node.{found[2]}"
        raise ValueError(f"{found[0]} is a word of the catalog, and instances are filtered here: write {meant}")
    return text


Filter: TypeAlias = Annotated[str, AfterValidator(_filter)]


class ConsulSource(Client):
    """Backends from Consul's health endpoint, with blocking queries."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        **Client.INSTEAD,
        "scheme": "begin server with it: https://host:port",
        "refresh_interval": "changes are waited for: write wait",
        "health_filter": "instances are what filter filters: write filter",
        "username": "write basicAuth: {username: NAME, passwordFile: PATH}",
        "password": "write basicAuth: {username: NAME, passwordFile: PATH}",
    }

    server: ConsulServer
    services: Annotated[Items[OneLine], Field(min_length=1)]
    tags: Items[OneLine] = ()
    tag_separator: str = ","
    node_meta: dict[str, str] = Field(default_factory=dict)
    filter: Filter | None = None
    datacenter: OneLine | None = None
    namespace: OneLine | None = None
    partition: OneLine | None = None
    path_prefix: str | None = None
    tagged_address: OneLine | None = None
    allow_stale: bool = True
    warning: Literal["Ready", "NotReady"] = "Ready"
    wait: PositiveDuration = Duration(300)
    token: Secret | None = None
    token_file: FilePath | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            fail(("tokenFile",), "token and tokenFile say the same thing: give only one of them")
        return self


class LabelRequirement(Block):
    """One expression of a label selector."""

    key: QualifiedName
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Items[LabelValue] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        takes_values = self.operator in ("In", "NotIn")
        if takes_values != bool(self.values):
            rule = "needs values" if takes_values else "takes no values"
            fail(("values",) if self.values else (), f"operator {self.operator} {rule}", reads=("operator", "values"))
        return self


class LabelSelector(Block):
    """A label selector as in Kubernetes; without conditions it selects everything."""

    match_labels: dict[QualifiedName, LabelValue] = Field(default_factory=dict)
    match_expressions: Items[LabelRequirement] = ()


class PodsSource(SourceBlock):
    """Pods of the manifest's own namespace that have an address."""

    selector: LabelSelector


class PluginBlock(SourceBlock):
    """Something registered by another package; ``config`` is its own."""

    type: OneLine
    config: Annotated[dict[str, Any], PlainSerializer(masked)] = Field(default_factory=dict, repr=False)


class Hold(Block):
    """How long what a source no longer reports stays: after NXDOMAIN or a missing service, after an empty answer, and
    after an answer without it (left out: two refreshes of DNS, whose answers rotate, and no time for all others). A
    source that fails holds for ever."""

    nx: Duration = Duration(30)
    nodata: Duration = Duration(30)
    obsolete: Duration | None = None


class Source(Block):
    """Where backends come from; exactly one of the blocks from ``static`` on."""

    ONE_OF: ClassVar[tuple[str, ...]] = ("static", "file", "http", "dns", "consul", "pods", "plugin")
    NOUN: ClassVar[str] = "source"
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "kubernetes_sd_configs": "use pods: {selector: {matchLabels: {...}}} for pods of the manifest's namespace"
    }

    name: DnsLabel
    group: LabelValue = ""
    priority: Natural = 0
    port_name: DnsLabel | None = None
    health: Literal["source", "probe", "both"] = "both"
    hold: Hold = Field(default_factory=Hold)
    relabel: Items[Relabel] = ()
    static: StaticSource | None = None
    file: FileSource | None = None
    http: HttpSource | None = None
    dns: DnsSource | None = None
    consul: ConsulSource | None = None
    pods: PodsSource | None = None
    plugin: PluginBlock | None = None

    @classmethod
    def rewrite(cls, data: dict[str, Any], faults: Faults) -> dict[str, Any]:
        return rewrite_sd_configs(data, faults)

    @classmethod
    def _check_union(cls, data: dict[str, Any], unknown: dict[str, str], faults: Faults) -> None:
        if not cls.INSTEAD.keys() & data.keys():  # for which it is said what to write
            super()._check_union(data, unknown, faults)

    @property
    def kind(self) -> str:
        """The key of its block, which for a plugin is ``plugin``."""
        return next(key for key in self.ONE_OF if getattr(self, key) is not None)

    @property
    def factory(self) -> str:
        """The name under which its factory is registered: its kind, or the type of a plugin."""
        return self.plugin.type if self.plugin is not None else self.kind

    @property
    def config(self) -> Any:
        """What its factory is given: the block of its kind, or the free-form config of a plugin."""
        return self.plugin.config if self.plugin is not None else getattr(self, self.kind)
