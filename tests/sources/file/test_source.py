"""The file source on real files, told of changes by the real kernel.

The poll is an hour away, so that whatever arrives was told by an event.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from extsync.errors import ConfigError
from extsync.model import Outcome
from extsync.sources.file import FileSource
from extsync.sources.registry import Registry
from tests.sources.support import context, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="changes are told by inotify, which is Linux's")


def source(base_dir: Path, *files: str) -> FileSource:
    return FileSource(SimpleNamespace(files=files, refresh_interval=3600.0), context(base_dir))


def write(path: Path, *named: str) -> None:
    """Writes the file in place."""
    path.write_text("[" + ",".join(f'{{"address": "{address}"}}' for address in named) + "]")


async def test_the_files_of_a_manifest_are_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    write(tmp_path / "targets" / "a.json", "10.0.0.1")
    (tmp_path / "b.yml").write_text("- targets: ['10.0.0.2:80']\n  labels: {env: prod}\n")
    config = SimpleNamespace(files=("targets/*.json", "b.yml"), refresh_interval=3600.0)
    async with running(Registry(tuple).create("file", config, context(tmp_path))) as reports:
        report = await reports.addresses("10.0.0.1", "10.0.0.2")
        assert report.outcome is Outcome.FOUND
        assert dict(report.backends[1].labels) == {"__meta_filepath": f"{tmp_path}/b.yml", "env": "prod"}


async def test_a_file_written_in_place_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "t.json", "10.0.0.1")
    async with running(source(tmp_path, "t.json")) as reports:
        await reports.addresses("10.0.0.1")
        for number in range(2, 5):
            write(tmp_path / "t.json", f"10.0.0.{number}")
            await reports.addresses(f"10.0.0.{number}")


async def test_a_file_renamed_over_another_is_read_again_every_time(tmp_path: Path) -> None:
    write(tmp_path / "t.json", "10.0.0.1")
    async with running(source(tmp_path, "t.json")) as reports:
        await reports.addresses("10.0.0.1")
        for number in range(2, 5):
            write(tmp_path / "new", f"10.0.0.{number}")
            (tmp_path / "new").rename(tmp_path / "t.json")
            await reports.addresses(f"10.0.0.{number}")


@pytest.mark.parametrize("named", ["t.json", "*.json"])
async def test_every_update_of_a_configmap_mount_is_seen(tmp_path: Path, named: str) -> None:
    """The kubelet writes a new directory, swaps the symlink ``..data`` by a rename, and deletes the old directory."""

    def publish(version: int) -> None:
        (tmp_path / f"..{version}").mkdir()
        write(tmp_path / f"..{version}" / "t.json", f"10.0.0.{version}")
        (tmp_path / "..data_tmp").symlink_to(f"..{version}")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / f"..{version - 1}", ignore_errors=True)

    publish(1)
    (tmp_path / "t.json").symlink_to("..data/t.json")
    async with running(source(tmp_path, named)) as reports:
        await reports.addresses("10.0.0.1")
        for version in (2, 3, 4):
            publish(version)
            await reports.addresses(f"10.0.0.{version}")
        assert all(report.outcome is Outcome.FOUND for report in reports.seen)


async def test_a_file_behind_links_elsewhere_is_watched_where_it_is(tmp_path: Path) -> None:
    for name in ("etc", "v1", "v2"):
        (tmp_path / name).mkdir()
    write(tmp_path / "v1" / "t.json", "10.0.0.1")
    write(tmp_path / "v2" / "t.json", "10.0.0.2")
    (tmp_path / "etc" / "current").symlink_to("../v1")
    async with running(source(tmp_path, "etc/current/t.json")) as reports:
        await reports.addresses("10.0.0.1")
        write(tmp_path / "v1" / "t.json", "10.0.0.11")
        await reports.addresses("10.0.0.11")
        (tmp_path / "etc" / "next").symlink_to("../v2")
        (tmp_path / "etc" / "next").rename(tmp_path / "etc" / "current")
        await reports.addresses("10.0.0.2")
        write(tmp_path / "v2" / "t.json", "10.0.0.22")
        await reports.addresses("10.0.0.22")


async def test_a_file_that_joins_a_pattern_counts_too(tmp_path: Path) -> None:
    write(tmp_path / "a.json", "10.0.0.1")
    async with running(source(tmp_path, "*.json")) as reports:
        await reports.addresses("10.0.0.1")
        write(tmp_path / "b.json", "10.0.0.2")
        await reports.addresses("10.0.0.1", "10.0.0.2")


def remove(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()
    write(path / "t.json", "10.0.0.2")


def replace(path: Path) -> None:
    path.with_name("new").mkdir()
    write(path.with_name("new") / "t.json", "10.0.0.2")
    path.rename(path.with_name("old"))
    path.with_name("new").rename(path)


@pytest.mark.parametrize("renew", [remove, replace])
async def test_a_directory_that_is_made_anew_is_watched_again(tmp_path: Path, renew: Callable[[Path], None]) -> None:
    directory = tmp_path / "targets"
    directory.mkdir()
    write(directory / "t.json", "10.0.0.1")
    async with running(source(tmp_path, "targets/t.json")) as reports:
        await reports.addresses("10.0.0.1")
        renew(directory)
        await reports.addresses("10.0.0.2")
        write(directory / "t.json", "10.0.0.3")
        await reports.addresses("10.0.0.3")


async def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with running(source(tmp_path, "not/yet/t.json")) as reports:
        await reports.until(lambda report: report.outcome is Outcome.ERROR)
        (tmp_path / "not" / "yet").mkdir(parents=True)
        write(tmp_path / "not" / "yet" / "t.json", "10.0.0.1")
        await reports.addresses("10.0.0.1")


def blow_up(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text("[{]"), "is not JSON"),
        (lambda path: path.write_text('[{"address": "db-1"}]'), "use a dns source"),
        (blow_up, "is larger than 64 MiB"),
        (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
    ],
)
async def test_a_file_that_cannot_be_used_is_an_error_and_never_an_empty_set(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    path = tmp_path / "t.json"
    write(path, "10.0.0.1")
    async with running(source(tmp_path, "t.json")) as reports:
        await reports.addresses("10.0.0.1")
        spoil(path)
        report = await reports.until(lambda report: report.outcome is not Outcome.FOUND)
        assert report.outcome is Outcome.ERROR
        assert report.detail.startswith(str(path))
        assert told in report.detail
        if path.is_dir():
            path.rmdir()
        write(path, "10.0.0.1")
        await reports.addresses("10.0.0.1")


async def test_a_literal_empty_list_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "t.json", "10.0.0.1")
    async with running(source(tmp_path, "t.json")) as reports:
        await reports.addresses("10.0.0.1")
        write(tmp_path / "t.json")
        await reports.until(lambda report: report.outcome is Outcome.EMPTY)


async def test_a_file_that_is_touched_or_commented_reports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text("- address: 10.0.0.1\n")
    async with running(source(tmp_path, "*.yml")) as reports:
        await reports.addresses("10.0.0.1")
        os.utime(path)
        path.write_text("# a comment\n- address: 10.0.0.1\n")
        (tmp_path / "z.yml").write_text("- address: 10.0.0.2\n")  # what comes after is reported, as the next
        await reports.addresses("10.0.0.1", "10.0.0.2")
        assert len(reports.seen) == 2


async def test_sources_share_one_watcher_and_leave_nothing_open(tmp_path: Path) -> None:
    write(tmp_path / "t.json", "10.0.0.1")
    before = len(os.listdir("/proc/self/fd"))
    async with running(source(tmp_path, "t.json")) as first, running(source(tmp_path, "*.json")) as second:
        await first.addresses("10.0.0.1")
        await second.addresses("10.0.0.1")
        write(tmp_path / "t.json", "10.0.0.2")
        await first.addresses("10.0.0.2")
        await second.addresses("10.0.0.2")
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("pattern", ["*/t.json", "a[bc]/t.json", "/srv/?/t.json"])
def test_wildcards_in_a_directory_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="wildcards are allowed in the last part of the path only"):
        source(Path(), pattern)
