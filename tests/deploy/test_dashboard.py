"""The dashboard: every query is one that Prometheus understands, of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync.web.catalogue import OF_SERVICES
from tests.deploy.chart import CHART
from tests.deploy.test_alerts import promtool, rules
from tests.deploy.vocabulary import labels_in, metrics_in, scraped
from tests.servers.programs import Programs

DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
PROMETHEUS_KNOWS = {"instance", "namespace", "le"}
"""Labels of what is scraped, where a metric has none of that name, and of histograms."""


def queries() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]


def expressions() -> list[tuple[str, str]]:
    return [*queries(), *((rule["alert"], rule["expr"]) for rule in rules())]


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_every_query_asks_for_metrics_and_labels_that_there_are(place: str, expression: str) -> None:
    known = scraped()
    asked = metrics_in(expression)
    assert asked
    assert asked - known.keys() == set()
    offered = {label for metric in asked for label in known[metric]}
    assert labels_in(expression) - offered <= PROMETHEUS_KNOWS


def test_prometheus_understands_every_query(prometheus_programs: Programs, tmp_path: Path) -> None:
    records = [{"record": f"query:{at}", "expr": _without_variables(e)} for at, (_, e) in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    done = promtool(prometheus_programs, "check", "rules", path)
    assert done.returncode == 0, done.stderr.decode()


def test_variables_are_asked_for_as_they_are_used() -> None:
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {name for _, expression in queries() for name in re.findall(r"\$(\w+)", expression)}
    assert used - names == {"__rate_interval"}
    assert {panel["datasource"]["uid"] for panel in PANELS if "datasource" in panel} == {"${datasource}"}
    asked = {m for v in DASHBOARD["templating"]["list"] if v["type"] == "query" for m in metrics_in(v["definition"])}
    assert asked <= {metric.scraped_name for metric in OF_SERVICES}


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def _without_variables(expression: str) -> str:
    return re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", "1m"))
