"""The values of the helm chart take every setting, and no other, and say of each what the settings themselves say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from extsync.config.settings import Settings

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "deploy" / "helm" / "extsync" / "values.schema.json").read_text(),
)
SETTINGS: dict[str, Any] = SCHEMA["properties"]["settings"]["properties"]
WORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "maxLength": "maxItems"}
"""What pydantic calls limits of values that a validator of ours reads first."""


def test_the_schema_of_the_chart_names_every_setting() -> None:
    assert list(SETTINGS) == sorted(map(to_camel, Settings.model_fields))


def test_each_has_the_type_and_the_limits_that_it_has_as_a_setting() -> None:
    ours = Settings.model_json_schema()
    for name, part in ours["properties"].items():
        told = SETTINGS[to_camel(name)]
        if told is not True:  # refused by the templates, with what to say in its place
            assert meaning(told, SCHEMA["definitions"]) == meaning(part, ours["$defs"]), name


def meaning(part: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """A schema in JSON Schema's own words, without references and what is for people."""
    if "$ref" in part:
        return meaning(parts[part["$ref"].rpartition("/")[2]], parts)
    found = {}
    for key, value in part.items():
        if key == "properties":
            found[key] = {name: meaning(inner, parts) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = meaning(value, parts)
        elif key not in ("default", "title", "description"):
            found[WORDS.get(key, key)] = value
    return found
