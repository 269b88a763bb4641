"""The values of the helm chart take every setting, and no other."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic.alias_generators import to_camel

from extsync.config.settings import Settings

SCHEMA = Path(__file__).parents[2] / "deploy" / "helm" / "extsync" / "values.schema.json"


def test_the_schema_of_the_chart_names_every_setting() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert list(schema["properties"]["settings"]["properties"]) == sorted(map(to_camel, Settings.model_fields))
