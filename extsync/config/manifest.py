"""The manifest: one document is one Service. docs/manifest.md is the reference for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from extsync.config import names, rules
from extsync.config.block import Block
from extsync.config.checks import Check
from extsync.config.faults import Faults
from extsync.config.policy import Policy
from extsync.config.service import Port, ServiceSpec
from extsync.config.sources import Source
from extsync.config.values import DnsLabel, Items, ServiceName, described
from extsync.model import ServiceKey

API_VERSION = "extsync.dev/v1alpha1"
KIND = "ExternalService"

Published: TypeAlias = Literal["EndpointSlice", "Endpoints"]


def _check_each(entries: dict[str, str], key: Callable[[str], str], value: Callable[[str], str]) -> dict[str, str]:
    faults = Faults("metadata")
    for name, text in entries.items():
        for check, checked in ((key, name), (value, text)):
            try:
                check(checked)
            except ValueError as error:
                faults.add((name,), str(error))
    faults.raise_any()
    return entries


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    return _check_each(labels, described(names.check_own_label_key), described(names.check_label_value))


def _check_annotations(annotations: dict[str, str]) -> dict[str, str]:
    size = sum(len(text.encode()) for pair in annotations.items() for text in pair)
    if size > names.LARGEST_ANNOTATIONS:
        raise ValueError(f"have {size} bytes together: Kubernetes takes at most {names.LARGEST_ANNOTATIONS}")
    return _check_each(annotations, described(names.check_own_annotation_key), lambda text: text)


class Metadata(Block):
    """Names the Service. Labels and annotations go onto every object that is written for it."""

    name: ServiceName
    namespace: DnsLabel = "default"
    labels: Annotated[dict[str, str], AfterValidator(_check_labels)] = Field(default_factory=dict)
    annotations: Annotated[dict[str, str], AfterValidator(_check_annotations)] = Field(default_factory=dict)


def _check_publish(publish: tuple[Published, ...]) -> tuple[Published, ...]:
    if len(set(publish)) < len(publish):
        raise ValueError(f"names {publish[0]} twice")
    return publish


class Spec(Block):
    """What is published and from where.

    Without ``service`` the Service must exist, and without ``ports`` its ports are taken. Without ``checks`` an
    endpoint is as ready as its source says.
    """

    service: ServiceSpec | None = None
    ports: Items[Port] = ()
    sources: Items[Source] = ()
    checks: Items[Check] = ()
    publish: Annotated[Items[Published], Field(min_length=1), AfterValidator(_check_publish)] = (
        "EndpointSlice",
        "Endpoints",
    )
    policy: Policy = Field(default_factory=Policy)

    @classmethod
    def rewrite(cls, data: dict[str, Any], faults: Faults) -> dict[str, Any]:
        rules.check_unique_names(data, faults)
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = Faults("spec")
        rules.check_spec(self, faults)
        faults.raise_any()
        return self


class ExternalService(Block):
    """One Service and what is behind it, outside the cluster."""

    api_version: Literal["extsync.dev/v1alpha1"]
    kind: Literal["ExternalService"]
    metadata: Metadata
    spec: Spec

    @property
    def key(self) -> ServiceKey:
        """Namespace and name of its Service."""
        return ServiceKey(self.metadata.namespace, self.metadata.name)
