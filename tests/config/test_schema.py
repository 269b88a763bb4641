"""The JSON Schema: structural, complete, and of one mind with the loader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from extsync.config.backends import _BACKEND, _PROBE, _TARGET_REF
from extsync.config.descriptions import DESCRIPTIONS
from extsync.config.schema import schema
from tests.config.texts import PORTS, SOURCES, load_text, manifest

EXAMPLES = sorted((Path(__file__).parents[2] / "config" / "manifests").glob("*.yaml"))
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path of keys."""
    yield path, node
    for key, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}.{key}")


def block(*keys: str) -> dict[str, Any]:
    node: dict[str, Any] = SCHEMA
    for key in keys:
        node = node["items"] if key == "[]" else node["properties"][key]
    return node


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_it_is_structural() -> None:
    assert "$ref" not in json.dumps(SCHEMA)
    assert '"null"' not in json.dumps(SCHEMA)
    for path, node in nodes(SCHEMA):
        assert node.get("x-kubernetes-int-or-string") or isinstance(node.get("type"), str), path
        if node.get("type") == "array":
            assert "items" in node, path
        if node.get("type") == "object":
            is_map = isinstance(node.get("additionalProperties"), dict)
            is_closed = node.get("additionalProperties") is False
            assert is_map or is_closed or path.endswith(("plugin.config", "_sd_configs.items")), path


def test_every_key_says_what_it_means() -> None:
    for path, node in nodes(SCHEMA):
        for key, below in node.get("properties", {}).items():
            assert below.get("description"), f"{path}.{key}"


def test_descriptions_are_of_keys_that_exist() -> None:
    for kind, descriptions in DESCRIPTIONS.items():
        assert set(descriptions) == set(descriptions) & set(kind.keys()), kind  # type: ignore[attr-defined]


def test_unions_are_one_of_required_keys() -> None:
    kinds = [entry["required"][0] for entry in block("spec", "sources", "[]")["oneOf"]]
    assert kinds[:7] == ["static", "file", "http", "dns", "consul", "pods", "plugin"]
    assert kinds[7:] == ["file_sd_configs", "http_sd_configs", "dns_sd_configs", "consul_sd_configs"]
    assert len(block("spec", "checks", "[]")["oneOf"]) == 9


def test_backends_have_the_keys_that_are_read() -> None:
    backend = block("spec", "sources", "[]", "static", "backends", "[]")
    assert list(backend["properties"]) == list(_BACKEND)
    assert list(backend["properties"]["targetRef"]["properties"]) == list(_TARGET_REF)
    assert list(backend["properties"]["probe"]["properties"]) == list(_PROBE)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize(
    "spec",
    [
        "sources: [{name: a}]\n",
        "sources: [{name: a, static: {backends: []}, file: {files: [a]}}]\n",
        "sources: [{name: a, statik: {}}]\n",
        "sources: [{static: {backends: []}}]\n",
        "sources: [{name: a, static: {backends: [{addres: 192.0.2.1}]}}]\n",
        "sources: [{name: a, static: {backends: [{address: 192.0.2.1, port: 70000}]}}]\n",
        "sources: [{name: a, static: {backends: [{address: 192.0.2.1, ports: {a: x}}]}}]\n",
        "sources: [{name: a, file: {files: []}}]\n",
        "sources: [{name: a, file: {files: [a], refreshInterval: 5}}]\n",
        "sources: [{name: a, file: {files: [a], refreshInterval: 1d}}]\n",
        "sources: [{name: a, file_sd_configs: []}]\n",
        SOURCES + "ports: [{port: 0}]\n",
        SOURCES + "ports: [{port: '80'}]\n",
        SOURCES + "checks: [{}]\n",
        SOURCES + "checks: [{tcpSocket: {port: 1.5}}]\n",
        SOURCES + "checks: [{tcpSocket: {port: 1}, periodSeconds: 0}]\n",
        SOURCES + "publish: []\n",
        SOURCES + "publish: [Pods]\n",
        SOURCES + "policy: {panicMode: x}\n",
        SOURCES + "service: {type: x}\n",
        SOURCES + "colour: red\n",
    ],
)
def test_what_is_wrong_is_wrong_to_the_schema_and_to_the_loader(spec: str) -> None:
    text = manifest(spec)
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
    assert not load_text(text).ok


@pytest.mark.parametrize(
    "source",
    [
        "{name: a, file: {files: [a], refresh_interval: 5m}}",
        "{name: a, file_sd_configs: [{files: [a]}]}",
        "{name: a, plugin: {type: x, config: {any: [1, {thing: null}]}}}",
    ],
)
def test_every_accepted_spelling_is_valid(source: str) -> None:
    assert VALIDATOR.is_valid(yaml.safe_load(manifest(PORTS + f"sources: [{source}]\n")))


def test_defaults_are_what_the_loader_fills_in() -> None:
    assert block("spec", "publish")["default"] == ["EndpointSlice", "Endpoints"]
    assert block("spec", "sources", "[]", "file", "refreshInterval")["default"] == "5m"
    assert block("spec", "checks", "[]", "httpGet", "expectedStatuses")["default"] == ["200-399"]
    assert "default" not in block("spec", "service")
