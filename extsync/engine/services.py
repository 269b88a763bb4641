"""The services that a run keeps: what manifests bring and take away, and why one of them is not taken up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial

from extsync.config.loader import Loaded, LoadResult
from extsync.config.problems import Problem
from extsync.engine.desired import Step
from extsync.engine.followers import Followers
from extsync.engine.journal import Journal, Topic
from extsync.engine.kept import Kept
from extsync.engine.options import Options
from extsync.engine.prepare import prepare
from extsync.engine.service import ServiceState
from extsync.engine.sources import RunningSources
from extsync.engine.world import World
from extsync.errors import ConfigError
from extsync.model import Observation, ServiceKey

log = logging.getLogger(__name__)


class Services:
    """The services that are kept. ``changed(key)`` is called where one has to be looked at.

    ``covers`` tells whether anything is known of a namespace.
    """

    def __init__(
        self,
        world: World,
        options: Options,
        *,
        covers: Callable[[str], bool],
        changed: Callable[[ServiceKey], None],
    ) -> None:
        self._world = world
        self._options = options
        self._covers = covers
        self._changed = changed
        self.followers = Followers()
        """Who is told of which services there may be something new."""
        self._kept: dict[ServiceKey, Kept] = {}
        self._refused: dict[ServiceKey, Loaded] = {}
        self._problems: frozenset[Problem] = frozenset()
        self._said: dict[ServiceKey, str] = {}
        self._tasks: asyncio.TaskGroup

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """The sources of the services run in ``tasks``; to be called before anything is taken."""
        self._tasks = tasks

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[ServiceKey]:
        return iter(self._kept)

    def __contains__(self, key: ServiceKey) -> bool:
        return key in self._kept

    def get(self, key: ServiceKey) -> Kept | None:
        """One service; None where it is not kept."""
        return self._kept.get(key)

    def items(self) -> list[tuple[ServiceKey, Kept]]:
        """All of them, in the order in which they came."""
        return list(self._kept.items())

    def spares(self, key: ServiceKey) -> bool:
        """Whether the sweep leaves a service alone: a manifest names it, or none was allowed to."""
        elsewhere = self._options.only_in not in (None, key.namespace)
        return elsewhere or key in self._kept or key in self._refused

    def take(self, step: Step, result: LoadResult) -> None:
        """Takes up what a load of the manifests changed."""
        known, self._problems = self._problems, frozenset(result.problems)
        for problem in (problem for problem in result.problems if problem not in known):
            log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
        self._refused.update({loaded.manifest.key: loaded for loaded in step.changed})
        for key in step.removed:
            self._refused.pop(key, None)
            self._take_down(key)
        for loaded in list(self._refused.values()):  # also those from before: a certificate may be mounted late
            if self._take_up(loaded):
                del self._refused[loaded.manifest.key]

    def forget(self, kept: Kept) -> bool:
        """Keeps a service that was taken down no longer; False where a manifest has brought it back meanwhile."""
        key = kept.state.key
        if self._kept.get(key) is not kept:
            return False
        del self._kept[key]
        return True

    def _take_up(self, loaded: Loaded) -> bool:
        """Keeps the service of ``loaded`` from now on as it says; False where that cannot be, for now."""
        key = loaded.manifest.key
        if not self._covers(key.namespace):
            self._say(key, "its namespace is not among the settings' namespaces, so nothing can be done for it")
            return False
        try:
            prepared = prepare(loaded.manifest, loaded.base_dir, owner=self._options.owner, limits=self._options.limits)
        except ConfigError as error:
            self._say(key, f"{error}; what was in force goes on")
            return False
        except Exception:  # of a plugin: it must not take the other services down with it
            log.exception("%s: its manifest cannot be taken up", key)
            return False
        self._said.pop(key, None)
        kept = self._kept.get(key)
        if kept is None or kept.leaving:
            sources = RunningSources(self._world, self._tasks, observe=partial(self._observe, key))
            kept = self._kept[key] = Kept(ServiceState(prepared), sources, Journal(self._world.clock))
            kept.say(Topic.MANIFEST, f"kept from now on, as {loaded.file} says")
        else:
            kept.state.take(prepared)
            kept.say(Topic.MANIFEST, f"its manifest changed in {loaded.file}")
        kept.sources.follow(prepared)
        self._changed(key)
        return True

    def _take_down(self, key: ServiceKey) -> None:
        if kept := self._kept.get(key):
            kept.say(Topic.MANIFEST, "no manifest names it any more: what extsync made for it is removed")
            kept.leaving = True
            kept.sources.stop()
            self._changed(key)

    def _say(self, key: ServiceKey, text: str) -> None:
        """Logs an error of a manifest, once as long as it stays the same."""
        if self._said.get(key) != text:
            self._said[key] = text
            log.error("%s: %s", key, text)

    def _observe(self, key: ServiceKey, source: str, observation: Observation) -> None:
        if kept := self._kept.get(key):
            kept.reports[source, observation.outcome] += 1
            if kept.state.observe(source, observation, self._world.clock.monotonic()):
                self._changed(key)
            self.followers.tell(key)
