"""Where the programs of a real server come from."""

from pathlib import Path

import pytest

from tests.cluster.assets import Buildable, Unavailable
from tests.servers import debian, programs
from tests.servers.programs import Programs

ONE_LINE = """\
# the machine's own
deb [signed-by=/keys.gpg] http://mirror.test/debian bookworm main contrib
deb http://mirror.test/debian bookworm-updates main
deb-src http://mirror.test/debian bookworm main
"""
STANZAS = """\
Types: deb
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys.gpg

Types: deb
URIs: http://security.test/debian
Suites: bookworm-security
Components: main
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only one in PATH; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "MORE_PLACES", ())
    return tmp_path


def _program(path: Path, told: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{told}'\n")
    path.chmod(0o755)
    return path


def test_uses_a_program_in_path_that_is_new_enough(folder: Path) -> None:
    consul = _program(folder / "consul", "Consul v1.18.2")
    found = programs.state("consul")
    assert isinstance(found, Programs)
    assert found.paths == {"consul": consul}


@pytest.mark.parametrize("told", ["Consul v1.7.9", "no version at all"])
def test_uses_no_program_that_is_too_old(folder: Path, told: str) -> None:
    for name in ("apt-get", "dpkg"):
        _program(folder / name, "")
    _program(folder / "consul", told)
    assert programs.state("consul") == Buildable(programs.cache_directory("consul"))


def test_says_what_a_machine_without_apt_needs(folder: Path) -> None:
    found = programs.state("knot")
    assert isinstance(found, Unavailable)
    assert "knotd and knotc 3.0 or newer in PATH" in found.reason
    assert "no apt-get" in found.reason


@pytest.mark.parametrize(
    ("name", "own", "derived"),
    [
        ("sources.list", ONE_LINE, "deb [signed-by=/keys.gpg] http://mirror.test/debian bullseye main\n"),
        (
            "debian.sources",
            STANZAS,
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: bullseye\nComponents: main\nSigned-By: /keys.gpg\n",
        ),
    ],
    ids=["one line", "stanzas"],
)
def test_takes_an_older_release_from_the_mirror_of_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, own: str, derived: str
) -> None:
    machine, written = tmp_path / "machine", tmp_path / "written"
    machine.mkdir()
    written.mkdir()
    (machine / name).write_text(own)
    monkeypatch.setattr(debian, "SOURCES", machine / "sources.list")
    monkeypatch.setattr(debian, "MORE_SOURCES", machine)
    monkeypatch.setattr(debian, "codename", lambda: "bookworm")
    debian.write_sources(written, suite="bullseye")
    assert {file.name: file.read_text() for file in written.iterdir()} == {name: own, f"bullseye-{name}": derived}


def test_downloads_nothing_that_is_unpacked_already(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = programs.cache_directory("nginx") / "usr" / "sbin"
    place.mkdir(parents=True)
    _program(place / "nginx", "nginx version: nginx/1.22.1")
    monkeypatch.setattr(debian, "unpack", _must_not_be_called)
    programs.fetch("nginx")


def _must_not_be_called(*_: object, **__: object) -> None:
    pytest.fail("downloaded")
