"""What one look at the disk sees."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from extsync.sources.file import disk
from extsync.sources.file.disk import Sight, look

ONE = b'[{"address": "10.0.0.1"}]'


def looked(*patterns: Path) -> Sight:
    """A look that reads everything."""
    return look(patterns, {path: seen.mark for path, seen in look(patterns, {}).files.items()})


def names(sight: Sight) -> list[str]:
    return [Path(path).name for path in sight.files]


def fault(path: Path) -> str:
    return looked(path).files[str(path)].fault


def test_a_pattern_names_the_visible_files_it_matches_in_order(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yml", "c.json", ".hidden.yml", ".#lock.yml"):
        (tmp_path / name).write_bytes(ONE)
    (tmp_path / "folder.yml").mkdir()
    assert names(look((tmp_path / "*.yml",), {})) == ["a.yml", "b.yml"]
    assert names(look((tmp_path / "[ac].*",), {})) == ["a.yml", "c.json"]
    assert names(look((tmp_path / ".hidden.*",), {})) == [".hidden.yml"]


def test_a_file_that_two_patterns_name_is_seen_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(ONE)
    sight = look((tmp_path / "a.yml", tmp_path / "*.yml"), {})
    assert {path: seen.pattern for path, seen in sight.files.items()} == {str(tmp_path / "a.yml"): 0}


def test_a_file_is_parsed_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(ONE)
    first = look((path,), {}).files[str(path)]
    assert first.payload is None
    second = look((path,), {str(path): first.mark}).files[str(path)]
    assert second.payload is not None
    assert second.mark == first.mark
    path.write_bytes(b"[]")
    assert look((path,), {str(path): first.mark}).files[str(path)].payload is None


def test_a_pattern_that_names_nothing_says_what_to_do(tmp_path: Path) -> None:
    sight = look((tmp_path / "*.yml",), {})
    assert not sight.files
    assert "no file matches" in sight.unlisted[0][1]
    assert "keep one file that holds []" in sight.unlisted[0][1]


def test_a_directory_that_is_missing_makes_its_pattern_unlisted(tmp_path: Path) -> None:
    assert "there is no such file or directory" in look((tmp_path / "gone" / "*.yml",), {}).unlisted[0][1]


def test_more_files_than_can_be_meant_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / f"{name}.yml").write_bytes(ONE)
    assert "3 files match, and the limit is 2" in look((tmp_path / "*.yml",), {}).unlisted[0][1]


def test_what_is_no_readable_file_is_a_fault_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(tmp_path / "missing.yml") == f"{tmp_path}/missing.yml: there is no such file or directory"
    assert "is a directory: name a file in it" in fault(tmp_path)
    os.mkfifo(tmp_path / "pipe.yml")
    assert "is not a regular file" in fault(tmp_path / "pipe.yml")
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    assert "symbolic links" in fault(tmp_path / "loop.yml")

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "let the user that extsync runs as read it" in fault(tmp_path / "secret.yml")


def test_a_file_above_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(disk.MAX_BYTES + 1)
    assert "is larger than 64 MiB" in fault(path)


def test_a_name_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.json"))
    path.write_bytes(ONE)
    sight = looked(tmp_path / "*.json")
    assert names(sight) == ["a?.json"]
    payload = next(iter(sight.files.values())).payload
    assert payload is not None
    assert payload.backends[0].labels == (("__meta_filepath", f"{tmp_path}/a?.json"),)


def test_looks_that_see_the_same_have_the_same_marks_and_others_have_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    patterns = (path, tmp_path / "*.yml")
    seen = [look(patterns, {}).marks()]
    path.write_bytes(ONE)
    seen.append(look(patterns, {}).marks())
    path.write_bytes(b"[]")
    seen.append(look(patterns, {}).marks())
    (tmp_path / "b.yml").write_bytes(ONE)
    seen.append(look(patterns, {}).marks())
    assert all(before != after for before, after in pairwise(seen))
    assert look(patterns, {}).marks() == seen[-1]


def test_changes_of_a_plain_file_show_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(ONE)
    assert look((tmp_path / "a.yml", tmp_path / "*.yml"), {}).directories == (str(tmp_path),)


def test_changes_of_links_show_in_the_directories_that_hold_the_links(tmp_path: Path) -> None:
    """As in the mount of a ConfigMap, below a directory that is itself a link."""
    mount = tmp_path / "mount"
    (mount / "..2026").mkdir(parents=True)
    (mount / "..2026" / "a.yml").write_bytes(ONE)
    (mount / "..data").symlink_to("..2026")
    (mount / "a.yml").symlink_to("..data/a.yml")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "targets").symlink_to("../mount")
    sight = look((tmp_path / "etc" / "targets" / "*.yml",), {})
    assert names(sight) == ["a.yml"]
    assert sorted(sight.directories) == sorted(map(str, (tmp_path / "etc", mount, mount / "..2026")))


def test_the_coming_of_a_directory_shows_in_the_nearest_one_that_is_there(tmp_path: Path) -> None:
    assert look((tmp_path / "not" / "yet" / "a.yml",), {}).directories == (str(tmp_path),)
