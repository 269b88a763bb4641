"""Which addresses are the cluster's own, as it says itself: of pods and nodes by its Nodes, of Services by its
ServiceCIDRs (Kubernetes 1.33 and later).

They are read so that nobody publishes them (``address_policy``), and what cannot be read never stops a run: it is said
once what is not denied therefore.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from extsync.address_policy import ClusterRanges
from extsync.errors import FORBIDDEN_CURE, Forbidden, NotFound, StoreError
from extsync.kube.store import Store
from extsync.objects import K, KubeObject, Node, ServiceCIDR
from extsync.seams import Clock
from extsync.sources.base import Watched, Watcher

log = logging.getLogger(__name__)

FIRST_ANSWER: Final = 10.0
"""Seconds for which nothing is published while the ranges are not known yet."""

ASK_AGAIN: Final = 300.0
"""Seconds after which it is asked again for what was forbidden, or is not there."""

RETRY: Final = 5.0
"""Seconds after which it is asked again where the API server gave no answer."""

GATHER: Final = 5.0
"""Seconds in which changes of nodes are gathered, since each new range lets every service be looked at."""

TIMEOUT: Final = 5.0
"""Seconds that one question may take."""

LARGEST: Final = {4: 8, 6: 20}
"""The shortest prefix that is believed, by the version of IP: whoever may write Nodes must not deny everything."""

_NETWORK: Final = "kubernetes"
"""The name of the ServiceCIDR that every cluster has, and of a node that need not be there."""

_ADDRESSES: Final = ("InternalIP", "ExternalIP")


class ReadRanges:
    """Keeps ``ranges`` in step with the cluster; ``on_change`` is called when they have changed."""

    def __init__(self, store: Store, watcher: Watcher, *, clock: Clock, on_change: Callable[[], None]) -> None:
        self._store = store
        self._watcher = watcher
        self._clock = clock
        self._on_change = on_change
        self._of_nodes = ClusterRanges()
        self._of_services = ClusterRanges()
        self._unknown = {Node.PLURAL, ServiceCIDR.PLURAL}
        self._known = asyncio.Event()
        self.ranges = ClusterRanges()

    async def settled(self) -> None:
        """Waits until each range is known, or known not to be readable; at most ``FIRST_ANSWER`` seconds."""
        try:
            async with self._clock.timeout(FIRST_ANSWER):
                await self._known.wait()
        except TimeoutError:
            log.warning("what addresses the cluster has is not known yet: until it is, they are not denied")

    async def run(self) -> None:
        """Reads until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(Node, self._take_nodes))
            tasks.create_task(self._follow(ServiceCIDR, self._take_services))

    async def _follow(self, kind: type[K], take: Callable[[Sequence[K]], None]) -> None:
        await self._readable(kind)
        changed = asyncio.Event()
        async with self._watcher.watch(kind, namespace=None, on_change=changed.set) as watched:
            while True:
                changed.clear()
                self._look(kind, watched, take)
                await changed.wait()
                if kind.PLURAL not in self._unknown:
                    await self._clock.sleep(GATHER)

    def _look(self, kind: type[K], watched: Watched[K], take: Callable[[Sequence[K]], None]) -> None:
        if not watched.is_synced:
            return
        take(watched.all())
        self._settle(kind)
        ranges = self._of_nodes.joined(self._of_services)
        if ranges != self.ranges:
            self.ranges = ranges
            self._on_change()

    async def _readable(self, kind: type[K]) -> None:
        """Returns once the server lets ``kind`` be read: a watch would ask again and again for what is forbidden."""
        is_said = False
        while True:
            try:
                await self._store.get(kind, "", _NETWORK, timeout=TIMEOUT)
            except NotFound:
                if kind is Node:  # there need not be a node of that name, and every server knows nodes
                    return
                self._settle(kind)
                await self._clock.sleep(ASK_AGAIN)
            except Forbidden as error:
                if not is_said:
                    is_said = True
                    log.warning("%s", unreadable(kind, error))
                self._settle(kind)
                await self._clock.sleep(ASK_AGAIN)
            except StoreError:  # of which the caches of the run tell
                await self._clock.sleep(RETRY)
            else:
                return

    def _settle(self, kind: type[K]) -> None:
        self._unknown.discard(kind.PLURAL)
        if not self._unknown:
            self._known.set()

    def _take_nodes(self, nodes: Sequence[Node]) -> None:
        self._of_nodes = of_nodes(nodes)

    def _take_services(self, networks: Sequence[ServiceCIDR]) -> None:
        self._of_services = of_services(networks)


async def read_ranges(store: Store, warn: Callable[[str], None]) -> ClusterRanges:
    """The ranges as they are now; ``warn`` is told of what cannot be read, and of what is not denied therefore."""
    nodes = await _listed(store, Node, warn)
    return of_nodes(nodes).joined(of_services(await _listed(store, ServiceCIDR, warn)))


async def _listed(store: Store, kind: type[K], warn: Callable[[str], None]) -> Sequence[K]:
    try:
        return (await store.list(kind, timeout=TIMEOUT)).items
    except NotFound:  # an older server
        return ()
    except StoreError as error:
        warn(unreadable(kind, error))
        return ()


def unreadable(kind: type[KubeObject], error: StoreError) -> str:
    """What follows where objects of ``kind`` cannot be read, and what helps."""
    what, settings = ("pods and nodes", "podCidrs and nodeCidrs") if kind is Node else ("Services", "serviceCidrs")
    cure = FORBIDDEN_CURE if isinstance(error, Forbidden) else ""
    return (
        f"addresses of {what} are not denied but for those that {settings} of the settings name: {error}{cure}; "
        "clusterRanges: Settings reads nothing"
    )


def of_nodes(nodes: Iterable[Node]) -> ClusterRanges:
    """The pod networks and the addresses of nodes. Hostnames and what is no address count for nothing."""
    pods: list[str] = []
    addresses: list[str] = []
    for node in nodes:
        pods += node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())
        addresses += [one.address for one in node.status.addresses or () if one.type in _ADDRESSES]
    return ClusterRanges(pods=_networks(pods), nodes=_networks(addresses))


def of_services(networks: Iterable[ServiceCIDR]) -> ClusterRanges:
    """The networks that cluster IPs are taken from."""
    return ClusterRanges(services=_networks(text for one in networks for text in one.spec.cidrs or ()))


def _networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Networks in order, each once: the same set is the same value, however the objects came."""
    return tuple(sorted(dict.fromkeys(_plausible(texts))))


def _plausible(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            continue
        if network.prefixlen >= LARGEST[network.version]:
            yield str(network)
