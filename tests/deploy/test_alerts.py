"""The alerts, by promtool: each fires when it should and is silent when it should be."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alert_cases import CASES, Case
from tests.deploy.chart import CHART, KUSTOMIZE
from tests.servers.programs import Programs

ALERTS = CHART / "files" / "alerts.yaml"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def promtool(programs: Programs, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [str(programs.paths["promtool"]), *map(str, arguments)]
    return subprocess.run(command, env=programs.environment, input=stdin, capture_output=True, timeout=50, check=False)


def test_promtool_has_nothing_to_say_about_the_rules(prometheus_programs: Programs) -> None:
    done = promtool(prometheus_programs, "check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stderr.decode()
    assert f"SUCCESS: {len(rules())} rules found" in done.stdout.decode()


def test_every_alert_fires_and_is_silent_as_it_should(prometheus_programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(_with_summaries_alone()))
    cases = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": "15s",
        "tests": [_test(case) for case in CASES],
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    done = promtool(prometheus_programs, "test", "rules", tmp_path / "cases.yaml")
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    names = [rule["alert"] for rule in rules()]
    assert sorted({case.alert for case in CASES if case.fires}) == sorted(names)
    assert sorted({case.alert for case in CASES if not case.fires}) == sorted(names)


def test_a_case_that_does_not_hold_would_be_seen(prometheus_programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(_with_summaries_alone()))
    [fires, *_] = (case for case in CASES if case.fires)
    silent = {**_test(fires), "alert_rule_test": [{"eval_time": fires.at, "alertname": fires.alert}]}
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": [silent]}))
    assert promtool(prometheus_programs, "test", "rules", tmp_path / "cases.yaml").returncode == 1


def test_kustomize_has_the_rules_and_the_dashboard_of_the_chart() -> None:
    monitoring = KUSTOMIZE / "components" / "monitoring"
    rule = yaml.safe_load((monitoring / "prometheusrule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    assert (monitoring / "dashboard.json").read_text() == (CHART / "files" / "dashboard.json").read_text()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.search(rf"^\| `{rule['alert']}` \| .+ \| .+ \|$", OPERATIONS.read_text(), re.MULTILINE)


def _with_summaries_alone() -> dict[str, Any]:
    """The rules without their descriptions, which promtool would want to read in each case."""
    content: dict[str, Any] = yaml.safe_load(ALERTS.read_text())
    for rule in content["groups"][0]["rules"]:
        del rule["annotations"]["description"]
    return content


def _test(case: Case) -> dict[str, Any]:
    expected: dict[str, Any] = {"eval_time": case.at, "alertname": case.alert}
    if case.fires is not None:
        labels, summary = case.fires
        found = {"exp_labels": {**labels, "severity": case.severity}, "exp_annotations": {"summary": summary}}
        expected["exp_alerts"] = [found]
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "15s",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [expected],
    }
