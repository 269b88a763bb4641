"""A real Prometheus on loopback, which scrapes what a test names once a second."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.cluster.processes import Component, free_ports
from tests.cluster.rest import is_ok
from tests.servers.programs import Programs
from tests.servers.server import Server

START_SECONDS = 20.0


class Prometheus(Server):
    """It runs inside the ``with`` block; ``jobs`` are scrape_configs, ``rules`` the paths of rule files."""

    def __init__(
        self, programs: Programs, directory: Path, jobs: Sequence[dict[str, Any]], *, rules: Sequence[Path] = ()
    ) -> None:
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        settings = directory / "prometheus.yml"
        settings.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(path) for path in rules],
                    "scrape_configs": list(jobs),
                }
            )
        )
        super().__init__(
            Component(
                programs.paths["prometheus"],
                [
                    f"--config.file={settings}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                directory=directory,
                environment=programs.environment,
            )
        )

    def start(self) -> None:
        self._component.start(lambda: is_ok(f"{self.url}/-/ready"), seconds=START_SECONDS)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an instant query finds now: labels and values."""
        found = self._get("query", query=expression)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in found]

    def alerts(self) -> dict[str, str]:
        """The state of each alert: inactive, pending or firing.

        Raises:
            AssertionError: a rule could not be evaluated.
        """
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
        return {rule["name"]: rule["state"] for rule in rules}

    def _get(self, what: str, **asked: str) -> Any:
        with urlopen(f"{self.url}/api/v1/{what}?{urlencode(asked)}", timeout=30) as answer:
            return json.load(answer)["data"]
