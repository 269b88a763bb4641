"""The base of everything in a manifest that is a mapping with known keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from extsync.config.faults import Faults


class Block(BaseModel):
    """A frozen mapping with camelCase keys, none unknown, none empty.

    A subclass with ``ONE_OF`` takes exactly one of those keys (a union, as Kubernetes writes them). ``INSTEAD`` has the
    keys, in snake_case, that a block like this has in Prometheus and not here, each with what to do instead.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, hide_input_in_errors=True, defer_build=True
    )

    ONE_OF: ClassVar[tuple[str, ...]] = ()
    NOUN: ClassVar[str] = "block"
    INSTEAD: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def keys(cls) -> dict[str, str]:
        """The Python name of each key."""
        return {field.alias or name: name for name, field in cls.model_fields.items()}

    @classmethod
    def rewrite(cls, data: dict[str, Any], faults: Faults) -> dict[str, Any]:
        """Gives the mapping its canonical keys, and notes what is seen best before anything else is validated."""
        return data

    @model_validator(mode="wrap")
    @classmethod
    def _report_every_fault(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return handler(data)
        faults = Faults(cls.__name__)
        data = cls.rewrite(data, faults)
        known = cls.keys()
        unknown = {key: cls._report_unknown(key, data, faults) for key in data if key not in known}
        empty = [key for key, value in data.items() if value is None and key not in unknown]
        for key in empty:
            faults.add((key,), "is empty: give it a value or leave the key out")
        cls._check_union(data, unknown, faults)
        clean = {key: value for key, value in data.items() if key not in unknown and value is not None}
        try:
            block = handler(clean)
        except ValidationError as error:
            # Nothing follows from a key that is empty or misspelt: above all, it is not missing as well.
            faults.include(error, without=faults.places().union((meant,) for meant in unknown.values()))
            faults.raise_any()
            raise
        faults.raise_any()
        return block

    @classmethod
    def _report_unknown(cls, key: Any, data: dict[str, Any], faults: Faults) -> str:
        """Notes a key that is not known; returns the one that is most likely meant (or "")."""
        instead = {_folded(name): advice for name, advice in cls.INSTEAD.items()}.get(_folded(str(key)))
        if instead is None:
            return faults.add_unknown((key,), known=cls.keys(), given=data)
        faults.add_unavailable((key,), instead)
        return ""

    @classmethod
    def _check_union(cls, data: dict[str, Any], unknown: dict[str, str], faults: Faults) -> None:
        if not cls.ONE_OF:
            return
        found = [key for key in cls.ONE_OF if data.get(key) is not None]
        nearly = [key for key in (*data, *unknown.values()) if key in cls.ONE_OF]
        if len(found) > 1:
            faults.add((), _several(cls.NOUN, cls.ONE_OF, found))
        elif not found and not nearly:
            faults.add(
                (),
                f"{_with_article(cls.NOUN)} needs exactly one of {', '.join(cls.ONE_OF)}",
                reads=(*cls.ONE_OF, *cls.INSTEAD),
            )


class SourceBlock(Block):
    """A block inside a source, where Prometheus's snake_case is accepted besides camelCase."""

    @classmethod
    def rewrite(cls, data: dict[str, Any], faults: Faults) -> dict[str, Any]:
        spellings = {name: key for key, name in cls.keys().items() if name != key}
        renamed: dict[str, Any] = {}
        spelt: dict[str, str] = {}
        for key, value in data.items():
            canonical = spellings.get(key, key)
            if canonical in renamed:
                other = spelt[canonical] if key == canonical else key
                faults.add((key,), f"{canonical} is given twice, once as {other}: leave one out")
            renamed[canonical] = value
            spelt[canonical] = key
        return renamed


def _folded(key: str) -> str:
    return key.lower().replace("_", "")


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _several(noun: str, known: tuple[str, ...], found: list[str]) -> str:
    return f"{_with_article(noun)} has exactly one of {', '.join(known)}, and this one has {' and '.join(found)}"
