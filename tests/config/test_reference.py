"""docs/manifest.md speaks of every key, every choice and every default of the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from extsync.config.schema import schema

REFERENCE = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text()


def properties(node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, below in node.get("properties", {}).items():
        if not below["description"].startswith("Prometheus's spelling"):
            yield key, below
            yield from properties(below)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from properties(node[key])


def test_every_key_is_there() -> None:
    relabel = {"sourceLabels", "separator", "regex", "modulus", "replacement", "action"}  # Prometheus's own reference
    parts = {"clientIP", "timeoutSeconds", "operator", "values", "key"}  # Kubernetes's own reference
    keys = {key for key, _ in properties(schema())} - relabel - parts
    assert (
        sorted(key for key in keys if not any(form in REFERENCE for form in (f"`{key}", f".{key}`", f"{key}:"))) == []
    )


def test_every_choice_is_there() -> None:
    choices = {
        choice
        for key, below in properties(schema())
        if key not in ("action", "operator")
        for choice in below.get("enum", below.get("items", {}).get("enum", ()))
    }
    implied = {"None", "Cluster", "IPv4", "IPv6", "SingleStack", "RequireDualStack", "PreferDualStack", "ClientIP"}
    assert sorted(choice for choice in choices - implied if choice not in REFERENCE) == []
