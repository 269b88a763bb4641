"""Fields that extsync does not know survive its updates.

An API server newer than our structs, or an admission webhook, may put fields into our objects that a PUT from those
structs alone would remove. ``has_unknown`` finds out at the speed of a decode whether an object has such fields;
``carry`` takes them over into its successor. List items are matched by what identifies them, as the API does in
server-side apply: endpoints by their addresses, ports by name, references by uid.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec

from extsync.model import TargetRef
from extsync.objects import (
    EndpointAddress,
    EndpointPort,
    EndpointSubset,
    HintFor,
    KubeObject,
    OwnerReference,
    ServicePort,
    SliceEndpoint,
    SlicePort,
)

Json = dict[str, Any]


def has_unknown(kind: type[KubeObject], data: bytes) -> bool:
    """Whether the JSON of an object has a field, at any depth, that the structs of ``kind`` do not have."""
    try:
        _strict_decoder(kind).decode(data)
    except msgspec.ValidationError:
        return True
    return False


def carry(kind: type[KubeObject], stored: bytes, new: bytes) -> bytes:
    """``new`` with the unknown fields that ``stored``, the JSON of the object it replaces, has.

    Known fields are ``new``'s own: absent there means removed. An item of a list that has no counterpart in ``new``
    goes, with all its fields.
    """
    if not has_unknown(kind, stored):
        return new
    merged: Json = msgspec.json.decode(new)
    _carry(kind, msgspec.json.decode(stored), merged)
    return msgspec.json.encode(merged)


def _port(item: Json) -> Hashable:
    return item.get("name") or ""


def _target(item: Json) -> Hashable:
    return item.get("kind"), item.get("namespace"), item.get("name"), item.get("uid")


# What tells two structs of a type apart. Fields are carried over only between equal ones.
_IDENTITY: dict[type[msgspec.Struct], Callable[[Json], Hashable]] = {
    EndpointAddress: lambda item: item["ip"],
    EndpointPort: _port,
    EndpointSubset: lambda item: tuple((_port(port), port["port"]) for port in item.get("ports") or ()),
    HintFor: lambda item: item["name"],
    OwnerReference: lambda item: item["uid"],
    ServicePort: lambda item: (item["port"], item.get("protocol") or "TCP"),
    SliceEndpoint: lambda item: tuple(item["addresses"]),
    SlicePort: _port,
    TargetRef: _target,
}


class _Field(NamedTuple):
    """``nested`` is the type of a field that holds a struct or several; a ``required`` one is left out where empty."""

    nested: type[msgspec.Struct] | None
    required: bool


@functools.cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, _Field]:
    """The fields of a struct by their names in JSON."""
    return {
        field.encode_name: _Field(_nested(field.type), isinstance(field.type, type))
        for field in msgspec.structs.fields(cls)
    }


def _nested(annotation: Any) -> type[msgspec.Struct] | None:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _nested(arg))), None)


def _carry(cls: type[msgspec.Struct], stored: Json, new: Json) -> None:
    """Puts into ``new`` what ``stored`` has beyond the fields of ``cls``."""
    identity = _IDENTITY.get(cls)
    if identity is not None and identity(stored) != identity(new):
        return
    known = _fields(cls)
    for name, value in stored.items():
        if name not in known:
            new[name] = value
            continue
        field = known[name]
        if field.nested is None or not value:
            continue
        if isinstance(value, list):
            _carry_items(field.nested, value, new.get(name) or ())
        elif name in new or field.required:
            _carry(field.nested, value, inner := new.get(name) or {})
            if inner:
                new[name] = inner


def _carry_items(cls: type[msgspec.Struct], stored: list[Json], new: Iterable[Json]) -> None:
    identity = _IDENTITY.get(cls)
    if identity is None:
        return
    by_identity = {identity(item): item for item in reversed(stored)}  # of equal ones the first counts
    for item in new:
        if (counterpart := by_identity.get(identity(item))) is not None:
            _carry(cls, counterpart, item)


@functools.cache
def _strict_decoder(kind: type[KubeObject]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_strict(kind))


@functools.cache
def _strict(cls: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A twin of ``cls``, all the way down, that takes no unknown field."""
    fields = msgspec.structs.fields(cls)
    return msgspec.defstruct(
        f"Strict{cls.__name__}",
        [
            (field.name, _strict_annotation(field.type), msgspec.field(name=field.encode_name, default=None))
            for field in fields
        ],
        forbid_unknown_fields=True,
        gc=False,
    )


def _strict_annotation(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _strict(annotation)
    arguments = tuple(_strict_annotation(argument) for argument in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return Union[arguments]  # noqa: UP007 - of a tuple that is known only here
    if get_origin(annotation) is tuple:
        return tuple[arguments]  # type: ignore[valid-type]
    return annotation
