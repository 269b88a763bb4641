"""Files outside the directories that settings name are not read, wherever links lead."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extsync.config.client import TLS
from extsync.errors import ConfigError, ReadFailed
from extsync.file_roots import FileRoots, OutsideRoots
from extsync.health.tls import Tls, configured
from extsync.sources.client.tls import TlsFiles
from extsync.sources.file.disk import look
from extsync.sources.whole_file import read_file, why
from tests.health.certificates import Authority


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "roots").mkdir()
    (tmp_path / "rootsandmore").mkdir()
    (tmp_path / "rootsandmore" / "file").write_text("more")
    (tmp_path / "roots" / "file").write_text("file")
    return tmp_path / "roots"


def allowed(roots: FileRoots, path: Path) -> bool:
    try:
        return bool(read_file(path, limit=100, roots=roots))
    except OutsideRoots:
        return False


def test_the_reason_names_the_setting_and_its_directories(root: Path) -> None:
    with pytest.raises(OutsideRoots) as caught:
        read_file(root.parent / "secret", limit=100, roots=FileRoots((str(root),)))
    told = "lies outside the directories whose files may be read: put it into one of fileRoots"
    assert why(caught.value) == f"{told} ({root})"


def test_what_lies_inside_is_read_and_what_lies_outside_is_not(root: Path) -> None:
    roots = FileRoots((str(root),))
    (root / "out").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("..")
    (root.parent / "in").symlink_to(root / "file")
    assert allowed(roots, root / "file")
    assert allowed(roots, root / ".." / "roots" / "file")
    assert allowed(roots, root.parent / "in"), "a link from outside to what lies inside"
    for path in (root / "out", root / ".." / "secret", root / "up" / "secret", root.parent / "rootsandmore" / "file"):
        assert not allowed(roots, path), path
    assert not allowed(roots, Path("/proc/self/environ"))
    assert not allowed(roots, Path(f"/proc/self/root{root.parent}/secret"))


def test_each_of_several_roots_counts_and_none_is_anywhere(root: Path) -> None:
    several = FileRoots((str(root), str(root.parent / "rootsandmore")))
    assert allowed(several, root.parent / "rootsandmore" / "file")
    assert not allowed(several, root.parent / "secret")
    assert allowed(FileRoots(), root.parent / "secret")


def test_a_root_may_be_a_link_itself_and_may_come_later(root: Path) -> None:
    roots = FileRoots((str(root.parent / "link"),))
    assert not allowed(roots, root / "file")
    (root.parent / "link").symlink_to(root)
    assert allowed(roots, root.parent / "link" / "file")


def test_a_link_that_is_turned_between_the_look_and_the_opening_gains_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = root / "link"
    link.symlink_to(root / "file")
    look_first = FileRoots.check

    def turn(roots: FileRoots, path: str | Path) -> None:
        look_first(roots, path)
        link.unlink()
        link.symlink_to(root.parent / "secret")

    monkeypatch.setattr(FileRoots, "check", turn)
    assert not allowed(FileRoots((str(root),)), link)


def test_a_missing_file_inside_is_told_as_missing(root: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_file(root / "missing", limit=100, roots=FileRoots((str(root),)))
    assert caught.value.errno == errno.ENOENT


def test_the_file_source_neither_reads_nor_lists_outside(root: Path) -> None:
    roots = FileRoots((str(root),))
    (root / "list.json").write_text('[{"address": "10.0.0.1"}]')
    (root.parent / "other.json").write_text('[{"address": "10.0.0.2"}]')
    (root / "out.json").symlink_to(root.parent / "other.json")
    sight = look((root / "*.json", root.parent / "*.json"), {}, roots)
    assert {Path(path).name: "fileRoots" in seen.fault for path, seen in sight.files.items()} == {
        "list.json": False,
        "out.json": True,
    }
    assert "fileRoots" in sight.unlisted[1][1]


def test_certificates_of_sources_and_checks_come_from_inside(root: Path) -> None:
    outside = Authority(root.parent).certificate
    inside = root / "inside.pem"
    inside.write_bytes(outside.read_bytes())
    roots = FileRoots((str(root),))
    for made in (configured(_tls(str(inside)), root, roots=roots), Tls(ca_file=str(inside), roots=roots.roots)):
        assert made.context()
    TlsFiles(_tls(str(inside)), root, roots).contexts()
    with pytest.raises(ConfigError, match=r"^tlsConfig: .*ca.* lies outside .* fileRoots"):
        configured(_tls(str(outside)), root, roots=roots)
    with pytest.raises(ReadFailed, match="fileRoots"):
        TlsFiles(_tls(str(outside)), root, roots).contexts()


@pytest.fixture
def swapped(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path, Path], None]:
    """Has links in the folder lead elsewhere as soon as a check of FileRoots has passed for the first time."""

    def swap(after: str, link: Path, to: Path) -> None:
        check = getattr(FileRoots, after)

        def checked(self: FileRoots, what: Any) -> None:
            check(self, what)
            link.unlink()
            link.symlink_to(to)

        monkeypatch.setattr(FileRoots, after, checked)

    return swap


def test_a_link_that_leads_outside_after_it_was_looked_at_opens_nothing(
    root: Path, swapped: Callable[[str, Path, Path], None]
) -> None:
    roots = FileRoots((str(root),))
    outside = Authority(root.parent).certificate
    (root / "inside.pem").write_bytes(outside.read_bytes())
    link = root / "link.pem"
    link.symlink_to(root / "inside.pem")
    swapped("check", link, outside)
    with pytest.raises(OutsideRoots):
        Tls(ca_file=str(link), roots=roots.roots).context()


def test_what_is_loaded_is_the_file_that_was_checked(root: Path, swapped: Callable[[str, Path, Path], None]) -> None:
    inside, outside = Authority(root, "inside").certificate, Authority(root.parent, "outside").certificate
    link = root / "link.pem"
    link.symlink_to(inside)
    swapped("check_open", link, outside)
    [trusted] = Tls(ca_file=str(link), roots=(str(root),)).context().get_ca_certs()
    assert trusted["subject"] == ((("commonName", "inside"),),)


def test_the_client_certificate_of_a_source_is_the_one_that_was_checked(root: Path) -> None:
    """The link of the key leads outside between the look at the contents and their loading."""
    certificate, key = Authority(root).issue("mine")
    kept = key.rename(root.parent / "kept.key")
    key.write_bytes(kept.read_bytes())
    link = root / "link.key"
    link.symlink_to(key)
    files = TlsFiles(
        TLS.model_validate({"certFile": str(certificate), "keyFile": str(link)}), root, FileRoots((str(root),))
    )
    assert files.contexts()
    link.unlink()
    link.symlink_to(kept)
    with pytest.raises(ReadFailed, match="fileRoots"):
        files._make()


def test_what_is_no_regular_file_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(OSError, match="is not a regular file"):
        Tls(ca_file=str(root / "pipe")).context()


def _tls(ca: str) -> TLS:
    return TLS.model_validate({"caFile": ca})
