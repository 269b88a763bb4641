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


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes every text that some reader of YAML would take for something else; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if is_plain_text(text) else '"'
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_Dumper.add_representer(str, _represent_text)
