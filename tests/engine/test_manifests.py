"""Manifests followed while they change: real files and folders, and the feed in virtual time."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from extsync.config.loader import LoadResult, load
from extsync.engine import manifests
from extsync.engine.desired import Desired, Step
from extsync.engine.manifests import READ_TIMEOUT, FileManifests, ManifestFeed
from extsync.seams.virtual import VirtualClock, virtual_time
from tests.engine.support import A, B, key, loaded, manifest, rack, text

ORDERS, CARTS = manifest("orders", rack(A)), manifest("carts", rack(B))
GENEROUS = 30.0

needs_inotify = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def names(result: LoadResult | None) -> list[str]:
    assert result is not None, "it says that nothing changed"
    return [one.manifest.metadata.name for one in result.manifests]


@asynccontextmanager
async def files(*paths: Path | str, stdin: bytes = b"") -> AsyncIterator[FileManifests]:
    reader = FileManifests([str(path) for path in paths], stdin=stdin)
    try:
        yield reader
    finally:
        reader.close()


async def rings(changed: asyncio.Event) -> None:
    async with asyncio.timeout(GENEROUS):
        await changed.wait()
    changed.clear()


# ---- files -----------------------------------------------------------------------------------------------------------


async def test_unchanged_bytes_are_no_change(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_bytes(text(ORDERS))
    async with files(path) as reader:
        assert names(await reader()) == ["orders"]
        assert await reader() is None
        os.utime(path, (0, 0))
        assert await reader() is None


async def test_changed_bytes_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_bytes(text(ORDERS))
    async with files(path) as reader:
        await reader()
        path.write_bytes(text(CARTS))
        assert names(await reader()) == ["carts"]


async def test_a_folder_is_read_again_when_a_manifest_comes_goes_or_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_bytes(text(ORDERS))
    async with files(tmp_path) as reader:
        assert names(await reader()) == ["orders"]
        (tmp_path / "carts.yaml").write_bytes(text(CARTS))
        assert names(await reader()) == ["carts", "orders"]
        (tmp_path / "carts.yaml").rename(tmp_path / "zzz.yaml")
        assert names(await reader()) == ["orders", "carts"]
        (tmp_path / "orders.yaml").unlink()
        assert names(await reader()) == ["carts"]


async def test_what_is_no_manifest_in_a_folder_is_not_looked_at(tmp_path: Path) -> None:
    """Whatever it is: here it cannot be read, and sorts before the manifests."""
    (tmp_path / "a.txt").symlink_to("/proc/self/mem")
    (tmp_path / "orders.yaml").write_bytes(text(ORDERS))
    async with files(tmp_path) as reader:
        assert names(await reader()) == ["orders"]
        (tmp_path / "orders.yaml").write_bytes(text(CARTS))
        assert names(await reader()) == ["carts"]


async def test_a_path_that_cannot_be_read_is_read_anew_each_time_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    async with files(path) as reader:
        for _ in range(2):
            result = await reader()
            assert result is not None
            assert result.unreadable == (str(path),)
        path.write_bytes(text(ORDERS))
        assert names(await reader()) == ["orders"]


async def test_standard_input_is_read_once_and_never_changes() -> None:
    async with files("-", stdin=text(ORDERS)) as reader:
        assert names(await reader()) == ["orders"]
        assert await reader() is None


@needs_inotify
async def test_a_change_in_a_folder_is_told(tmp_path: Path) -> None:
    async with files(tmp_path) as reader:
        await reader()
        (tmp_path / "orders.yaml").write_bytes(text(ORDERS))
        await rings(reader.changed)


@needs_inotify
async def test_a_file_that_another_replaces_is_told(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_bytes(text(ORDERS))
    async with files(path) as reader:
        await reader()
        for content in (CARTS, ORDERS):
            (tmp_path / "new").write_bytes(text(content))
            (tmp_path / "new").rename(path)
            await rings(reader.changed)
            assert names(await reader()) == [content["metadata"]["name"]]


@needs_inotify
async def test_every_swap_of_a_config_map_is_told_and_read(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").symlink_to("..data/orders.yaml")

    def swap(version: str, content: bytes) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "orders.yaml").write_bytes(content)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    swap("..1", text(ORDERS))
    async with files(tmp_path) as reader:
        assert names(await reader()) == ["orders"]
        for version, content in (("..2", CARTS), ("..3", ORDERS)):
            swap(version, text(content))
            await rings(reader.changed)
            assert names(await reader()) == [content["metadata"]["name"]]


@needs_inotify
async def test_a_folder_that_is_made_anew_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    async with files(folder) as reader:
        await reader()
        folder.rmdir()
        await rings(reader.changed)
        await reader()
        folder.mkdir()
        await reader()
        (folder / "orders.yaml").write_bytes(text(ORDERS))
        await rings(reader.changed)


async def test_a_read_that_hangs_blocks_nothing_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders.yaml").write_bytes(text(ORDERS))
    let_go, calls = threading.Event(), 0

    def hanging(*args: object, **kwargs: object) -> LoadResult:
        nonlocal calls
        calls += 1
        let_go.wait(GENEROUS)
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(manifests, "load", hanging)
    async with files(tmp_path) as reader:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader()
        let_go.set()
        assert names(await reader()) == ["orders"]
        assert await reader() is None
    assert calls == 1


# ---- the feed --------------------------------------------------------------------------------------------------------


class Feed:
    """A feed in virtual time; ``seen`` are the times and contents of its steps."""

    def __init__(self, load: Callable[[], Awaitable[LoadResult | None]], *, removal_delay: float = 60.0) -> None:
        self.clock = VirtualClock()
        self.hint = asyncio.Event()
        self.seen: list[tuple[float, Step]] = []
        self._feed = ManifestFeed(
            load, Desired(removal_delay=removal_delay), clock=self.clock, poll_interval=10.0, hint=self.hint
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._feed.run(self._take))
        try:
            yield
        finally:
            assert not task.done(), task
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _take(self, step: Step, result: LoadResult) -> None:
        self.seen.append((round(self.clock.monotonic(), 2), step))

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.seen]

    def removals(self) -> list[tuple[float, list[str]]]:
        return [(time, [str(gone) for gone in step.removed]) for time, step in self.seen if step.removed]


@virtual_time
async def test_it_loads_at_once_and_then_at_its_interval() -> None:
    async def load() -> LoadResult:
        return loaded(ORDERS)

    feed = Feed(load)
    async with feed.running():
        await feed.clock.sleep(25)
    assert feed.times == [0.0, 10.0, 20.0]


@virtual_time
async def test_a_hint_loads_after_a_moment_in_which_changes_gather() -> None:
    async def load() -> LoadResult:
        return loaded(ORDERS)

    feed = Feed(load)
    async with feed.running():
        await feed.clock.sleep(3)
        for _ in range(4):
            feed.hint.set()
            await feed.clock.sleep(0.01)
        await feed.clock.sleep(5)
    assert feed.times[1] == 3.05
    assert len(feed.times) <= 3


@virtual_time
async def test_a_removal_happens_when_it_is_due_and_not_at_the_next_interval() -> None:
    results = [loaded(ORDERS, CARTS), loaded(CARTS)]

    async def load() -> LoadResult | None:
        return results.pop(0) if results else None

    feed = Feed(load, removal_delay=14.0)
    async with feed.running():
        await feed.clock.sleep(60)
    assert feed.removals() == [(24.0, [str(key("orders"))])]


@virtual_time
async def test_a_load_that_fails_changes_nothing_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    results: list[LoadResult | OSError] = [loaded(ORDERS, CARTS), OSError("scripted"), loaded(CARTS)]

    async def load() -> LoadResult | None:
        result = results.pop(0) if results else None
        if isinstance(result, OSError):
            raise result
        return result

    feed = Feed(load)
    async with feed.running():
        await feed.clock.sleep(120)
    assert feed.times[:2] == [0.0, 20.0]
    assert feed.removals() == [(80.0, [str(key("orders"))])]
    assert "scripted; what is in force goes on" in caplog.text


@virtual_time
async def test_a_load_that_hangs_is_given_up_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    async def load() -> LoadResult:
        nonlocal calls
        calls += 1
        if calls == 2:
            await asyncio.Event().wait()
        return loaded(ORDERS)

    feed = Feed(load)
    async with feed.running():
        await feed.clock.sleep(60)
    assert feed.times[:2] == [0.0, 20.0 + READ_TIMEOUT]
    assert "timed out" in caplog.text
