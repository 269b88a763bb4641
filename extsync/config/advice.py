"""What is allowed in a manifest and yet most likely not what its author wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel

from extsync.config.faults import Place
from extsync.config.manifest import ExternalService, Spec
from extsync.config.rules import MIRRORED_ADDRESSES
from extsync.config.secret import Secret
from extsync.model import Backend

_LITERAL: Final = "a secret stands here in plain text: take it from a file or from the environment (${NAME})"


def advice(service: ExternalService) -> Iterator[tuple[Place, str]]:
    """Yields places in ``service``, each with what to know about it."""
    yield from ((place, _LITERAL) for place in _literal_secrets(service))
    spec = service.spec
    if spec.service is not None:
        if "Local" in (spec.service.internal_traffic_policy, spec.service.external_traffic_policy):
            yield from _without("nodeName", spec, "are local to no node: traffic policy Local never reaches them")
        if spec.service.traffic_distribution is not None:
            yield from _without("zone", spec, "have no zone: one such endpoint turns trafficDistribution off for all")
    yield from _pods(spec)
    yield from _one_port_for_all(spec)
    declared = sum(1 for _ in _static(spec))
    if "Endpoints" in spec.publish and declared > MIRRORED_ADDRESSES:
        message = (
            f"Endpoints are cut off at {MIRRORED_ADDRESSES} addresses, and {declared} are declared: "
            "publish EndpointSlice alone, unless something still reads Endpoints"
        )
        yield ("spec", "publish"), message


def _pods(spec: Spec) -> Iterator[tuple[Place, str]]:
    for index, source in enumerate(spec.sources):
        if source.pods is None:
            continue
        if "EndpointSlice" in spec.publish:
            message = (
                "Kubernetes publishes slices of pods by itself, and extsync's go beside them: give the Service a "
                "selector and leave this source out; it is for publish: [Endpoints], one object of pods and machines"
            )
            yield ("spec", "sources", index, "pods"), message
        if not source.pods.selector.match_labels and not source.pods.selector.match_expressions:
            message = "a selector without conditions selects every pod of the namespace"
            yield ("spec", "sources", index, "pods", "selector"), message


def _one_port_for_all(spec: Spec) -> Iterator[tuple[Place, str]]:
    """A backend's ``probe.port`` goes to every check, also where the checks name different ports."""
    ports = dict.fromkeys(check.port for check in spec.checks if check.port is not None)
    if len(ports) < 2:
        return
    for index, source in enumerate(spec.sources):
        for number, backend in enumerate(source.static.backends if source.static is not None else ()):
            if backend.probe is not None and backend.probe.port is not None:
                place = ("spec", "sources", index, "static", "backends", number, "probe", "port")
                yield place, f"all {len(spec.checks)} checks go to this port, although they name different ones"
                break


def _static(spec: Spec) -> Iterator[Backend]:
    for source in spec.sources:
        if source.static is not None:
            yield from source.static.backends


def _without(key: str, spec: Spec, consequence: str) -> Iterator[tuple[Place, str]]:
    """One warning for each source that declares backends without ``key``, at the first of them."""
    for index, source in enumerate(spec.sources):
        backends = source.static.backends if source.static is not None else ()
        lacking = [number for number, backend in enumerate(backends) if not _has(backend, key)]
        if lacking:
            place = ("spec", "sources", index, "static", "backends", lacking[0])
            yield place, f"{len(lacking)} of {len(backends)} backends without {key} {consequence}"


def _has(backend: Backend, key: str) -> bool:
    return (backend.zone if key == "zone" else backend.node_name) is not None


def _literal_secrets(block: BaseModel, place: Place = ()) -> Iterator[Place]:
    """The places of secrets that are written out in ``block``, found by type, so that none is forgotten."""
    for name, field in type(block).model_fields.items():
        yield from _in_value(getattr(block, name), (*place, field.alias or name))


def _in_value(value: object, place: Place) -> Iterator[Place]:
    if isinstance(value, Secret):
        if value.is_literal and not value.harmless:
            yield place
    elif isinstance(value, BaseModel):
        yield from _literal_secrets(value, place)
    elif isinstance(value, dict):
        yield from _in_entries(value.items(), place)
    elif isinstance(value, tuple) and not (value and isinstance(value[0], Backend)):
        yield from _in_entries(enumerate(value), place)


def _in_entries(entries: Iterable[tuple[int | str, object]], place: Place) -> Iterator[Place]:
    for step, value in entries:
        yield from _in_value(value, (*place, step))
