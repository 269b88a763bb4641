"""What a real extsync told Prometheus, replayed to the shipped alerts by promtool: hours pass in a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.test_alerts import ALERTS, promtool
from tests.servers.programs import Programs

STEP: Final = 15
"""Seconds between two scrapes, as the ServiceMonitor says."""
Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""A sample by its name and labels."""


def parsed(exposition: str, target: Mapping[str, str]) -> Scrape:
    """What Prometheus makes of it with honorLabels: the labels of the target stand where there are no others."""
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    return {(one.name, frozenset({**target, **one.labels}.items())): one.value for one in samples}


def replay(
    programs: Programs,
    folder: Path,
    seen: Sequence[tuple[Scrape, int]],
    expected: Mapping[str, Sequence[str]],
    labels: Mapping[str, str],
) -> None:
    """Has promtool judge all shipped alerts by ``seen``, where each scrape is what was there for some minutes.

    ``expected`` has the alerts that fire at a moment, such as ``5m``, all with ``labels``; no other may fire.
    """
    rules = yaml.safe_load(ALERTS.read_text())
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in rules["groups"][0]["rules"]}
    for rule in rules["groups"][0]["rules"]:
        del rule["annotations"]  # promtool would want to read them in each case
    wanted = [
        {
            "eval_time": moment,
            "alertname": name,
            "exp_alerts": [{"exp_labels": {**labels, "severity": severities[name]}}] if name in firing else [],
        }
        for moment, firing in expected.items()
        for name in severities
    ]
    test = {"interval": f"{STEP}s", "input_series": _series(seen), "alert_rule_test": wanted}
    cases = {"rule_files": ["alerts.yaml"], "evaluation_interval": f"{STEP}s", "tests": [test]}
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
    (folder / "replay.yaml").write_text(yaml.safe_dump(cases))
    done = promtool(programs, "test", "rules", folder / "replay.yaml")
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


def _series(seen: Sequence[tuple[Scrape, int]]) -> list[dict[str, str]]:
    """Every series of the scrapes in promtool's notation; ``_`` is a sample that is not there."""
    found = {sample for scrape, _ in seen for sample in scrape}
    series = []
    for name, labels in sorted(found, key=lambda sample: (sample[0], sorted(sample[1]))):
        written = ",".join(f"{key}={json.dumps(text)}" for key, text in sorted(labels))
        values = []
        for scrape, minutes in seen:
            count, value = minutes * 60 // STEP, scrape.get((name, labels))
            values.append(f"_x{count}" if value is None else f"{value!r}x{count - 1}")
        series.append({"series": f"{name}{{{written}}}", "values": " ".join(values)})
    return series
