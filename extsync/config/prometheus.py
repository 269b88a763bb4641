"""Prometheus's ``*_sd_configs`` entries, read as the blocks of our sources.

What an entry may hold: https://prometheus.io/docs/prometheus/latest/configuration/configuration/
"""

from __future__ import annotations

from typing import Any, Final

from extsync.config.faults import Faults, kind_of

SD_SUFFIX: Final = "_sd_configs"


def rewrite_sd_configs(data: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Replaces ``<kind>_sd_configs: [entry]`` by the block of that kind; other keys stay as they are."""
    rewritten: dict[str, Any] = {}
    for key, value in data.items():
        kind = str(key).removesuffix(SD_SUFFIX)
        if kind == key or kind not in _TRANSLATIONS:
            rewritten[key] = value
        elif kind in data:
            faults.add((key,), f"{key} stands in place of {kind}: give only one of them")
        else:
            rewritten[kind] = _entry(kind, key, value, faults)
    return rewritten


def _entry(kind: str, key: str, value: Any, faults: Faults) -> Any:
    """The only entry as a block. Where that cannot be, a fault is noted in the block's name."""
    match value:
        case [dict() as entry]:
            return _TRANSLATIONS[kind](entry)
        case list():
            message = f"{key} has {len(value)} entries, and a source is one of them: write a source for each"
            faults.add((kind,), message, reads=(kind,))
        case _:
            faults.add((kind,), f"{key} must be a list with one mapping, as in Prometheus, not {kind_of(value)}")
    return {}


def _same(entry: dict[str, Any]) -> dict[str, Any]:
    return entry


def _dns(entry: dict[str, Any]) -> dict[str, Any]:
    """Prometheus asks for SRV by default and at a fixed interval; ours follows the TTL, at most that long."""
    block = {"type": "SRV", **entry}
    if "refresh_interval" in block:
        block["maxTTL"] = block.pop("refresh_interval")
    return block


def _consul(entry: dict[str, Any]) -> dict[str, Any]:
    """The scheme is a part of our server; ours waits for changes, and reads anew after the interval at the latest."""
    block = dict(entry)
    scheme = block.pop("scheme", None)
    if scheme is not None and "://" not in str(block.get("server", "")):
        block["server"] = f"{scheme}://{block.get('server', 'localhost:8500')}"
    if "refresh_interval" in block:
        block["wait"] = block.pop("refresh_interval")
    return block


_TRANSLATIONS: Final = {"file": _same, "http": _same, "dns": _dns, "consul": _consul}
SD_KINDS: Final = tuple(_TRANSLATIONS)
