"""When the file source looks, and what it believes: in virtual time, with a kernel and a disk that tests script."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

from extsync.model import Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.file import FileSource
from extsync.sources.file.holdings import VANISHED_HOLD
from extsync.sources.file.source import COALESCE, MAX_LOOKS, READ_TIMEOUT, SETTLE, UNWATCHED_INTERVAL
from extsync.sources.file.watch import DirectoryWatcher, Watch
from extsync.sources.offload import inline
from tests.sources.support import addresses, context, running

T = TypeVar("T")
CLOCK = VirtualClock()
REFRESH = 300.0


class Kernel(DirectoryWatcher):
    """Watches nothing; ``tell`` is what a test has happen. With ``refuses`` no directory can be watched."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.refuses = refuses
        self.told: dict[int, Callable[[], None]] = {}

    def watch(self, directory: Path, changed: Callable[[], None]) -> Watch:
        if self.refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        watch = Watch(self, len(self.told), changed)
        self.told[len(self.told)] = changed
        return watch

    def forget(self, descriptor: int, watch: Watch) -> None:
        del self.told[descriptor]

    def tell(self) -> None:
        for changed in self.told.values():
            changed()


class Disk:
    """Does the looks at once, and counts them; ``before_look`` is called with the number of each."""

    def __init__(self, before_look: Callable[[int], None] = lambda number: None) -> None:
        self.looks = 0
        self._before_look = before_look

    async def __call__(self, work: Callable[[], T], /) -> T:
        self.looks += 1
        self._before_look(self.looks)
        return await inline(work)


def source(base_dir: Path, disk: Disk, kernel: Kernel | None = None, *, files: str = "t.yml") -> FileSource:
    config = SimpleNamespace(files=(files,), refresh_interval=REFRESH)
    return FileSource(config, context(base_dir, clock=CLOCK), offload=disk, watcher=kernel or Kernel())


def write(path: Path, *named: str) -> None:
    path.write_text("".join(f"- address: {address}\n" for address in named) or "[]")


@virtual_time
async def test_a_list_that_is_half_written_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    write(path, "10.0.0.1", "10.0.0.2", "10.0.0.3")

    def half_written(look: int) -> None:
        if look == 3:
            write(path, "10.0.0.1")
        if look == 4:
            write(path, "10.0.0.1", "10.0.0.2", "10.0.0.4")

    kernel = Kernel()
    async with running(source(tmp_path, Disk(half_written), kernel)) as reports:
        await CLOCK.sleep(1)
        kernel.tell()
        await CLOCK.sleep(1)
        assert [len(report.backends) for report in reports.seen] == [3, 3]
        assert addresses(reports.seen[1])[-1] == "10.0.0.4"


@virtual_time
async def test_a_file_that_is_away_between_two_renames_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    write(path, "10.0.0.1")

    def away(look: int) -> None:
        if look == 3:
            path.unlink()
        if look == 4:
            write(path, "10.0.0.2")

    kernel = Kernel()
    async with running(source(tmp_path, Disk(away), kernel)) as reports:
        await CLOCK.sleep(1)
        kernel.tell()
        await CLOCK.sleep(1)
        assert [report.outcome for report in reports.seen] == [Outcome.FOUND, Outcome.FOUND]


@virtual_time
async def test_a_file_that_never_stands_still_is_reported_and_the_last_good_set_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    write(path, "10.0.0.1")

    def restless(look: int) -> None:
        if 3 <= look <= 2 + 2 * MAX_LOOKS:
            write(path, f"10.0.1.{look}")

    kernel = Kernel()
    async with running(source(tmp_path, Disk(restless), kernel)) as reports:
        await CLOCK.sleep(1)
        kernel.tell()
        await CLOCK.sleep(MAX_LOOKS * SETTLE + 1)
        restless_report = reports.seen[-1]
        assert restless_report.outcome is Outcome.ERROR
        assert "changes faster than it can be read" in restless_report.detail
        await CLOCK.sleep(REFRESH * 2)
        assert reports.seen[-1].outcome is Outcome.FOUND


@virtual_time
async def test_a_change_that_no_event_told_of_is_found_by_the_poll(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    async with running(source(tmp_path, Disk())) as reports:
        await CLOCK.sleep(1)
        write(tmp_path / "t.yml", "10.0.0.2")
        await CLOCK.sleep(REFRESH - 10)
        assert len(reports.seen) == 1
        await CLOCK.sleep(20)
        assert addresses(reports.seen[-1]) == ["10.0.0.2"]


@virtual_time
async def test_where_nothing_can_be_watched_the_poll_is_faster_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    kernel = Kernel(refuses=True)
    async with running(source(tmp_path, Disk(), kernel)) as reports:
        await CLOCK.sleep(1)
        assert "cannot be watched (No space left on device): it is looked at every 5 s" in reports.seen[-1].detail
        assert reports.seen[-1].outcome is Outcome.FOUND
        write(tmp_path / "t.yml", "10.0.0.2")
        await CLOCK.sleep(UNWATCHED_INTERVAL + 1)
        assert addresses(reports.seen[-1]) == ["10.0.0.2"]
        kernel.refuses = False
        await CLOCK.sleep(UNWATCHED_INTERVAL + 1)
        assert reports.seen[-1].detail == ""
        assert kernel.told


@virtual_time
async def test_what_changed_while_the_watch_was_set_up_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")

    class Late(Kernel):
        def watch(self, directory: Path, changed: Callable[[], None]) -> Watch:
            write(tmp_path / "t.yml", "10.0.0.2")
            return super().watch(directory, changed)

    async with running(source(tmp_path, Disk(), Late())) as reports:
        await CLOCK.sleep(REFRESH / 2)
        assert addresses(reports.seen[-1]) == ["10.0.0.2"]


@virtual_time
async def test_a_burst_of_events_costs_one_look(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    kernel, disk = Kernel(), Disk()
    async with running(source(tmp_path, disk, kernel)):
        await CLOCK.sleep(1)
        before = disk.looks
        for _ in range(1000):
            kernel.tell()
        await CLOCK.sleep(1)
        assert disk.looks == before + 1


@virtual_time
async def test_a_directory_that_others_are_busy_in_is_looked_at_once_a_second(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    kernel, disk = Kernel(), Disk()
    async with running(source(tmp_path, disk, kernel)) as reports:
        for _ in range(6000):
            await CLOCK.sleep(0.01)
            kernel.tell()
        assert disk.looks < 80
        assert len(reports.seen) == 1
        await CLOCK.sleep(10)
        write(tmp_path / "t.yml", "10.0.0.2")
        kernel.tell()
        await CLOCK.sleep(COALESCE + SETTLE + 0.01)
        assert addresses(reports.seen[-1]) == ["10.0.0.2"], "after a quiet time an event is followed at once"


@virtual_time
async def test_content_that_did_not_change_is_not_parsed_again(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    kernel = Kernel()
    async with running(source(tmp_path, Disk(), kernel)) as reports:
        await CLOCK.sleep(1)
        backends = reports.seen[0].backends
        (tmp_path / "t.yml").write_text("- {")
        kernel.tell()
        await CLOCK.sleep(1)
        write(tmp_path / "t.yml", "10.0.0.1")
        kernel.tell()
        await CLOCK.sleep(1)
        assert [report.outcome for report in reports.seen] == [Outcome.FOUND, Outcome.ERROR, Outcome.FOUND]
        renewed = reports.seen[2].backends
        for _ in range(3):
            os.utime(tmp_path / "t.yml")
            kernel.tell()
            await CLOCK.sleep(REFRESH)
        assert len(reports.seen) == 3
        assert renewed == backends


@virtual_time
async def test_a_file_that_left_its_pattern_is_let_go_without_waiting_for_the_poll(tmp_path: Path) -> None:
    write(tmp_path / "a.yml", "10.0.0.1")
    write(tmp_path / "b.yml", "10.0.0.2")
    kernel = Kernel()
    async with running(source(tmp_path, Disk(), kernel, files="*.yml")) as reports:
        await CLOCK.sleep(1)
        (tmp_path / "b.yml").unlink()
        kernel.tell()
        await CLOCK.sleep(VANISHED_HOLD - 1)
        assert len(reports.seen) == 1
        await CLOCK.sleep(2)
        assert addresses(reports.seen[-1]) == ["10.0.0.1"]


@virtual_time
async def test_a_look_that_hangs_is_reported_and_never_joined_by_a_second_one(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    answers = asyncio.Event()

    class Hanging(Disk):
        async def __call__(self, work: Callable[[], T], /) -> T:
            self.looks += 1
            if self.looks == 3:
                await answers.wait()
            return await inline(work)

    kernel, disk = Kernel(), Hanging()
    async with running(source(tmp_path, disk, kernel)) as reports:
        await CLOCK.sleep(1)
        write(tmp_path / "t.yml", "10.0.0.2")
        kernel.tell()
        await CLOCK.sleep((READ_TIMEOUT + UNWATCHED_INTERVAL) * 8)
        assert disk.looks == 3
        assert [report.outcome for report in reports.seen] == [Outcome.FOUND, Outcome.ERROR]
        assert "reading has not ended after 30 s" in reports.seen[1].detail
        await CLOCK.sleep(READ_TIMEOUT + 2)  # it is waiting until it asks again whether the look has ended
        answers.set()
        await CLOCK.sleep(1)
        assert addresses(reports.seen[-1]) == ["10.0.0.2"]


@virtual_time
async def test_a_source_that_is_run_again_reports_in_full_again(tmp_path: Path) -> None:
    write(tmp_path / "t.yml", "10.0.0.1")
    again = source(tmp_path, Disk())
    for _ in range(2):
        async with running(again) as reports:
            await CLOCK.sleep(1)
            assert addresses(reports.seen[0]) == ["10.0.0.1"]
