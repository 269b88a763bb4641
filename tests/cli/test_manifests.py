"""The namespace of a command line: for manifests that name none, and never against one that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extsync.cli.main import main
from tests.cli.command import manifest, write


def without_namespace() -> dict[str, Any]:
    document = manifest()
    document["metadata"].pop("namespace", None)
    return document


def test_a_namespace_is_for_manifests_that_name_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m.json", without_namespace())
    assert main(["validate", "-f", str(path), "-n", "shop", "-o", "json"]) == 0
    assert '"shop/' in capsys.readouterr().out


def test_a_manifest_that_names_another_namespace_is_refused_as_by_kubectl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = manifest()
    document["metadata"]["namespace"] = "default"
    path = write(tmp_path / "m.json", document)
    assert main(["validate", "-f", str(path), "-n", "shop"]) == 1
    assert "'default' is not that of --namespace shop" in capsys.readouterr().out


def test_a_namespace_that_is_no_name_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-f", str(write(tmp_path / "m.json", manifest())), "-n", "Bad_NS"]) == 2
    assert "--namespace 'Bad_NS'" in capsys.readouterr().err
