"""The ``pods`` source: watches pods, and the nodes that they run on for their zones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import chain
from typing import Final, Protocol

from extsync.errors import Forbidden, ReadFailed, StoreError, cure
from extsync.model import Observation, Outcome
from extsync.objects import ZONE_LABEL, Node, Pod
from extsync.seams import Clock
from extsync.sources.base import Emit, SourceContext, Watched, Watcher
from extsync.sources.pods.backends import Roster
from extsync.sources.pods.selector import Selector, selector_text

COALESCE: Final = 0.1
"""Seconds from a change to the look at it, so that a burst of changes, as in a rollout, costs one look."""

FIRST_ANSWER: Final = 8.0
"""Seconds that the first answer may take, on pods and on nodes, before that is reported or done without; shorter than
the time that a command which runs once has for each source."""

OUT_OF_STEP: Final = 120.0
"""Seconds for which pods that have been read may be out of step before that is reported: a watch goes on by itself
after an interruption, and whether it does is known at the server's next bookmark, a minute later."""

REPEAT: Final = 60.0
"""Seconds between two reports of the same, so that the age of what is known does not seem to grow."""

NO_CLUSTER: Final = "pods are in a cluster, and this command has none to look into"


class PodsConfig(Protocol):
    """The validated ``pods`` block of a manifest."""

    @property
    def selector(self) -> Selector: ...


class PodsSource:
    """Reports the addresses of the pods of the manifest's namespace that a label selector selects."""

    def __init__(self, config: PodsConfig, context: SourceContext) -> None:
        self._selector = selector_text(config.selector)
        self._namespace = context.namespace
        self._what = f"pods{self._selector and f' {self._selector}'} in namespace {self._namespace!r}"
        self._watcher = context.watcher
        self._clock = context.clock

    async def run(self, emit: Emit) -> None:
        if self._watcher is None:
            emit(Observation(Outcome.ERROR, detail=NO_CLUSTER))
            await asyncio.Event().wait()
        else:
            await self._watch(self._watcher, emit)

    async def _watch(self, watcher: Watcher, emit: Emit) -> None:
        changed = asyncio.Event()
        wanted = watcher.watch(Pod, namespace=self._namespace, label_selector=self._selector, on_change=changed.set)
        async with wanted as pods, watcher.watch(Node, namespace=None, on_change=changed.set) as nodes:
            await self._report(emit, _Looks(pods, nodes, self._clock, self._what), changed)

    async def _report(self, emit: Emit, looks: _Looks, changed: asyncio.Event) -> None:
        reported = Observation(Outcome.ERROR)
        while True:
            changed.clear()
            observation, seconds = looks.look()
            if observation is not None:
                if observation != reported:
                    reported = observation
                emit(reported)
            try:
                async with self._clock.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(COALESCE)


class _Looks:
    """What the two watches of one run show, and since when the one on pods has been out of step."""

    def __init__(self, pods: Watched[Pod], nodes: Watched[Node], clock: Clock, what: str) -> None:
        self._pods = pods
        self._nodes = nodes
        self._clock = clock
        self._what = what
        self._roster = Roster()
        self._began = clock.monotonic()
        self._out_of_step_since: float | None = self._began
        self._answered = False

    def look(self) -> tuple[Observation | None, float]:
        """What there is to report, None: nothing yet; and after how many seconds to look again at the latest.

        Raises ReadFailed where the watch on pods is dead.
        """
        error = self._pods.error
        if error is not None and not isinstance(error, StoreError):
            raise ReadFailed(f"the watch on {self._what} failed: {error!r}") from error
        if self._pods.is_synced and error is None:
            return self._in_step()
        return self._out_of_step(error)

    def _in_step(self) -> tuple[Observation | None, float]:
        self._out_of_step_since = None
        if not self._nodes.is_synced and not isinstance(self._nodes.error, Forbidden):
            left = self._began + FIRST_ANSWER - self._clock.monotonic()
            if left > 0:  # a report without zones would take away those that are published
                return None, left
        self._answered = True
        return self._observation(), REPEAT

    def _out_of_step(self, error: StoreError | None) -> tuple[Observation | None, float]:
        now = self._clock.monotonic()
        if self._out_of_step_since is None:
            self._out_of_step_since = now
        patience = OUT_OF_STEP if self._answered else 0.0 if isinstance(error, Forbidden) else FIRST_ANSWER
        left = self._out_of_step_since + patience - now
        if left > 0:
            return None, left
        why = f"no answer within {FIRST_ANSWER:g} s" if error is None else _told(error)
        return Observation(Outcome.ERROR, detail=f"{self._what} cannot be read: {why}"), REPEAT

    def _observation(self) -> Observation:
        pods = self._pods.all()
        zones = {node.metadata.name: node.labels.get(ZONE_LABEL) for node in self._nodes.all()}
        entries = self._roster.entries(pods, zones)
        backends = tuple(chain.from_iterable(entry.backends for entry in entries))
        rejected = tuple(chain.from_iterable(entry.rejected for entry in entries))
        if not backends and not rejected:
            return Observation(Outcome.EMPTY, detail=self._none(len(pods)))
        return Observation(Outcome.FOUND, backends, rejected, detail=self._zoneless(pods, zones))

    def _none(self, selected: int) -> str:
        if not selected:
            return f"there are no {self._what}"
        return f"none of the {selected} {self._what} has an address and still runs"

    def _zoneless(self, pods: tuple[Pod, ...], zones: Mapping[str, str | None]) -> str:
        """Why pods have no zone, where that is not because their nodes have none."""
        if not self._nodes.is_synced:
            error = self._nodes.error
            return "nodes cannot be read, so no pod has a zone: " + (_told(error) if error else "no answer yet")
        homeless = sum(pod.spec.node_name not in zones for pod in pods if pod.spec.node_name)
        return f"{homeless} of {len(pods)} pods have no zone: their nodes are not known" if homeless else ""


def _told(error: Exception) -> str:
    return f"{error}{cure(error)}"
