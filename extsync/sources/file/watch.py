"""Changes in directories, told by the kernel: one inotify descriptor for all the file sources of an event loop.

Directories are watched, never files: a program that replaces a file by renaming another over it, and a ConfigMap
mount, which swaps the symlink ``..data``, put a new file in the place of the one that a watch would be bound to.
Events say only *look again*; what has changed is found by reading. In-place writes are told when the writer closes
the file, since before that there is nothing whole to read.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from inotify_simple import INotify

# The bits of inotify(7).
_ATTRIB: Final = 0x4
_CLOSE_WRITE: Final = 0x8
_MOVED: Final = 0x40 | 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x0100_0000

_WATCHED: Final = _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_LOST: Final = _IGNORED | _MOVE_SELF
"""After these the watch no longer stands for the path that it was asked for."""


class Watch:
    """One subscription to one directory; ``alive`` until the directory is deleted, moved away or unmounted."""

    def __init__(self, owner: DirectoryWatcher, descriptor: int, changed: Callable[[], None]) -> None:
        self.alive = True
        self.changed = changed
        self._owner = owner
        self._descriptor = descriptor

    def close(self) -> None:
        """Ends the subscription; a second call does nothing."""
        if self.alive:
            self.alive = False
            self._owner.forget(self._descriptor, self)


class Watcher(Protocol):
    """What a file source needs of a ``DirectoryWatcher``."""

    def watch(self, directory: Path, changed: Callable[[], None]) -> Watch: ...


class DirectoryWatcher:
    """Watches directories from one event loop; the descriptor is open while there is a subscription.

    All methods are called from that loop.
    """

    def __init__(self) -> None:
        self._inotify: INotify | None = None
        # A kernel watch stands for an inode: all paths that lead to one directory share it.
        self._watches: dict[int, list[Watch]] = {}

    @classmethod
    def shared(cls) -> DirectoryWatcher:
        """The watcher of the running event loop."""
        loop = asyncio.get_running_loop()
        return _shared.setdefault(loop, cls())

    def watch(self, directory: Path, changed: Callable[[], None]) -> Watch:
        """Calls ``changed`` after whatever happens in ``directory``, and when the watch is lost.

        Raises OSError where the directory cannot be watched: it is missing, the limits of inotify
        (``fs.inotify.max_user_watches``, ``max_user_instances``) are reached, or the system has no inotify.
        """
        inotify = self._inotify or self._open()
        try:
            descriptor = inotify.add_watch(directory, _WATCHED)
        except OSError:
            self._close_if_idle()
            raise
        watch = Watch(self, descriptor, changed)
        self._watches.setdefault(descriptor, []).append(watch)
        return watch

    def forget(self, descriptor: int, watch: Watch) -> None:
        """Takes ``watch`` out; for ``Watch.close``."""
        watches = self._watches[descriptor]
        watches.remove(watch)
        if not watches:
            del self._watches[descriptor]
            self._remove(descriptor)
        self._close_if_idle()

    def _open(self) -> INotify:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "this system has no inotify")
        from inotify_simple import INotify

        self._inotify = INotify(nonblocking=True)
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)
        return self._inotify

    def _close_if_idle(self) -> None:
        if self._inotify is not None and not self._watches:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def _remove(self, descriptor: int) -> None:
        assert self._inotify is not None, "a subscription keeps the descriptor open"
        try:
            self._inotify.rm_watch(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it went with its directory, and the event is still on its way
                raise

    def _read(self) -> None:
        assert self._inotify is not None, "the reader goes with the descriptor"
        touched: dict[int, int] = {}
        for event in self._inotify.read(timeout=0):
            touched[event.wd] = touched.get(event.wd, 0) | event.mask
        self._tell(touched)

    def _tell(self, touched: dict[int, int]) -> None:
        """Tells each subscriber once, whatever the number of events. ``touched`` is event bits by watch descriptor."""
        # Events were dropped: something may have happened anywhere.
        overflow = any(mask & _Q_OVERFLOW for mask in touched.values())
        descriptors = list(self._watches if overflow else touched)
        told = [watch for descriptor in descriptors for watch in self._watches.get(descriptor, ())]
        for descriptor, mask in touched.items():
            if mask & _LOST:
                self._lose(descriptor, gone=bool(mask & _IGNORED))
        self._close_if_idle()
        for watch in told:
            watch.changed()

    def _lose(self, descriptor: int, *, gone: bool) -> None:
        watches = self._watches.pop(descriptor, None)
        if watches is None:
            return
        for watch in watches:
            watch.alive = False
        if not gone:
            self._remove(descriptor)


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, DirectoryWatcher] = WeakKeyDictionary()
