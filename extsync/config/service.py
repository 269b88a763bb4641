"""The Service of a manifest: its ports and, where extsync keeps it, the fields of its spec."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from extsync.config.block import Block
from extsync.config.faults import Faults
from extsync.config.values import DnsLabel, Items, PortNumber, QualifiedName, Subdomain


class Port(Block):
    """One port of the Service; ``targetPort`` is the backends' number where they say nothing else."""

    name: DnsLabel | None = None
    port: PortNumber
    target_port: PortNumber | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: QualifiedName | None = None

    @property
    def target(self) -> int:
        """The number that backends listen on unless they say otherwise."""
        return self.port if self.target_port is None else self.target_port


class ClientIPConfig(Block):
    """How long a client stays with its endpoint."""

    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = 10800


class SessionAffinityConfig(Block):
    """Goes with ``sessionAffinity: ClientIP``."""

    client_ip: Annotated[ClientIPConfig | None, Field(alias="clientIP")] = None


IPFamily = Literal["IPv4", "IPv6"]


class ServiceSpec(Block):
    """Fields of Kubernetes's ServiceSpec, with its names and meanings; what is left out is left to Kubernetes."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: Annotated[Literal["None"] | None, Field(alias="clusterIP")] = None
    external_name: Subdomain | None = None
    ip_families: Annotated[Items[IPFamily], Field(min_length=1, max_length=2)] | None = None
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    session_affinity: Literal["ClientIP", "None"] | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = None
    internal_traffic_policy: Literal["Cluster", "Local"] | None = None
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    publish_not_ready_addresses: bool | None = None

    @property
    def headless(self) -> bool:
        """Whether the Service has no address of its own, and its name leads to the endpoints."""
        return self.cluster_ip == "None"

    @property
    def is_external_name(self) -> bool:
        """Whether the Service is an alias in DNS, without endpoints."""
        return self.type == "ExternalName"

    @model_validator(mode="after")
    def _accepted_by_kubernetes(self) -> Self:
        faults = Faults("service")
        if self.is_external_name:
            self._check_external_name(faults)
        else:
            self._check_addressed(faults)
        affinity = self.session_affinity_config
        if affinity is not None and self.session_affinity != "ClientIP":
            message = "has an effect only with sessionAffinity: ClientIP"
            faults.add(("sessionAffinityConfig",), message, reads=("sessionAffinity",))
        self._check_families(faults)
        faults.raise_any()
        return self

    def _check_external_name(self, faults: Faults) -> None:
        if self.external_name is None:
            faults.add((), "type ExternalName needs externalName", reads=("externalName",))
        for key in ("clusterIP", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"):
            if getattr(self, self.keys()[key]) is not None:
                faults.add((key,), "a Service of type ExternalName has no address: leave it out", reads=("type",))

    def _check_addressed(self, faults: Faults) -> None:
        exposed = self.type in ("NodePort", "LoadBalancer")
        if self.external_name is not None:
            faults.add(("externalName",), f"needs type: ExternalName; the type is {self.type}", reads=("type",))
        if self.headless and exposed:
            message = f"a Service of type {self.type} cannot be headless: leave out clusterIP or the type"
            faults.add(("clusterIP",), message, reads=("type",))
        if self.external_traffic_policy is not None and not exposed:
            message = f"needs type NodePort or LoadBalancer; the type is {self.type}"
            faults.add(("externalTrafficPolicy",), message, reads=("type",))

    def _check_families(self, faults: Faults) -> None:
        families = self.ip_families or ()
        if len(set(families)) < len(families):
            faults.add(("ipFamilies",), f"names {families[0]} twice")
        elif len(families) == 2 and self.ip_family_policy not in ("PreferDualStack", "RequireDualStack"):
            message = "two families need ipFamilyPolicy: PreferDualStack or RequireDualStack"
            faults.add(("ipFamilies",), message, reads=("ipFamilyPolicy",))
