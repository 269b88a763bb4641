"""Prometheus's ``*_sd_configs`` entries, read as the blocks of our sources.

What an entry may hold: https://prometheus.io/docs/prometheus/latest/configuration/configuration/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extsync.config.faults import Faults, kind_of, shown, suggestion

SD_SUFFIX: Final = "_sd_configs"

_DONE_ANYWAY: Final[Mapping[str, tuple[object, ...]]] = {
    "enable_http2": (True, False),
    "proxy_from_environment": (False,),
    "min_version": ("TLS12",),
    "max_version": ("TLS13",),
}
"""Keys that have no counterpart here, with the values that change nothing: an entry that spells them out is right."""

_MAY_BE_EMPTY: Final = ("server", "tag_separator")


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
            return _TRANSLATIONS[kind](_spoken(entry), faults)
        case list():
            message = f"{key} has {len(value)} entries, and a source is one of them: write a source for each"
            faults.add((kind,), message, reads=(kind,))
        case _:
            faults.add((kind,), f"{key} must be a list with one mapping, as in Prometheus, not {kind_of(value)}")
    return {}


def _spoken(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry says: in Prometheus a key with an empty text is one that is not there."""
    said = {key: value for key, value in entry.items() if value != "" or key in _MAY_BE_EMPTY}
    said = {key: value for key, value in said.items() if value not in _DONE_ANYWAY.get(key, ())}
    if isinstance(said.get("tls_config"), dict):
        said["tls_config"] = _spoken(said["tls_config"])
    return said


def _rename(block: dict[str, Any], old: str, new: str, kind: str, faults: Faults) -> None:
    """Lets Prometheus's key ``old`` stand for our ``new``."""
    if old in block and new in block:
        faults.add((kind, old), f"{old} stands for {new} here: give only one of them")
        del block[old]
    elif old in block:
        block[new] = block.pop(old)


def _same(entry: dict[str, Any], faults: Faults) -> dict[str, Any]:
    return entry


def _dns(entry: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Prometheus asks for SRV by default and at a fixed interval; ours follows the TTL, at most that long."""
    block = {"type": "SRV", **entry}
    if isinstance(block["type"], str):
        block["type"] = block["type"].upper()
    _rename(block, "refresh_interval", "maxTTL", "dns", faults)
    return block


def _consul(entry: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """The scheme is a part of our server; ours waits for changes, and reads anew after the interval at the latest.

    Prometheus has had ``username`` and ``password`` here since before ``basic_auth``. Its ``filter`` chooses services
    (which are named here) and its ``health_filter`` instances, as our ``filter`` does.
    """
    block = {"server": "localhost:8500", **entry}
    _move_scheme(block, faults)
    _rename(block, "refresh_interval", "wait", "consul", faults)
    if "health_filter" in block and "filter" in block:
        message = "filter chooses among services, and here they are named: leave it out beside health_filter"
        faults.add(("consul", "filter"), message)
        del block["filter"]
    _rename(block, "health_filter", "filter", "consul", faults)
    if "username" in block and "password" in block and "basic_auth" not in block:
        block["basic_auth"] = {key: block.pop(key) for key in ("username", "password")}
    meant = [key for key in entry if key != "services" and suggestion(str(key), ("server", "services")) == "services"]
    if not block.get("services") and not meant:
        message = "services are missing: all of them, as in Prometheus, cannot stand behind one Service"
        faults.add(("consul", "services"), message, reads=("services",))
    return block


def _move_scheme(block: dict[str, Any], faults: Faults) -> None:
    scheme, server = block.pop("scheme", None), block["server"]
    if scheme is None or not isinstance(server, str):
        return
    if scheme not in ("http", "https"):
        faults.add(("consul", "scheme"), f"scheme is http or https, not {shown(scheme)}")
        return
    if "://" not in server:
        block["server"] = f"{scheme}://{server}"
    elif not server.startswith(f"{scheme}://"):
        faults.add(("consul", "scheme"), "scheme is not the one that server begins with: leave one of them out")


_TRANSLATIONS: Final = {"file": _same, "http": _same, "dns": _dns, "consul": _consul}
SD_KINDS: Final = tuple(_TRANSLATIONS)
