"""Directories watched through real inotify."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from extsync.sources.file.watch import DirectoryWatcher, Watch
from tests.sources.support import GENEROUS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Bell:
    """Counts the calls of a subscriber and waits for the next."""

    def __init__(self) -> None:
        self.rung = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.rung += 1
        self._event.set()

    async def rings(self) -> None:
        async with asyncio.timeout(GENEROUS):
            await self._event.wait()
        self._event.clear()


@pytest.fixture
async def watcher() -> AsyncIterator[DirectoryWatcher]:
    watches: list[Watch] = []

    class Recording(DirectoryWatcher):
        def watch(self, *arguments: object) -> Watch:
            watches.append(super().watch(*arguments))  # type: ignore[arg-type]
            return watches[-1]

    yield Recording()
    for watch in watches:
        watch.close()


def descriptors() -> int:
    """The open inotify descriptors of this process."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(link.is_symlink() and "inotify" in os.readlink(link) for link in links)


def queue_limit() -> int:
    """How many events the kernel keeps before it drops some."""
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


async def test_whatever_changes_in_a_directory_is_told(tmp_path: Path, watcher: DirectoryWatcher) -> None:
    bell = Bell()
    watcher.watch(tmp_path, bell)
    for change in (
        lambda: (tmp_path / "a").write_text("x"),
        lambda: (tmp_path / "a").rename(tmp_path / "b"),
        lambda: (tmp_path / "b").chmod(0o600),
        lambda: (tmp_path / "..data").symlink_to("b"),
        lambda: (tmp_path / "b").unlink(),
    ):
        change()
        await bell.rings()


async def test_a_file_is_told_when_its_writer_has_closed_it(tmp_path: Path, watcher: DirectoryWatcher) -> None:
    path = tmp_path / "a"
    path.write_text("")
    bell, fence = Bell(), Bell()
    (tmp_path / "fence").mkdir()
    watcher.watch(tmp_path, bell)
    watcher.watch(tmp_path / "fence", fence)
    with path.open("w") as file:
        file.write("half")
        file.flush()
        (tmp_path / "fence" / "x").touch()
        await fence.rings()  # whatever was told of the write has come by now
        assert bell.rung == 0
    await bell.rings()


async def test_many_events_at_once_are_told_once(tmp_path: Path, watcher: DirectoryWatcher) -> None:
    bell = Bell()
    watcher.watch(tmp_path, bell)
    for number in range(500):
        (tmp_path / str(number)).touch()
    await bell.rings()
    assert bell.rung == 1


async def test_subscribers_of_one_directory_share_its_watch_by_whatever_path(
    tmp_path: Path, watcher: DirectoryWatcher
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    first, second = Bell(), Bell()
    watch = watcher.watch(tmp_path / "real", first)
    watcher.watch(tmp_path / "link", second)
    (tmp_path / "real" / "a").touch()
    await first.rings()
    await second.rings()
    watch.close()
    (tmp_path / "real" / "b").touch()
    await second.rings()
    assert first.rung == 1


async def test_one_descriptor_serves_all_and_is_closed_with_the_last_subscription(tmp_path: Path) -> None:
    before = descriptors()
    watcher = DirectoryWatcher()
    watches = []
    for name in "abc":
        (tmp_path / name).mkdir()
        watches.append(watcher.watch(tmp_path / name, Bell()))
    assert descriptors() == before + 1
    for watch in watches:
        watch.close()
        watch.close()
    assert descriptors() == before


async def test_each_event_loop_has_one_shared_watcher() -> None:
    assert DirectoryWatcher.shared() is DirectoryWatcher.shared()
    other = await asyncio.to_thread(lambda: asyncio.run(_shared()))
    assert other is not DirectoryWatcher.shared()


async def _shared() -> DirectoryWatcher:
    return DirectoryWatcher.shared()


@pytest.mark.parametrize("lose", [shutil.rmtree, lambda path: path.rename(path.with_name("moved"))])
async def test_a_directory_that_is_deleted_or_moved_away_is_told_and_its_watch_is_over(
    tmp_path: Path, watcher: DirectoryWatcher, lose: object
) -> None:
    path = tmp_path / "targets"
    path.mkdir()
    bell = Bell()
    watch = watcher.watch(path, bell)
    lose(path)  # type: ignore[operator]
    async with asyncio.timeout(GENEROUS):
        while watch.alive:
            await bell.rings()
    watch.close()
    path.mkdir()
    watcher.watch(path, bell)
    (path / "a").touch()
    await bell.rings()


async def test_after_an_overflow_everybody_looks_again(tmp_path: Path, watcher: DirectoryWatcher) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "quiet").mkdir()
    bell = Bell()
    watcher.watch(tmp_path / "busy", Bell())
    watcher.watch(tmp_path / "quiet", bell)
    limit = queue_limit()
    assert limit <= 100_000, "a machine with such a queue needs another test"
    names = [tmp_path / "busy" / name for name in ("a", "b")]
    names[0].touch()
    for number in range(limit + 10):  # in one step of the loop: nothing is read meanwhile
        names[number % 2].rename(names[1 - number % 2])
    (tmp_path / "quiet" / "x").touch()  # its event finds the queue full
    await bell.rings()


async def test_a_directory_that_is_missing_cannot_be_watched(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        DirectoryWatcher().watch(tmp_path / "gone", Bell())
    assert descriptors() == before


async def test_without_inotify_watching_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="no inotify") as refused:
        DirectoryWatcher().watch(tmp_path, Bell())
    assert refused.value.errno == errno.ENOSYS
