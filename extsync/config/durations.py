"""Durations as people write them: GEP-2257 (Kubernetes Gateway API), a subset of Go's and Prometheus's forms."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from extsync.config.faults import kind_of, shown

PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
_WHOLE = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_OTHER_UNIT = re.compile(r"([0-9]+)([dwy])")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_HOURS = {"d": 24, "w": 168, "y": 8760}


class Duration(float):
    """Seconds; ``str()`` gives the manifest's form (``1m30s``)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads one to four numbers with units h, m, s or ms; raises ValueError with the cure."""
        if not _WHOLE.fullmatch(text):
            raise ValueError(_why_not(text))
        return cls(sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)) / 1000)

    def __str__(self) -> str:
        rest = round(float(self) * 1000)
        parts = []
        for unit, size in _MILLISECONDS.items():
            count, rest = divmod(rest, size)
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts) or "0s"

    def __repr__(self) -> str:
        return f"Duration({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.to_string_ser_schema(when_used="unless-none")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN}


def positive(duration: Duration) -> Duration:
    """For durations that cannot be zero; raises ValueError."""
    if duration <= 0:
        raise ValueError(f"{duration} is too short: it must be longer than 0s")
    return duration


def _validate(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be a duration such as 30s, 5m or 1h30m, not {kind_of(value)}")
    if isinstance(value, int | float):
        raise ValueError(f"{value} has no unit: write {value}s for seconds")
    return Duration.parse(value)


def _why_not(text: str) -> str:
    if text.isdecimal():
        return f"{shown(text)} has no unit: write {text}s for seconds"
    other = _OTHER_UNIT.fullmatch(text)
    if other and len(other[1]) <= 4:
        return f"{text} has a unit that durations do not know: write {int(other[1]) * _HOURS[other[2]]}h"
    if text.startswith(("-", "+")):
        return f"{shown(text)} has a sign: durations are never negative"
    return f"{shown(text)} is not a duration: write whole numbers with h, m, s or ms, such as 30s, 500ms or 1h30m"
