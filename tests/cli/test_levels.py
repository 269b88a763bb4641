"""The level of the log changes while ``extsync run`` runs: by signals, and with its settings file."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, manifest, write
from tests.cli.test_run import config

__all__ = ["config"]

pytestmark = pytest.mark.sockets


class Run:
    """A running process and what it has logged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = ""

    def says(self, text: str) -> str:
        """Waits for a line with ``text`` in it, and returns what was logged since the last one that was waited for."""
        assert self.process.stderr is not None
        since = ""
        while text not in since:
            line = self.process.stderr.readline()
            assert line, f"it ended: {self.log}"
            since += line
            self.log += line
        return since


@contextmanager
def running(*arguments: str | Path) -> Iterator[Run]:
    command = [str(COMMAND), "run", *map(str, arguments)]
    environment = {"EXTSYNC_LISTEN": "none", **os.environ}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        yield Run(process)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(timeout=30) == 0


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("manifestPollInterval: 50ms\n")
    return path


def test_signals_make_it_louder_and_quieter(config: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    with running("-f", path, "--kubeconfig", config) as run:
        run.says("default/orders: kept")
        for number, level, before in (
            (signal.SIGUSR1, "debug", "info"),
            (signal.SIGUSR2, "info", "debug"),
            (signal.SIGUSR2, "warning", "info"),
            (signal.SIGUSR2, "error", "warning"),
            (signal.SIGUSR1, "warning", "error"),
        ):
            run.process.send_signal(number)
            run.says(f"the level of the log is {level}, and was {before}")
        assert "sesame-open" not in run.log


def test_the_settings_file_is_read_again_when_it_changes(config: Path, tmp_path: Path, settings: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    with running("-f", path, "--kubeconfig", config, "--config", settings) as run:
        run.says("default/orders: kept")
        new = tmp_path / "new.yaml"
        new.write_text("manifestPollInterval: 50ms\nlogLevel: debug\nqps: 21\n")
        new.replace(settings)  # as Kubernetes changes a ConfigMap that is mounted
        run.says("the level of the log is debug, and was info")
        run.says("the settings have changed: qps; that takes effect at the next start")
        new.write_text("logLevel: loud\n")
        new.replace(settings)
        run.says("logLevel: must be 'debug', 'info', 'warning' or 'error', not 'loud'; those that were in force are")
        new.write_text("manifestPollInterval: 50ms\nlogLevel: warning\nqps: 21\n")
        new.replace(settings)
        run.says("the level of the log is warning, and was debug")
        assert "sesame-open" not in run.log


def test_a_flag_goes_on_to_win_over_the_file(config: Path, tmp_path: Path, settings: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    with running("-v", "-f", path, "--kubeconfig", config, "--config", settings) as run:
        run.says("default/orders: kept")
        settings.write_text("manifestPollInterval: 50ms\nlogLevel: error\nqps: 21\n")
        run.says("the settings have changed: qps")
        assert "the level of the log" not in run.log
