"""Manifests written out: they read back as themselves, and secrets are not in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.dump import to_data, to_text, to_yaml
from extsync.config.loader import load
from tests.config.texts import PORTS, SOURCES, load_one, manifest

EXAMPLES = Path(__file__).parents[2] / "config" / "manifests"


@pytest.mark.parametrize("defaults", [False, True])
def test_a_dump_reads_back_as_the_same_manifest(defaults: bool) -> None:
    for loaded in load([EXAMPLES]).manifests:
        assert load_one(to_yaml(loaded.manifest, defaults=defaults)) == loaded.manifest


def test_as_text_too_and_short_entries_are_on_one_line() -> None:
    for loaded in load([EXAMPLES]).manifests:
        assert load_one(to_text(loaded.manifest)) == loaded.manifest
    text = to_text(load_one(manifest(PORTS + SOURCES + "publish: [EndpointSlice]\n")))
    lines = [line.strip() for line in text.splitlines()]
    assert "- {name: mysql, port: 3306}" in lines
    assert "- {address: 192.0.2.1}" in lines
    assert "publish: [EndpointSlice]" in lines


def test_a_dump_has_what_was_written_in_canonical_form() -> None:
    backend = "{address: '2001:DB8::1', ports: {mysql: 1}, probe: {port: mysql}}"
    text = f"sources: [{{name: a, static: {{backends: [{backend}]}}, hold: {{nx: 90s}}}}]\n"
    assert to_data(load_one(manifest(PORTS + text)))["spec"] == {
        "ports": [{"name": "mysql", "port": 3306}],
        "sources": [
            {
                "name": "a",
                "hold": {"nx": "1m30s"},
                "static": {"backends": [{"address": "2001:db8::1", "ports": {"mysql": 1}, "probe": {"port": "mysql"}}]},
            }
        ],
    }


def test_a_literal_secret_is_hidden_and_a_reference_stays() -> None:
    headers = "[{name: Authorization, value: hunter2}, {name: X-Token, value: '${TOKEN}'}, {name: Accept, value: a/b}]"
    text = to_yaml(
        load_one(manifest(PORTS + SOURCES + f"checks: [{{httpGet: {{port: 1, httpHeaders: {headers}}}}}]\n"))
    )
    assert "hunter2" not in text
    assert [line.strip() for line in text.splitlines() if "value:" in line] == [
        "value: '**********'",
        "value: ${TOKEN}",
        "value: a/b",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_is_written_so_that_it_reads_back(text: str) -> None:
    service = load_one(manifest())
    metadata = service.metadata.model_copy(update={"annotations": {"a": text}})
    dumped = to_yaml(service.model_copy(update={"metadata": metadata}), defaults=True)
    assert load_one(dumped).metadata.annotations == {"a": text}
