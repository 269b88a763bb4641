"""A manifest as plain data and as YAML that reads back as itself; secrets are hidden."""

from __future__ import annotations

from typing import Any

import yaml

from extsync.config.manifest import ExternalService
from extsync.config.scalars import is_plain_text


def to_data(service: ExternalService, *, defaults: bool = False) -> dict[str, Any]:
    """``service`` as JSON data with the manifest's keys, as it was written, or with every default filled in.

    A literal secret is replaced by asterisks; a reference to the environment stays.
    """
    return service.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=not defaults)


def to_yaml(service: ExternalService, *, defaults: bool = False) -> str:
    """The same as YAML, one document without its ``---``."""
    text: str = yaml.dump(to_data(service, defaults=defaults), Dumper=_Dumper, sort_keys=False, width=120)
    return text


def to_text(service: ExternalService) -> str:
    """The same as people write manifests: what a short entry of a list says is on one line."""
    text: str = yaml.dump(_short(to_data(service)), Dumper=_Dumper, sort_keys=False, width=120)
    return text


def _short(data: Any) -> Any:
    """``data`` with the entries of lists, and lists of plain values, marked as ones to write on one line."""
    if isinstance(data, dict):
        return {key: _short(value) for key, value in data.items()}
    if isinstance(data, list):
        if not any(isinstance(entry, dict | list) for entry in data):
            return _LineOfValues(data)
        return [_short(entry) if _has_list(entry) else _Line(entry) for entry in data]
    return data


def _has_list(data: Any) -> bool:
    return isinstance(data, list) or (isinstance(data, dict) and any(map(_has_list, data.values())))


class _Line(dict[str, Any]):
    """A mapping to be written on one line."""


class _LineOfValues(list[Any]):
    """A list to be written on one line."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes every text that some reader of YAML would take for something else; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if is_plain_text(text) else '"'
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


def _represent_line(dumper: _Dumper, data: dict[str, Any]) -> yaml.MappingNode:
    node: yaml.MappingNode = dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)
    return node


def _represent_values(dumper: _Dumper, data: list[Any]) -> yaml.SequenceNode:
    node: yaml.SequenceNode = dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
    return node


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(_Line, _represent_line)
_Dumper.add_representer(_LineOfValues, _represent_values)
