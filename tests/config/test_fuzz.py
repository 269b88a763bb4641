"""Whatever a text holds, loading it ends in manifests and problems, never in an exception."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extsync.config.schema import schema
from tests.config.texts import PORTS, SOURCES, load_text, manifest

SOUND = manifest(PORTS + SOURCES + "checks: [{name: a, tcpSocket: {port: mysql}}]\npolicy: {minReady: 1}\n")


def _words(node: Any) -> set[str]:
    found = set(node.get("properties", ()))
    for below in (*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")):
        if isinstance(below, dict):
            found |= _words(below)
    return found | {str(word) for word in node.get("enum", ())}


words = st.sampled_from(sorted(_words(schema()))) | st.text(max_size=5)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from(["30s", "192.0.2.1", "${X}"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4))


def check(text: str | bytes) -> None:
    """Everything the loader promises of any text."""
    result = load_text(text)
    for problem in result.problems:
        assert str(problem)
        assert 0 <= problem.line <= len(text) + 1
    assert result.ok or result.unreadable or result.duplicates
    if not result.manifests:
        assert result.problems


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.text(st.sampled_from("ab:-[]{},&*!|>'\"#%@`? \n\t<~=0.\\"), max_size=60))
def test_any_punctuation(text: str) -> None:
    check(text)


@given(values)
def test_any_data_as_json_and_as_yaml(data: Any) -> None:
    check(json.dumps(data))
    check(yaml.safe_dump(data))


@given(values, values, values)
@settings(max_examples=40)  # each is seven documents
def test_any_data_in_the_place_of_a_part(metadata: Any, spec: Any, entry: Any) -> None:
    document = yaml.safe_load(SOUND)
    check(json.dumps({**document, "metadata": metadata}))
    check(json.dumps({**document, "spec": spec}))
    for key in ("ports", "sources", "checks"):
        check(json.dumps({**document, "spec": {**document["spec"], key: [entry, *document["spec"][key]]}}))
        first = {**document["spec"][key][0], **(entry if isinstance(entry, dict) else {})}
        check(json.dumps({**document, "spec": {**document["spec"], key: [first]}}))


@given(st.integers(0, len(SOUND)), st.integers(0, 8), st.text(max_size=4))
def test_any_slip_of_the_pen(position: int, cut: int, typed: str) -> None:
    check(SOUND[:position] + typed + SOUND[position + cut :])
