"""The objects of one kind as the server has them, kept in step by list and watch, with our own writes at once.

The stream is three functions deep: ``run`` goes on for ever and spaces what fails; a continuous watch begins with all
objects and then strings watches together, each from where the last one ended; a single watch applies events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from contextlib import aclosing
from typing import Generic

from extsync.errors import Expired, Invalid, StoreError, Unavailable
from extsync.kube.contact import Contact
from extsync.kube.era import Era
from extsync.kube.indexed import Indexed, Key
from extsync.kube.own_writes import OwnWrites, is_older
from extsync.kube.store import Store, WatchEvent, WatchType
from extsync.kube.trouble import Trouble
from extsync.objects import K
from extsync.seams import Clock, Random

logger = logging.getLogger(__name__)

WATCH_SECONDS = (300.0, 600.0)
"""The range from which the duration of each watch is drawn, as client-go does it."""
SHORT_WATCH = 1.0
"""Seconds; a watch that ends sooner counts as a failure, so that it is not repeated in haste."""


class _Doubt(Exception):
    """What the cache has may differ from the server's state in a way that no event will mend: list again."""


class Cache(Generic[K]):
    """All objects of ``kind`` in ``namespace`` (None: in all) that match ``label_selector``.

    ``keep`` reduces an object to what is needed of it (uid, resourceVersion and what is indexed stay), or drops it by
    returning None. ``index`` names the groups in which ``by_index`` finds an object. ``on_change(old, new)`` is called
    after each change, with None for what is not there; its errors are logged and change nothing here. ``on_state()`` is
    called after each change of ``is_synced`` and ``error``, and must not raise. ``trouble`` tells of errors; without
    it, ``on_state`` has to. Caches of one store share an ``era``.
    """

    def __init__(
        self,
        store: Store,
        kind: type[K],
        *,
        clock: Clock,
        random: Random,
        namespace: str | None = None,
        label_selector: str = "",
        keep: Callable[[K], K | None] = lambda obj: obj,
        index: Callable[[K], Iterable[Hashable]] = lambda obj: (),
        on_change: Callable[[K | None, K | None], object] = lambda old, new: None,
        on_state: Callable[[], object] = lambda: None,
        trouble: Trouble | None = None,
        era: Era | None = None,
    ) -> None:
        self._store = store
        self._kind = kind
        self._clock = clock
        self._random = random
        self._namespace = namespace
        self._label_selector = label_selector
        self._keep = keep
        self._on_change = on_change
        self._on_state = on_state
        self._objects = Indexed(index)
        self._own = OwnWrites(clock=clock)
        self._version: str | None = None
        self._reached: str | None = None
        """The version that the cache was at last, also while none can be gone on from."""
        self._era = era or Era()
        self._read_in = self._reached_in = self._era.number
        self._contact = Contact(self, clock=clock, random=random, trouble=trouble, on_change=on_state)
        self._synced = asyncio.Event()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def get(self, namespace: str, name: str) -> K | None:
        """The object of that name, if there is one."""
        return self._objects.get((namespace, name))

    def all(self) -> tuple[K, ...]:
        """Every object, by namespace and name."""
        return self._objects.all()

    def by_index(self, group: Hashable) -> tuple[K, ...]:
        """The objects of which ``index`` names ``group``, by namespace and name."""
        return self._objects.group(group)

    @property
    def is_synced(self) -> bool:
        """Whether all objects have been read at least once."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Waits until all objects have been read at least once."""
        await self._synced.wait()

    def age(self) -> float | None:
        """Seconds since the server was last heard from, at most about a minute while all is well; None: never yet."""
        return self._contact.age()

    @property
    def error(self) -> StoreError | None:
        """Why the cache is not in step now; None where it is."""
        return self._contact.error

    # ---- our own writes ---------------------------------------------------------------------------------------------

    def written(self, obj: K) -> None:
        """Takes in what a create, an update or a get of this process returned; older events on it pass it by.

        Only objects that the cache would see itself are to be given: of its kind and with the labels that it selects.
        """
        if self._namespace not in (None, obj.metadata.namespace):
            return
        if self._passed(obj.metadata.resource_version) or self._own.is_stale(obj):
            return  # the watch, or a later write, was faster and knows more
        self._own.written(obj)
        self._put(obj)

    def deleted(self, namespace: str, name: str, uid: str) -> None:
        """Takes out an object whose delete by this process succeeded."""
        obj = self._objects.get((namespace, name))
        if obj is not None and obj.metadata.uid == uid:
            self._own.deleted(obj)
            self._drop(obj)

    # ---- the stream -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keeps the cache in step until it is cancelled."""
        while True:
            try:
                await self._watch_continuously()
            except (Expired, _Doubt) as error:
                self._version = None
                logger.info("%s: reading all of them again: %s", self._kind.PLURAL, error)
                await self._clock.sleep(self._contact.pause())
            except StoreError as error:
                pause = self._contact.failed(error)
                if self._contact.was_away:
                    self._version = None
                logger.debug("%s; trying again in %.1f s", error, pause)
                await self._clock.sleep(pause)

    async def _watch_continuously(self) -> None:
        if self._version is None:
            try:
                await self._watch(None)
            except Invalid as refusal:
                logger.debug("no watch-list: %s", refusal)
                await self._list()
        while True:
            if self._own.lost(None):
                raise _Doubt("the watch did not tell of our own writes")
            await self._check_version()
            await self._watch(self._version)

    async def _check_version(self) -> None:
        """Raises _Doubt where the server has not come as far as the cache.

        A watch from a version in its future would stay silent until that is reached, and then have passed over all
        that is different.
        """
        self._check_era()
        version = await self._store.version(self._kind, namespace=self._namespace)
        if is_older(version, self._version):
            self._era.ended(self._read_in)
        self._check_era()

    def _check_era(self) -> None:
        if self._read_in != self._era.number:
            raise _Doubt("the server went back to older data, as after a restore from a backup")

    async def _list(self) -> None:
        began, self._read_in = self._clock.monotonic(), self._era.number
        listing = await self._store.list(self._kind, namespace=self._namespace, label_selector=self._label_selector)
        self._replace(listing.items, listing.resource_version, began)

    async def _watch(self, version: str | None) -> None:
        """One watch, which may begin with all objects; returns when the server ends it in good order."""
        initial: dict[Key, K] | None = {} if version is None else None
        began = self._clock.monotonic()
        if initial is not None:
            self._read_in = self._era.number
        events = self._store.watch(
            self._kind,
            resource_version=version,
            namespace=self._namespace,
            label_selector=self._label_selector,
            timeout=self._random.uniform(*WATCH_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                if initial is None:
                    self._apply(event)
                elif event.initial_end:
                    self._replace(initial.values(), event.resource_version, began)
                    initial = None
                else:
                    _collect(initial, event)
        if initial is not None:
            raise Unavailable(f"watch {self._kind.PLURAL}: it ended before all objects had come")
        if self._clock.monotonic() - began < SHORT_WATCH:
            raise Unavailable(f"watch {self._kind.PLURAL}: it ended at once")

    def _apply(self, event: WatchEvent[K]) -> None:
        self._contact.heard()
        self._check_era()
        if is_older(event.resource_version, self._version):
            raise _Doubt(f"the watch went back from version {self._version} to {event.resource_version}")
        obj = event.object
        if obj is None:
            if self._own.lost(event.resource_version):
                raise _Doubt("the watch passed over our own writes")
        elif event.type is WatchType.DELETED:
            if not self._own.is_stale(obj, deleted=True):
                self._drop(obj)
        elif not self._own.is_stale(obj):
            self._put(obj)
        self._version = self._reached = event.resource_version

    def _replace(self, objects: Iterable[K], version: str, began: float) -> None:
        """Takes over the full state of ``version``; what is not in it any more has been deleted.

        It is read consistently: it has all that was written before ``began``, the monotonic time of the request. So
        where its version is older than one that was there before, what is missing of our writes is lost.
        """
        self._contact.heard()
        went_back = is_older(version, self._reached)
        if went_back and self._reached_in == self._read_in:  # else others have noticed it before
            self._era.ended(self._read_in)
            self._read_in = self._era.number
        in_another_era = self._reached_in != self._read_in
        self._own.settle(version, lost_before=began if went_back else None)
        listed: dict[Key, K] = {}
        for obj in objects:
            listed[obj.key] = obj
            if not self._own.is_stale(obj):
                self._put(obj, in_another_era=in_another_era)
        self._own.settle_absent(listed, version)
        for key in self._objects.names():
            if key not in listed and not self._own.holds(key):
                self._take_out(key)
        self._version = self._reached = version
        self._reached_in = self._read_in
        if not self._synced.is_set():
            self._synced.set()
            self._on_state()

    def _passed(self, version: str | None) -> bool:
        """Whether the watch has told all that happened up to ``version``."""
        return self._version is not None and is_older(self._version, version) is False

    # ---- the objects ------------------------------------------------------------------------------------------------

    def _put(self, obj: K, *, in_another_era: bool = False) -> None:
        """Takes over ``obj``. In another era than before, its version may have been that of another state."""
        old = self._objects.get(obj.key)
        new = self._keep(obj)
        if new is None:
            self._take_out(obj.key)
        elif old is None or not _same_version(old, new) or (in_another_era and old != new):
            self._objects.put(new)
            self._tell(old, new)

    def _drop(self, obj: K) -> None:
        """Takes out ``obj``, but not a successor of its name."""
        old = self._objects.get(obj.key)
        if old is not None and old.metadata.uid == obj.metadata.uid:
            self._take_out(obj.key)

    def _take_out(self, key: Key) -> None:
        old = self._objects.get(key)
        if old is not None:
            self._objects.remove(key)
            self._tell(old, None)

    def _tell(self, old: K | None, new: K | None) -> None:
        try:
            self._on_change(old, new)
        except Exception:
            logger.exception("%s: a listener failed; the watch goes on", self._kind.PLURAL)


def _collect(initial: dict[Key, K], event: WatchEvent[K]) -> None:
    """Takes an event into the state that a watch-list is building up."""
    if event.object is None:
        # A server that does not know watch-lists takes the request for an ordinary watch.
        raise Invalid("a bookmark came before the end of the initial events")
    if event.type is WatchType.DELETED:
        initial.pop(event.object.key, None)
    else:
        initial[event.object.key] = event.object


def _same_version(old: K, new: K) -> bool:
    return (old.metadata.uid, old.metadata.resource_version) == (new.metadata.uid, new.metadata.resource_version)
