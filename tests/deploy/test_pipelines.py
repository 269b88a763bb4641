"""What is shipped for pipelines: each command is one that extsync has, with flags that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync import __version__
from extsync.cli.main import main
from tests.deploy.chart import KUSTOMIZE

PIPELINES = [KUSTOMIZE.parent / "pipelines" / name for name in ("github-actions.yaml", "gitlab-ci.yaml")]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _containers(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for part in value for found in _containers(part)]
    if not isinstance(value, dict):
        return []
    own = [container for container in value.get("containers", ()) if isinstance(container, dict)]
    return own + [found for part in value.values() for found in _containers(part)]


def commands() -> list[list[str]]:
    """The arguments of every ``extsync`` in the pipelines, and of the containers of deploy/kustomize."""
    found = []
    for path in PIPELINES:
        for line in _texts(yaml.safe_load(path.read_text())):
            for command in re.findall(r"^extsync ([^|&\n]*)", line, re.MULTILINE):
                found.append(shlex.split(command))
    for path in sorted(KUSTOMIZE.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            found += [container["args"] for container in _containers(document) if "args" in container]
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_is_understood(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it is to read in place, it gets as far as to that, and not just to its usage."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--no-such-flag"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("unrecognized arguments: --no-such-flag")


def test_there_is_something_to_understand() -> None:
    assert {"validate", "diff", "apply", "run"} == {arguments[0] for arguments in commands()}


def test_the_pipelines_run_the_version_that_they_come_with() -> None:
    for path in PIPELINES:
        assert set(re.findall(r"registry\.example\.com/team/extsync:(\S+)", path.read_text())) == {__version__}
