"""Which exit status a command ends with, and what is said then."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import extsync.cli.schema
from extsync import __version__
from extsync.cli.main import main
from extsync.errors import ConfigError, Forbidden, Unavailable, UsageError
from tests.cli.command import extsync as run_extsync
from tests.cli.command import kubeconfig, manifest, write


def status(*arguments: str | Path) -> int:
    """The exit status of a command, also of one that argparse ends."""
    try:
        return main([*map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes ``extsync schema`` raise."""

    def fail(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(extsync.cli.schema, "main", fail)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no command"),
        pytest.param(["aply"], id="an unknown command"),
        pytest.param(["validate"], id="no manifests"),
        pytest.param(["validate", "-f"], id="a flag without its value"),
        pytest.param(["validate", "--wait", "-f", "x"], id="a flag of another command"),
        pytest.param(["render", "-f", "x", "-o", "xml"], id="a format that does not exist"),
        pytest.param(["apply", "-f", "x", "--timeout", "soon"], id="a duration that is none"),
        pytest.param(["apply", "-f", "x", "--timeout", "0s"], id="no time at all"),
        pytest.param(["apply", "-f", "x", "--policy", "never"], id="an unknown policy"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: extsync")


def test_an_unknown_command_is_answered_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    status("aply")
    assert "'apply'" in capsys.readouterr().err


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--version") == 0
    assert capsys.readouterr().out == f"extsync {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    said = capsys.readouterr().out
    for command in ("run", "apply", "diff", "render", "validate", "schema", "demo"):
        assert f"    {command} " in said


def test_prune_without_an_owner_of_ones_own_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", manifest())
    for command in ("apply", "run"):
        assert status(command, "-f", path, "--prune") == 2
        assert "--owner" in capsys.readouterr().err
    assert status("run", "-f", path, "--prune", "--owner", "default") == 2


def test_a_removal_can_be_allowed_only_of_a_service_that_is_in_the_manifests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", manifest())
    assert status("apply", "-f", path, "--allow-removal", "default/oders") == 2
    said = capsys.readouterr().err
    assert "--allow-removal default/oders: no manifest is about this service; there are default/orders" in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(UsageError("wrong"), 2, id="usage"),
        pytest.param(ConfigError("broken"), 1, id="configuration"),
        pytest.param(Unavailable("no"), 1, id="store"),
        pytest.param(KeyboardInterrupt(), 130, id="Ctrl-C"),
    ],
)
def test_each_way_to_fail_has_its_status_and_no_traceback(
    error: BaseException, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, error)
    assert status("schema") == expected
    said = capsys.readouterr().err
    assert said == (f"extsync: {error}\n" if str(error) else "")


def test_what_an_error_quotes_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, Unavailable("first\nsecond \x1b[2J\x9b31m"))
    status("schema")
    assert capsys.readouterr().err == "extsync: first\nsecond \ufffd[2J\ufffd31m\n"


def test_who_may_not_do_something_is_told_which_rights_are_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, Forbidden("no"))
    assert status("schema") == 1
    assert "deploy/kustomize/base/clusterrole.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["apply", "diff"])
def test_an_error_in_a_manifest_stops_before_the_cluster_is_looked_for(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write(tmp_path / "sound.json", manifest())
    broken = write(tmp_path / "broken.json", manifest("other", spec={"polcy": {}}))
    assert status(command, "-f", sound, broken) == (1 if command == "apply" else 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert "did you mean 'policy'?" in said.err
    assert "nothing was done" in said.err
    assert "kubeconfig" not in said.err


@pytest.mark.parametrize("command", ["apply", "diff", "run", "render", "validate"])
def test_a_path_that_does_not_exist_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = write(tmp_path / "sound.json", manifest())
    assert status(command, "-f", sound, tmp_path / "none.yaml") == (2 if command == "diff" else 1)
    said = capsys.readouterr()
    assert str(tmp_path / "none.yaml") in said.out + said.err


@pytest.mark.parametrize("command", ["apply", "diff", "run"])
def test_a_wrong_kubeconfig_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.json", manifest())
    failed = 2 if command == "diff" else 1
    assert status(command, "-f", path, "--kubeconfig", tmp_path / "none") == failed
    assert str(tmp_path / "none") in capsys.readouterr().err
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    assert status(command, "-f", path, "--kubeconfig", config, "--context", "prod") == failed
    said = capsys.readouterr().err
    assert "'prod'" in said
    assert "lab" in said


@pytest.mark.parametrize("command", ["apply", "diff", "run", "render"])
def test_a_settings_file_has_to_exist_and_to_be_right(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", manifest())
    failed = 2 if command == "diff" else 1
    assert status(command, "-f", path, "--config", tmp_path / "none.yaml") == failed
    assert "none.yaml" in capsys.readouterr().err
    (tmp_path / "settings.yaml").write_text("ownr: team-a\n")
    assert status(command, "-f", path, "--config", tmp_path / "settings.yaml") == failed
    assert "did you mean 'owner'?" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_defect() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = run_extsync("schema", stdout=theirs, capture_output=False, stderr=-1)
    os.close(theirs)
    assert done.returncode == 1
    assert done.stderr == ""


def test_the_package_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "extsync", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"extsync {__version__}\n"
