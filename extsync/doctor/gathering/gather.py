"""All facts that doctor needs, gathered at once as far as they do not need each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from extsync import __version__
from extsync.address_policy import AddressPolicy, ClusterRanges
from extsync.doctor.facts import ClusterFacts, Keeper, Kept, Running, Seen, ServiceFacts, Unread
from extsync.doctor.gathering.asking import OVER, Asking
from extsync.doctor.gathering.cluster import read_dns, read_nodes, read_proxy
from extsync.doctor.gathering.inside import look_inside
from extsync.doctor.gathering.reach import reach
from extsync.doctor.gathering.rights import read_account, read_rights
from extsync.doctor.gathering.services import (
    MOST_SERVICES,
    Space,
    find_services,
    is_renewed,
    read_keeper,
    read_service,
    read_space,
)
from extsync.engine.cluster_ranges import read_ranges
from extsync.errors import NotFound
from extsync.kube.enquiries import Enquiries, Rules, ServerVersion, User
from extsync.limits import Limits
from extsync.model import ServiceKey
from extsync.seams.reaching import Reacher

T = TypeVar("T")

RENEWAL: Final = 4.0
"""Seconds in which a Lease that is held is renewed: twice the default of retryPeriod."""

LOOK: Final = 0.5
"""Seconds between two looks at a Lease."""

AT_ONCE: Final = 5
"""Services that are looked at at a time."""


class Told(NamedTuple):
    """What a running extsync says of itself, and a way to ask it of a service."""

    running: Seen[Running | None]
    kept: Callable[[ServiceKey], Awaitable[Seen[Kept | None]]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at. ``key`` None: the Services that ``owner`` keeps in ``namespaces`` (none: in all).

    ``account`` is the namespace and name of extsync's ServiceAccount. ``from_pod`` is the pod to look from: None is
    none, "" any. ``reaches``: the endpoints are connected to from here.
    """

    key: ServiceKey | None
    namespaces: tuple[str, ...]
    owner: str
    limits: Limits
    reads_ranges: bool
    account: tuple[str, str]
    lease_namespace: str
    from_pod: str | None
    reaches: bool


class Gathered(NamedTuple):
    """All facts. ``omitted`` Services were not looked at."""

    cluster: ClusterFacts
    services: tuple[ServiceFacts, ...]
    omitted: int


class Gatherer:
    """Gathers; nothing is raised for what cannot be read."""

    def __init__(self, asking: Asking, enquiries: Enquiries, *, reacher: Reacher, told: Told, server: str) -> None:
        self._asking = asking
        self._enquiries = enquiries
        self._reacher = reacher
        self._told = told
        self._server = server

    async def gather(self, wanted: Wanted) -> Gathered:
        """The facts of the cluster and of the Services."""
        version = await self._version()
        cluster = await self._cluster(wanted, version)
        if cluster.unreachable:
            return Gathered(cluster, (), 0)
        keys = await self._keys(wanted)
        if isinstance(keys, Unread):
            return Gathered(msgspec.structs.replace(cluster, found=keys), (), 0)
        services = await self._services(keys[:MOST_SERVICES], wanted, cluster)
        return Gathered(msgspec.structs.replace(cluster, found=len(keys)), services, max(0, len(keys) - MOST_SERVICES))

    # ---- the cluster -------------------------------------------------------------------------------------------------

    async def _version(self) -> Seen[str]:
        try:
            answer: Seen[ServerVersion] = await self._asking.ask(self._enquiries.version)
        except NotFound as error:
            return Unread(str(error))
        return answer if isinstance(answer, Unread) else answer.git_version

    async def _cluster(self, wanted: Wanted, version: Seen[str]) -> ClusterFacts:
        unreachable = version.why if isinstance(version, Unread) and not version.forbidden else ""
        asking, enquiries = self._asking, self._enquiries
        if unreachable:
            asking = Asking(asking.store, clock=asking.clock, seconds=0.0)  # each question would wait for its time-out
        space = wanted.key.namespace if wanted.key else wanted.namespaces[0] if len(wanted.namespaces) == 1 else ""
        unknown: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            start = tasks.create_task
            nodes, proxy, dns = start(read_nodes(asking)), start(read_proxy(asking)), start(read_dns(asking))
            user = start(_review(asking, enquiries.whoami, User()))
            rights = start(read_rights(asking, enquiries, space))
            rules = start(_review(asking, enquiries.rules, Rules(), space or "default"))
            account = start(read_account(asking, enquiries, wanted.account, space=space, leases=wanted.lease_namespace))
            ranges = start(self._ranges(wanted, unknown, skip=bool(unreachable)))
        return ClusterFacts(
            now=asking.clock.wall(),
            owner=wanted.owner,
            client_version=__version__,
            server=self._server,
            unreachable=unreachable,
            policy=AddressPolicy(wanted.limits.rules, wanted.limits.ranges.joined(ranges.result())),
            unknown_ranges=tuple(unknown),
            version=version,
            nodes=nodes.result(),
            proxy=proxy.result(),
            dns=dns.result(),
            user=user.result(),
            rights=rights.result(),
            rules=rules.result(),
            account=account.result(),
            running=self._told.running,
        )

    async def _ranges(self, wanted: Wanted, unknown: list[str], *, skip: bool) -> ClusterRanges:
        if skip or not wanted.reads_ranges:
            return ClusterRanges()
        try:
            async with self._asking.clock.timeout(max(0.0, self._asking.left)):
                return await read_ranges(self._asking.store, unknown.append)
        except TimeoutError:
            unknown.append(OVER.why)
            return ClusterRanges()

    # ---- Services ----------------------------------------------------------------------------------------------------

    async def _keys(self, wanted: Wanted) -> Seen[tuple[ServiceKey, ...]]:
        if wanted.key is not None:
            return (wanted.key,)
        return await find_services(self._asking, wanted.owner, wanted.namespaces or (None,))

    async def _services(
        self, keys: Sequence[ServiceKey], wanted: Wanted, cluster: ClusterFacts
    ) -> tuple[ServiceFacts, ...]:
        spaces: dict[str, Space] = {}
        for namespace in dict.fromkeys(key.namespace for key in keys):
            spaces[namespace] = await read_space(self._asking, namespace)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: ServiceKey) -> ServiceFacts:
            async with gate:
                return await self._service(key, spaces[key.namespace], wanted, cluster)

        return await self._with_keepers(await asyncio.gather(*map(one, keys)))

    async def _service(self, key: ServiceKey, space: Space, wanted: Wanted, cluster: ClusterFacts) -> ServiceFacts:
        facts = await read_service(self._asking, key, space)
        keeper, kept = await asyncio.gather(read_keeper(self._asking, facts, wanted.owner), self._told.kept(key))
        facts = msgspec.structs.replace(facts, keeper=keeper, kept=kept)
        if wanted.reaches and self._asking.left > 0:
            attempts, untried = await reach(facts, cluster.policy, self._reacher, seconds=self._asking.left)
            facts = msgspec.structs.replace(facts, attempts=attempts, untried=untried)
        if wanted.from_pod is None:
            return facts
        inside = await look_inside(self._asking, self._enquiries, facts, cluster, wanted=wanted.from_pod)
        return msgspec.structs.replace(facts, inside=inside)

    async def _with_keepers(self, services: Sequence[ServiceFacts]) -> tuple[ServiceFacts, ...]:
        """Looks at each Lease again until it is renewed, for as long as a holder takes to do so."""
        keepers = {one.keeper.place: one.keeper for one in services if isinstance(one.keeper, Keeper)}
        renewed = dict.fromkeys(keepers, False)
        ends = self._asking.clock.monotonic() + min(RENEWAL, self._asking.left - 1.0)
        while not all(renewed.values()):
            for place in [place for place, known in renewed.items() if not known]:
                renewed[place] = await is_renewed(self._asking, keepers[place])
            if self._asking.clock.monotonic() >= ends:
                break
            await self._asking.clock.sleep(LOOK)
        return tuple(
            msgspec.structs.replace(one, keeper=msgspec.structs.replace(one.keeper, renewed=renewed[one.keeper.place]))
            if isinstance(one.keeper, Keeper)
            else one
            for one in services
        )


async def _review(asking: Asking, question: Callable[..., Awaitable[T]], otherwise: T, *arguments: str) -> Seen[T]:
    """The answer to a review, ``otherwise`` from an old server that does not know it."""
    try:
        return await asking.ask(question, *arguments)
    except NotFound:
        return otherwise
