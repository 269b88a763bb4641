"""Backends as people write them, in manifests and in the files of a ``file`` source, read by hand.

There can be 100,000 of them in one list: they become ``extsync.model.Backend`` at once, with no pydantic model for
each. Every fault of every entry is reported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from pydantic import PlainSerializer, PlainValidator, ValidationError, WithJsonSchema

from extsync.addresses import check_address
from extsync.config import names
from extsync.config.faults import Faults, Place, kind_of, suggestion
from extsync.config.values import HIGHEST_PORT, INT_OR_STRING, described, port_number, port_reference, probe_host
from extsync.model import Backend, ProbeOverride, TargetRef

PortNumbers: TypeAlias = tuple[tuple[str, int], ...]
Fields: TypeAlias = Mapping[str, tuple[str, Callable[[Any], Any]]]
"""Each key of a mapping with the Python name it is kept under and the check that reads its value."""

_NOWHERE: Final = Backend("")
"""Stands for an entry with faults until they are raised."""


def read_backends(entries: object) -> tuple[Backend, ...]:
    """Reads a list of backends; raises ValidationError with every fault of every entry.

    Raises ValueError where ``entries`` is no list at all.
    """
    if not isinstance(entries, list | tuple):
        raise ValueError(f"must be a list of backends, not {kind_of(entries)}")
    faults = Faults("backends")
    backends = tuple(_backend(entry, (index,), faults) for index, entry in enumerate(entries))
    _report_duplicates(backends, faults)
    faults.raise_any()
    return backends


def read_backend(entry: object) -> Backend:
    """Reads one backend; raises ValidationError with every fault of it."""
    faults = Faults("backend")
    backend = _backend(entry, (), faults)
    faults.raise_any()
    return backend


def write_backends(backends: tuple[Backend, ...]) -> list[dict[str, Any]]:
    """The inverse of ``read_backends``: mappings as in a manifest, without defaults."""
    return [_mapping(backend) for backend in backends]


def _backend(entry: object, place: Place, faults: Faults) -> Backend:
    if isinstance(entry, Backend):
        return entry
    if not isinstance(entry, dict):
        hint = "write {address: ...}" if isinstance(entry, str) else ""
        faults.add(place, f"a backend is a mapping with an address, not {kind_of(entry)}", hint=hint)
        return _NOWHERE
    before = len(faults)
    values = _values(entry, _BACKEND, place, faults)
    if "address" not in entry:
        misspelt = [key for key in entry if key not in _BACKEND and suggestion(key, _BACKEND) == "address"]
        if not misspelt:
            faults.add_missing((*place, "address"))
    return Backend(**values) if len(faults) == before else _NOWHERE


def _values(entry: dict[Any, Any], fields: Fields, place: Place, faults: Faults) -> dict[str, Any]:
    """The values that pass their checks, by Python name; the others are noted in ``faults``."""
    values = {}
    for key, value in entry.items():
        field = fields.get(key)
        if field is None:
            faults.add_unknown((*place, key), known=fields, given=entry)
        elif value is None:
            faults.add((*place, key), "is empty: give it a value or leave the key out")
        else:
            name, check = field
            try:
                values[name] = check(value)
            except ValidationError as error:
                faults.include(error, at=(*place, key))
            except ValueError as error:
                faults.add((*place, key), str(error))
    return values


def _report_duplicates(backends: tuple[Backend, ...], faults: Faults) -> None:
    """The same address with the same ports twice is one endpoint declared twice."""
    first: dict[str, int] = {}
    again: dict[str, list[int]] = {}
    for index, backend in enumerate(backends):
        if backend is not _NOWHERE and first.setdefault(backend.address, index) != index:
            again.setdefault(backend.address, [first[backend.address]]).append(index)
    for address, indexes in again.items():
        known = set()
        for index in indexes:
            ports = (backends[index].port, backends[index].ports)
            if ports in known:
                message = f"{address} with the same ports is in the list already: leave one out"
                faults.add((index, "address"), message, reads=("backends",))
            known.add(ports)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {kind_of(value)}: put it in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {kind_of(value)}")
    return value


def _checked(check: Callable[[str], str]) -> Callable[[Any], str]:
    """A check of text; what it returns is kept once, however many backends have it."""
    return lambda value: sys.intern(check(_text(value)))


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _zone(text: str) -> str:
    """The API checks no zone, but a zone is what the label topology.kubernetes.io/zone of nodes has for a value."""
    return names.check_label_value(_not_empty(text))


def _port_numbers(value: object) -> PortNumbers:
    if not isinstance(value, dict):
        raise ValueError(f"must be a mapping of port names to numbers, not {kind_of(value)}")
    faults = Faults("ports")
    pairs = []
    for name, number in value.items():
        try:
            pairs.append((sys.intern(_port_name(name)), port_number(number)))
        except ValueError as error:
            faults.add((str(name),), str(error))
    faults.raise_any()
    return _one_copy(tuple(sorted(pairs)))


@lru_cache(maxsize=1024)
def _one_copy(ports: PortNumbers) -> PortNumbers:
    """Backends of one list mostly have the same ports: they share one tuple."""
    return ports


def _block(kind: type[msgspec.Struct], fields: Fields) -> Callable[[Any], Any]:
    def read(value: object) -> msgspec.Struct:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping with {', '.join(fields)}, not {kind_of(value)}")
        faults = Faults(kind.__name__)
        values = _values(value, fields, (), faults)
        faults.raise_any()
        return kind(**values)

    return read


_port_name = described(names.check_dns_label)

_PROBE: Final[Fields] = {
    "enabled": ("enabled", _flag),
    "host": ("host", lambda value: probe_host(_text(value))),
    "port": ("port", port_reference),
}
_TARGET_REF: Final[Fields] = {
    name: (name, lambda value: described(_not_empty)(_text(value))) for name in ("kind", "namespace", "name", "uid")
}
_BACKEND: Final[Fields] = {
    "address": ("address", lambda value: check_address(_text(value))),
    "port": ("port", port_number),
    "ports": ("ports", _port_numbers),
    "hostname": ("hostname", lambda value: described(names.check_dns_label)(_text(value))),
    "nodeName": ("node_name", _checked(described(names.check_subdomain))),
    "zone": ("zone", _checked(described(_zone))),
    "group": ("group", _checked(described(names.check_label_value))),
    "drain": ("drain", _flag),
    "ready": ("ready", _flag),
    "targetRef": ("target_ref", _block(TargetRef, _TARGET_REF)),
    "probe": ("probe", _block(ProbeOverride, _PROBE)),
}


PORT_NUMBER_SCHEMA: Final = {"type": "integer", "minimum": 1, "maximum": HIGHEST_PORT}

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["address"],
    "additionalProperties": False,
    "properties": {
        "address": {"type": "string", "description": "An IPv4 or IPv6 address; not a host name."},
        "port": {**PORT_NUMBER_SCHEMA, "description": "The number behind the source's portName (or the only port)."},
        "ports": {
            "type": "object",
            "additionalProperties": PORT_NUMBER_SCHEMA,
            "description": "Numbers by port name; ports that are not named take the manifest's targetPort.",
        },
        "hostname": {"type": "string", "description": "Its name under a headless Service, an RFC 1123 label."},
        "nodeName": {"type": "string", "description": "The node it counts as local to."},
        "zone": {"type": "string", "description": "For trafficDistribution, a value of topology.kubernetes.io/zone."},
        "group": {"type": "string", "description": "Instead of the source's group."},
        "drain": {"type": "boolean", "default": False, "description": "Finish connections and take no new ones."},
        "ready": {"type": "boolean", "default": True, "description": "The source's own word on its health."},
        "targetRef": {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "string", "description": f"Its {name}."} for name in _TARGET_REF},
            "description": "The object that the endpoint stands for.",
        },
        "probe": {
            "type": "object",
            "additionalProperties": False,
            "description": "Where and whether it is probed, instead of at its address and port.",
            "properties": {
                "enabled": {"type": "boolean", "default": True, "description": "False: it is ready as declared."},
                "host": {"type": "string", "description": "An IP address."},
                "port": {**INT_OR_STRING, "description": "A number, or the name of a port."},
            },
        },
    },
}


def _mapping(backend: Backend) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(backend)
    plain.pop("labels", None)
    if backend.ports:
        plain["ports"] = dict(backend.ports)
    return plain


Backends: TypeAlias = Annotated[
    tuple[Backend, ...],
    PlainValidator(read_backends),
    PlainSerializer(write_backends),
    WithJsonSchema({"type": "array", "items": _SCHEMA}),
]
