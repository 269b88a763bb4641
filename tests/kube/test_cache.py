"""The cache is in step with the server whatever the watch does, and never behind our own writes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from extsync.errors import Expired, Forbidden, Invalid, StoreError, TooManyRequests, Unavailable
from extsync.kube.cache import Cache
from extsync.kube.store import Store, WatchEvent
from extsync.kube.trouble import Trouble
from extsync.objects import Service
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from tests.kube.scripted_store import (
    ScriptedStore,
    Step,
    added,
    bookmark,
    deleted,
    initially,
    listing,
    modified,
    obj,
)

SILENT = Unavailable("nothing came for 150 s")


class Changes:
    """Remembers what a cache tells its listener, in short."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, old: Service | None, new: Service | None) -> None:
        found = new or old
        assert found is not None
        name = found.metadata.name
        self.told.append(f"-{name}" if new is None else f"+{name}" if old is None else f"~{name}")

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


def a_cache(store: ScriptedStore, **options: Any) -> Cache[Service]:
    return Cache(cast(Store, store), Service, clock=VirtualClock(), random=SeededRandom(7), **options)


@asynccontextmanager
async def running(cache: Cache[Service], *, seconds: float = 0.0) -> AsyncIterator[Cache[Service]]:
    """The cache while it runs, after ``seconds``."""
    task = asyncio.ensure_future(cache.run())
    try:
        await asyncio.sleep(seconds)
        yield cache
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def versions(cache: Cache[Service]) -> dict[str, str | None]:
    return {found.metadata.name: found.metadata.resource_version for found in cache.all()}


# ---- beginning ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_the_objects_are_there_when_all_of_them_have_come() -> None:
    changes = Changes()
    store = ScriptedStore([added("b", 2), 1.0, added("a", 1), 1.0, bookmark(9, initial_end=True), 600.0])
    async with running(a_cache(store, on_change=changes), seconds=1.5) as cache:
        assert not cache.is_synced
        assert (cache.all(), changes.take()) == ((), [])
        await cache.synced()
        assert asyncio.get_running_loop().time() == 2.0
        assert versions(cache) == {"a": "1", "b": "2"}
        assert changes.take() == ["+b", "+a"]
        assert cache.get("shop", "a") == obj("a", 1)
        assert cache.get("other", "a") is None


@virtual_time
async def test_changes_before_the_end_of_the_initial_events_count() -> None:
    store = ScriptedStore([added("a", 1), added("b", 2), modified("a", 3), deleted("b", 4), *initially(4), 600.0])
    async with running(a_cache(store), seconds=1) as cache:
        assert versions(cache) == {"a": "3"}


@virtual_time
async def test_where_watch_lists_are_refused_a_list_begins() -> None:
    store = ScriptedStore([Invalid("no watch-list")], [added("b", 8), 600.0], lists=[listing(7, obj("a", 1))])
    async with running(a_cache(store), seconds=1) as cache:
        assert cache.is_synced
        assert versions(cache) == {"a": "1", "b": "8"}
        assert store.versions == [None, "7"]


@virtual_time
async def test_a_server_that_takes_a_watch_list_for_a_watch_is_found_out_by_its_bookmark() -> None:
    store = ScriptedStore([added("a", 1), 60.0, bookmark(7)], lists=[listing(7, obj("a", 1))])
    async with running(a_cache(store), seconds=61) as cache:
        assert versions(cache) == {"a": "1"}
        assert store.versions == [None, "7"]


@virtual_time
async def test_a_watch_list_that_breaks_off_leaves_nothing_behind() -> None:
    store = ScriptedStore([added("a", 1), Unavailable("cut")], [added("b", 2), 5.0], initially(3, added("c", 3)))
    async with running(a_cache(store), seconds=5) as cache:
        assert (cache.is_synced, versions(cache)) == (False, {})
        await asyncio.sleep(5)
        assert (cache.is_synced, versions(cache)) == (True, {"c": "3"})


# ---- going on -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_events_change_the_cache_one_by_one() -> None:
    changes = Changes()
    store = ScriptedStore([*initially(1), added("a", 2), modified("a", 3), added("b", 4), deleted("a", 5), 600.0])
    async with running(a_cache(store, on_change=changes), seconds=1) as cache:
        assert versions(cache) == {"b": "4"}
        assert changes.take() == ["+a", "~a", "+b", "-a"]


@virtual_time
async def test_a_watch_goes_on_from_the_last_event_or_bookmark() -> None:
    store = ScriptedStore(
        [*initially(1), added("a", 4), 300.0],
        [bookmark(9), 300.0],
        [300.0],
    )
    async with running(a_cache(store), seconds=901):
        assert store.versions == [None, "4", "9", "9"]


@virtual_time
async def test_a_watch_that_ends_in_good_order_is_followed_at_once_by_the_next() -> None:
    store = ScriptedStore([*initially(1), 300.0], [300.0])
    async with running(a_cache(store), seconds=601):
        assert [began for began, _, _ in store.watched] == [0.0, 300.0, 600.0]


@virtual_time
async def test_watches_last_five_to_ten_minutes_each_its_own_time() -> None:
    store = ScriptedStore(initially(1))
    async with running(a_cache(store), seconds=6000):
        lengths = [length for _, _, length in store.watched]
    assert all(300 <= length <= 600 for length in lengths)
    assert len(set(lengths)) == len(lengths)


@virtual_time
async def test_a_stop_ends_the_watch() -> None:
    store = ScriptedStore([*initially(1), 600.0])
    async with running(a_cache(store), seconds=1):
        assert store.open == 1
    assert store.open == 0


# ---- versions that are too old --------------------------------------------------------------------------------------


@virtual_time
async def test_after_an_expiry_what_was_missed_is_found_by_comparison() -> None:
    changes = Changes()
    store = ScriptedStore(
        [*initially(3, added("a", 1), added("b", 2), added("c", 3)), Expired("too old")],
        initially(20, added("a", 1), added("b", 12), added("d", 13)),
    )
    async with running(a_cache(store, on_change=changes)) as cache:
        await asyncio.sleep(0)
        assert changes.take() == ["+a", "+b", "+c"]
        await asyncio.sleep(5)
        assert versions(cache) == {"a": "1", "b": "12", "d": "13"}
        assert changes.take() == ["~b", "+d", "-c"]
        assert store.versions == [None, None, "20"]


@virtual_time
async def test_the_cache_stays_as_it_was_until_the_new_state_is_complete() -> None:
    store = ScriptedStore(
        [*initially(1, added("a", 1)), Expired("too old")],
        [10.0, added("b", 12), 10.0, bookmark(20, initial_end=True)],
    )
    async with running(a_cache(store), seconds=15) as cache:
        assert versions(cache) == {"a": "1"}
        await asyncio.sleep(10)
        assert versions(cache) == {"b": "12"}


@virtual_time
async def test_a_server_on_which_every_version_expires_is_not_asked_without_pause() -> None:
    store = ScriptedStore(*([*initially(1), Expired("too old")] for _ in range(1000)))
    async with running(a_cache(store), seconds=600):
        assert len(store.watched) < 40


# ---- failures -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_pauses_grow_from_under_a_second_to_half_a_minute() -> None:
    store = ScriptedStore(*([Unavailable("away")] for _ in range(200)))
    async with running(a_cache(store), seconds=600):
        begins = [began for began, _, _ in store.watched]
    pauses = [after - before for before, after in itertools.pairwise(begins)]
    assert 0.8 <= pauses[0] <= 1.6
    assert all(0.8 <= pause <= 30 for pause in pauses)
    assert min(pauses[6:]) >= 15
    assert len(set(pauses)) == len(pauses)


@virtual_time
async def test_after_two_good_minutes_the_pauses_start_afresh() -> None:
    failing: list[list[Step]] = [[Unavailable("away")] for _ in range(6)]
    store = ScriptedStore(*failing, [*initially(1), 120.0, Unavailable("away")], [300.0])
    async with running(a_cache(store), seconds=400):
        resumed, before = store.watched[7][0], store.watched[6][0] + 120.0
    assert 0.8 <= resumed - before <= 1.6


@virtual_time
async def test_a_watch_that_breaks_goes_on_from_its_last_event() -> None:
    store = ScriptedStore([*initially(1), added("a", 2), Unavailable("cut")], [modified("a", 3), 600.0])
    async with running(a_cache(store), seconds=5) as cache:
        assert store.versions == [None, "2"]
        assert versions(cache) == {"a": "3"}


@virtual_time
async def test_a_half_open_connection_costs_no_second_list() -> None:
    store = ScriptedStore([*initially(1), 150.0, SILENT], [added("a", 5), 600.0])
    async with running(a_cache(store), seconds=160) as cache:
        assert store.versions == [None, "1"]
        assert versions(cache) == {"a": "5"}


@virtual_time
async def test_a_server_that_stays_silent_is_asked_for_everything_again() -> None:
    """After a restore from a backup our version may lie in its future, and it has nothing to say until then."""
    store = ScriptedStore(
        [*initially(1000, added("a", 900)), 150.0, SILENT],
        [150.0, SILENT],
        [*initially(50, added("a", 40)), 600.0],
    )
    async with running(a_cache(store), seconds=320) as cache:
        assert store.versions == [None, "1000", None]
        assert versions(cache) == {"a": "40"}


@virtual_time
async def test_a_server_that_says_when_to_come_back_is_heeded() -> None:
    store = ScriptedStore([TooManyRequests("busy", 20)], [Unavailable("overload", 15)], [Unavailable("x", 1e9)])
    async with running(a_cache(store), seconds=400):
        begins = [began for began, _, _ in store.watched]
    assert begins == [0.0, 20.0, 35.0, 335.0]


@virtual_time
async def test_watches_that_end_at_once_are_not_repeated_in_haste() -> None:
    store = ScriptedStore(initially(1), *([bookmark(2)] for _ in range(1000)))
    async with running(a_cache(store), seconds=600):
        assert len(store.watched) < 40


@virtual_time
async def test_a_refusal_is_shown_and_retried_and_forgotten() -> None:
    store = ScriptedStore([Forbidden("no rights")], [30.0, *initially(1)])
    async with running(a_cache(store), seconds=0.5) as cache:
        assert isinstance(cache.error, Forbidden)
        await asyncio.sleep(60)
        assert cache.error is None


@virtual_time
async def test_the_age_is_the_time_since_the_server_was_heard_from() -> None:
    store = ScriptedStore([2.0, *initially(1), 10.0, bookmark(2), 600.0])
    async with running(a_cache(store), seconds=1) as cache:
        assert cache.age() is None
        await asyncio.sleep(4)
        assert cache.age() == 3.0
        await asyncio.sleep(10)
        assert cache.age() == 3.0


# ---- listeners, reduction, index ------------------------------------------------------------------------------------


@virtual_time
async def test_who_listens_to_the_state_is_told_of_the_first_full_answer_and_of_errors_and_their_ends() -> None:
    told: list[tuple[float, bool, str]] = []

    def tell() -> None:
        told.append((asyncio.get_running_loop().time(), cache.is_synced, str(cache.error or "")))

    store = ScriptedStore([Unavailable("cut")], [2.0, *initially(1), 2.0, SILENT], [5.0, bookmark(2), 600.0])
    cache = a_cache(store, on_state=tell)
    async with running(cache, seconds=20):
        assert [(synced, error) for _, synced, error in told] == [
            (False, "cut"),
            (False, ""),
            (True, ""),
            (True, str(SILENT)),
            (True, ""),
        ]
        assert cache.error is None


@virtual_time
async def test_an_error_that_stays_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    denied = [Forbidden("no right to watch services")]
    store = ScriptedStore(denied, denied, [Unavailable("cut")], denied, [*initially(1), 600.0])
    with caplog.at_level(logging.INFO):
        async with running(a_cache(store, trouble=Trouble(clock=VirtualClock())), seconds=60) as cache:
            assert cache.is_synced
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "no right to watch services",
        "cut",
        "over after 14 s: no right to watch services",
    ]


@virtual_time
async def test_a_watch_that_breaks_once_and_goes_on_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    store = ScriptedStore([*initially(1), 10.0, Unavailable("cut")], [bookmark(2), 10.0, Unavailable("cut")])
    with caplog.at_level(logging.INFO):
        async with running(a_cache(store, trouble=Trouble(clock=VirtualClock())), seconds=60) as cache:
            assert cache.error is not None  # until the third watch has something to say
    assert not caplog.records


@virtual_time
async def test_an_error_of_the_listener_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(old: Service | None, new: Service | None) -> None:
        raise ZeroDivisionError

    store = ScriptedStore([*initially(1, added("a", 1)), added("b", 2), 600.0])
    with caplog.at_level(logging.ERROR):
        async with running(a_cache(store, on_change=fail), seconds=1) as cache:
            assert versions(cache) == {"a": "1", "b": "2"}
    assert [record.message for record in caplog.records] == ["services: a listener failed; the watch goes on"] * 2


@virtual_time
async def test_objects_are_reduced_or_dropped_as_they_come() -> None:
    def keep(found: Service) -> Service | None:
        if found.labels.get("size") == "none":
            return None
        return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, labels=None))

    changes = Changes()
    store = ScriptedStore(
        [
            *initially(2, added("a", 1, size="big"), added("b", 2, size="none")),
            modified("b", 3, size="big"),
            modified("a", 4, size="none"),
            modified("a", 5, size="none"),
            600.0,
        ]
    )
    async with running(a_cache(store, keep=keep, on_change=changes), seconds=1) as cache:
        assert cache.all() == (obj("b", 3),)
        assert changes.take() == ["+a", "+b", "-a"]


@virtual_time
async def test_objects_are_found_by_their_groups_which_may_change() -> None:
    store = ScriptedStore(
        [
            *initially(3, added("b", 1, of="x"), added("a", 2, of="x", also="y"), added("c", 3)),
            1.0,
            modified("b", 4, of="y"),
            deleted("a", 5),
            600.0,
        ]
    )
    async with running(a_cache(store, index=lambda found: found.labels.values()), seconds=0.5) as cache:
        assert [found.metadata.name for found in cache.by_index("x")] == ["a", "b"]
        assert [found.metadata.name for found in cache.by_index("y")] == ["a"]
        await asyncio.sleep(1)
        assert cache.by_index("x") == ()
        assert [found.metadata.name for found in cache.by_index("y")] == ["b"]


# ---- our own writes -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def following(
    *initial: WatchEvent[Service], version: int = 100, more: list[list[Step]] | None = None, **options: Any
) -> AsyncIterator[tuple[Cache[Service], asyncio.Queue[Step]]]:
    """A running cache that begins with ``initial`` and then follows what is put into the queue.

    Later watches play the scripts of ``more``.
    """
    queue: asyncio.Queue[Step] = asyncio.Queue()

    class Following(ScriptedStore):
        async def watch(self, kind: Any, **options: Any) -> Any:
            if self.watched:
                async for event in super().watch(kind, **options):
                    yield event
                return
            self.watched.append((0.0, options["resource_version"], options["timeout"]))
            for step in initially(version, *initial):
                yield step
            while True:
                step = await queue.get()
                if isinstance(step, StoreError):
                    raise step
                yield step

    async with running(a_cache(Following(*(more or [])), **options), seconds=1) as cache:
        yield cache, queue


async def settled(queue: asyncio.Queue[Step], *events: Step) -> None:
    for event in events:
        queue.put_nowait(event)
    await asyncio.sleep(0.1)


@virtual_time
async def test_an_own_write_is_there_at_once_and_told_once() -> None:
    changes = Changes()
    async with following(added("a", 1), on_change=changes) as (cache, queue):
        changes.take()
        cache.written(obj("a", 110))
        cache.written(obj("b", 111))
        assert versions(cache) == {"a": "110", "b": "111"}
        await settled(queue, modified("a", 110), added("b", 111))
        assert versions(cache) == {"a": "110", "b": "111"}
        assert changes.take() == ["~a", "+b"]


@virtual_time
async def test_events_from_before_an_own_write_pass_by_and_later_ones_count() -> None:
    async with following(added("a", 1)) as (cache, queue):
        cache.written(obj("a", 110))
        await settled(queue, modified("a", 105), deleted("a", 106), added("a", 108, uid="another"))
        assert versions(cache) == {"a": "110"}
        await settled(queue, modified("a", 110), modified("a", 115))
        assert versions(cache) == {"a": "115"}
        await settled(queue, deleted("a", 116))
        assert versions(cache) == {}


@virtual_time
async def test_a_later_event_counts_also_where_the_one_of_our_write_is_missing() -> None:
    async with following(added("a", 1)) as (cache, queue):
        cache.written(obj("a", 110))
        await settled(queue, modified("a", 115))
        assert versions(cache) == {"a": "115"}


@virtual_time
async def test_an_answer_that_comes_after_the_watch_told_of_it_brings_nothing_back() -> None:
    async with following(added("a", 1)) as (cache, queue):
        await settled(queue, modified("a", 110), modified("a", 111), added("b", 112), deleted("b", 113))
        cache.written(obj("a", 110))
        cache.written(obj("b", 112))
        assert versions(cache) == {"a": "111"}


@virtual_time
async def test_an_answer_that_is_overtaken_by_a_later_one_brings_nothing_back() -> None:
    async with following(added("a", 1)) as (cache, _):
        cache.written(obj("a", 112))
        cache.written(obj("a", 111))
        assert versions(cache) == {"a": "112"}
        cache.deleted("shop", "a", "uid-a")
        cache.written(obj("a", 112))
        assert versions(cache) == {}


@virtual_time
async def test_an_own_delete_is_there_at_once_and_older_events_bring_nothing_back() -> None:
    changes = Changes()
    async with following(added("a", 1), on_change=changes) as (cache, queue):
        changes.take()
        cache.deleted("shop", "a", "uid-a")
        assert versions(cache) == {}
        await settled(queue, modified("a", 105))
        assert versions(cache) == {}
        await settled(queue, deleted("a", 110), added("a", 120, uid="another"))
        assert versions(cache) == {"a": "120"}
        assert changes.take() == ["-a", "+a"]


@virtual_time
async def test_a_delete_that_the_watch_has_told_of_already_is_over() -> None:
    async with following(added("a", 1)) as (cache, queue):
        await settled(queue, deleted("a", 110), added("a", 111, uid="another"))
        cache.deleted("shop", "a", "uid-a")
        assert versions(cache) == {"a": "111"}
        await settled(queue, modified("a", 112, uid="another"))
        assert versions(cache) == {"a": "112"}


@virtual_time
async def test_a_deleted_object_that_a_finalizer_keeps_comes_back_as_terminating() -> None:
    async with following(added("a", 1)) as (cache, queue):
        cache.deleted("shop", "a", "uid-a")
        event = modified("a", 110)
        assert event.object is not None
        metadata = msgspec.structs.replace(event.object.metadata, deletion_timestamp="2027-01-15T08:00:00Z")
        terminating = msgspec.structs.replace(event.object, metadata=metadata)
        await settled(queue, msgspec.structs.replace(event, object=terminating))
        assert cache.all() == (terminating,)


@virtual_time
async def test_an_object_made_anew_under_its_old_name_survives_the_events_of_the_old_one() -> None:
    async with following(added("a", 1)) as (cache, queue):
        cache.deleted("shop", "a", "uid-a")
        cache.written(obj("a", 120, uid="new"))
        await settled(queue, modified("a", 105), deleted("a", 110))
        assert versions(cache) == {"a": "120"}
        await settled(queue, added("a", 120, uid="new"), modified("a", 121, uid="new"))
        assert versions(cache) == {"a": "121"}


@virtual_time
async def test_what_is_older_than_a_deleted_object_does_not_appear_in_its_place() -> None:
    """A watch that lags tells of the name's former life first."""
    async with following() as (cache, queue):
        cache.written(obj("a", 120))
        cache.deleted("shop", "a", "uid-a")
        await settled(queue, added("a", 110, uid="former"), deleted("a", 111, uid="former"), added("a", 120))
        assert versions(cache) == {}


@virtual_time
async def test_writes_to_other_namespaces_than_the_caches_are_not_its_business() -> None:
    async with following(namespace="other") as (cache, _):
        cache.written(obj("a", 110))
        assert versions(cache) == {}


@virtual_time
async def test_versions_that_are_no_numbers_are_only_known_when_they_are_equal() -> None:
    async with following(added("a", "x1")) as (cache, queue):
        cache.written(obj("a", "x3"))
        await settled(queue, modified("a", "x2"))
        assert versions(cache) == {"a": "x3"}
        await settled(queue, modified("a", "x3"), modified("a", "x4"))
        assert versions(cache) == {"a": "x4"}


# ---- own writes and lists -------------------------------------------------------------------------------------------


@virtual_time
async def test_a_list_from_before_our_writes_does_not_undo_them() -> None:
    lists: list[list[Step]] = [initially(108, added("a", 105), added("b", 3), added("d", 4))]
    initial = (added("a", 1), added("b", 3))
    async with following(*initial, more=lists) as (cache, queue):
        await settled(queue, Expired("too old"))
        cache.written(obj("a", 110))
        cache.deleted("shop", "b", "uid-b")
        cache.written(obj("c", 111))
        await asyncio.sleep(5)
        assert versions(cache) == {"a": "110", "c": "111", "d": "4"}


@virtual_time
async def test_a_list_from_after_our_writes_counts() -> None:
    lists: list[list[Step]] = [initially(200, added("a", 150))]
    async with following(added("a", 1), more=lists) as (cache, queue):
        cache.written(obj("a", 110))
        cache.written(obj("b", 111))
        await settled(queue, Expired("too old"))
        await asyncio.sleep(5)
        assert versions(cache) == {"a": "150"}


# ---- writes that are not confirmed ----------------------------------------------------------------------------------


@virtual_time
async def test_a_watch_that_passes_over_our_write_is_not_trusted() -> None:
    async with following(more=[initially(130, added("b", 125))]) as (cache, queue):
        cache.written(obj("a", 110))
        await settled(queue, bookmark(109))
        assert versions(cache) == {"a": "110"}
        await settled(queue, bookmark(120))
        await asyncio.sleep(5)
        assert versions(cache) == {"b": "125"}


# ---- a server that is back with older data ---------------------------------------------------------------------------


@virtual_time
async def test_a_server_that_went_back_is_read_anew_as_soon_as_it_answers() -> None:
    """A watch from a version in its future would stay silent, and then pass over all that is different."""
    restored = initially(500, added("a", 40), added("c", 450))
    store = ScriptedStore([*initially(1000, added("a", 900), added("b", 950)), Unavailable("cut")], [*restored, 600.0])
    store.now = "520"
    async with running(a_cache(store), seconds=3) as cache:
        assert store.versions == [None, None]
        assert versions(cache) == {"a": "40", "c": "450"}


@virtual_time
async def test_also_where_a_watch_ended_in_good_order() -> None:
    store = ScriptedStore([*initially(1000, added("a", 900)), 300.0], [*initially(500), 600.0])
    store.now = "520"
    async with running(a_cache(store), seconds=305) as cache:
        assert versions(cache) == {}


@virtual_time
async def test_a_server_that_was_away_is_read_anew_even_if_it_has_come_further() -> None:
    """The backup was older, but so much was written since that its version tells nothing any more."""
    away = [Unavailable("away")]
    restored = initially(1200, added("a", 1100))
    store = ScriptedStore([*initially(1000, added("a", 900), added("b", 950)), Unavailable("cut")], away, restored)
    store.now = "1200"
    async with running(a_cache(store), seconds=10) as cache:
        assert versions(cache) == {"a": "1100"}


@virtual_time
async def test_a_server_that_is_busy_was_not_away() -> None:
    busy = [TooManyRequests("busy", 1.0)]
    store = ScriptedStore([*initially(1000), Unavailable("cut")], busy, busy, busy, [600.0])
    async with running(a_cache(store), seconds=30):
        assert store.versions == [None] + ["1000"] * 4


@virtual_time
async def test_what_we_wrote_is_lost_with_the_data_that_it_was_in() -> None:
    """Its versions are older than what we wrote and deleted; the state that it brings back is the state there is."""
    restored: list[Step] = [*initially(50, added("a", 40), added("b", 41)), 600.0]
    async with following(added("a", 90), added("b", 91), more=[restored]) as (cache, queue):
        cache.written(obj("a", 110))
        cache.deleted("shop", "b", "uid-b")
        assert versions(cache) == {"a": "110"}
        await settled(queue, Expired("too old"))
        await asyncio.sleep(10)
        assert versions(cache) == {"a": "40", "b": "41"}


@virtual_time
async def test_the_same_version_is_of_something_else_where_the_data_went_back() -> None:
    restored = initially(950, added("a", 900, written_by="somebody else"))
    store = ScriptedStore([*initially(1000, added("a", 900)), Unavailable("cut")], [*restored, 600.0])
    store.now = "950"
    changes = Changes()
    async with running(a_cache(store, on_change=changes), seconds=3) as cache:
        assert cache.all() == (obj("a", 900, written_by="somebody else"),)
        assert changes.take() == ["+a", "~a"]


@virtual_time
async def test_what_we_write_while_the_older_data_is_read_stays() -> None:
    restored: list[Step] = [5.0, *initially(50, added("a", 40)), 100.0]
    async with following(added("a", 90), more=[restored]) as (cache, queue):
        await settled(queue, Expired("too old"))
        await asyncio.sleep(3)
        cache.written(obj("a", 51))
        cache.written(obj("b", 52))
        await asyncio.sleep(10)
        assert versions(cache) == {"a": "51", "b": "52"}


@virtual_time
async def test_a_list_that_has_come_further_than_our_write_and_does_not_have_it_counts() -> None:
    lists: list[list[Step]] = [[*initially(200, added("a", 40)), 600.0]]
    async with following(added("a", 90), more=lists) as (cache, queue):
        cache.written(obj("a", 110))
        await settled(queue, Expired("too old"))
        await asyncio.sleep(5)
        assert versions(cache) == {"a": "40"}


@pytest.mark.parametrize("event", [bookmark(99), modified("a", 98)])
@virtual_time
async def test_a_watch_that_goes_back_is_not_trusted(event: WatchEvent[Service]) -> None:
    async with following(added("a", 1), more=[[*initially(99, added("b", 99)), 600.0]]) as (cache, queue):
        await settled(queue, event)
        await asyncio.sleep(5)
        assert versions(cache) == {"b": "99"}


@virtual_time
async def test_a_deletion_that_the_watch_never_tells_of_is_looked_at_again_after_minutes() -> None:
    again: list[Step] = [*initially(100, added("a", 1)), 600.0]
    async with following(added("a", 1), more=[again]) as (cache, queue):
        cache.deleted("shop", "a", "uid-a")
        await asyncio.sleep(130)
        await settled(queue, bookmark(100))
        await asyncio.sleep(5)
        assert versions(cache) == {"a": "1"}
