"""Which binaries a control plane is started from."""

from pathlib import Path

import pytest

from tests.cluster import assets


def _binaries(directory: Path, *names: str) -> Path:
    directory.mkdir()
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def test_uses_the_folder_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = _binaries(tmp_path / "named", *assets.BINARIES)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(directory))
    assert assets.state() == assets.Ready(directory)


def test_says_what_the_named_folder_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = _binaries(tmp_path / "named", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(directory))
    found = assets.state()
    assert isinstance(found, assets.Unavailable)
    assert f"KUBEBUILDER_ASSETS={directory} lacks kube-controller-manager" in found.reason


def test_says_that_go_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = assets.state()
    assert isinstance(found, assets.Unavailable)
    assert "Go" in found.reason


def test_keeps_the_builds_of_two_go_mods_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    present = assets.cache_directory()
    monkeypatch.setattr(assets, "HERE", tmp_path)
    (tmp_path / "go.mod").write_text("require (\n\tk8s.io/kubernetes v1.99.0 // indirect\n)\n")
    other = assets.cache_directory()
    assert other.parent == present.parent == tmp_path / "extsync-cluster"
    assert other.name.startswith("v1.99.0-")
    assert other != present


def test_does_not_build_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = _binaries(tmp_path / "built", *assets.BINARIES)
    monkeypatch.setattr(assets, "HERE", tmp_path / "without-a-build-script")
    assets.build(directory)
    assert assets.missing_from(directory) == []
