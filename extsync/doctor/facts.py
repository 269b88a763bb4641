"""Facts: all that checks know. What could not be read is ``Unread``, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import msgspec

from extsync.address_policy import AddressPolicy
from extsync.doctor.kinds import DaemonSet, Node, Pod
from extsync.kube.enquiries import Answered, Right, Rules, User
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, Lease, Service

T = TypeVar("T")


class Unread(msgspec.Struct, frozen=True):
    """Something that could not be read, and why; ``forbidden``: for want of a right."""

    why: str
    forbidden: bool = False


Seen: TypeAlias = T | Unread


class Attempt(msgspec.Struct, frozen=True):
    """A connection that was tried. ``failure`` is "" where it was made; ``answered``: a machine was there at least.

    ``skipped`` says why it was not tried, "" where it was.
    """

    address: str
    port: int
    failure: str = ""
    answered: bool = True
    skipped: str = ""


class Inside(msgspec.Struct, frozen=True):
    """What was tried in a pod: ``domain`` is the cluster's DNS domain as the pod has it, "" where it has none.

    ``resolved`` are the addresses of the Service's name; None where the container has no program to ask.
    ``through`` are connections to the Service itself, ``direct`` those to its endpoints; ``tool`` is what made them,
    "" where the container has nothing that could.
    """

    pod: str
    container: str
    tool: str
    domain: str
    resolved: tuple[str, ...] | None
    through: tuple[Attempt, ...]
    direct: tuple[Attempt, ...]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a running extsync says of the service."""

    ready: int
    not_ready: int
    draining: int
    leads: bool
    isolated: bool
    suppressed: str
    stale_sources: tuple[str, ...]
    set_aside: tuple[str, ...]
    notices: tuple[str, ...]


class ServiceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One Service and what belongs to it.

    ``slices`` carry its name as their label; ``strays`` seem to be meant for it and do not. ``pods`` are those that its
    selector matches, None where it has none. ``kept`` is None where the running extsync does not keep it.
    """

    key: ServiceKey
    service: Seen[Service | None]
    endpoints: Seen[Endpoints | None] = None
    slices: Seen[tuple[EndpointSlice, ...]] = ()
    strays: tuple[EndpointSlice, ...] = ()
    pods: Seen[tuple[Pod, ...] | None] = None
    attempts: tuple[Attempt, ...] = ()
    untried: int = 0
    inside: Seen[Inside | None] = None
    kept: Seen[Kept | None] = None
    keeper: Seen[Keeper | None] = None


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a service's objects last, and the leader's Lease there.

    ``lease`` is how that was (None: there is none), and ``renewed`` whether it was renewed while doctor ran.
    """

    place: str
    wrote: str
    lease: Lease | None
    renewed: bool


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A running extsync as its status API tells of it."""

    place: str
    version: str
    owner: str
    synced: bool
    isolated: str
    queued: int
    queue_age: float
    cache_age: float | None
    leads: bool
    holders: tuple[str, ...]


class ProxyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """kube-proxy: its DaemonSet (None: there is none), and its configuration by key; None: none was found."""

    daemon: Seen[DaemonSet | None]
    configuration: Seen[Mapping[str, object] | None]


class DnsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster's DNS: its Service, how many ready endpoints that has, and its domain, "" where not known."""

    service: Seen[str]
    ready: int
    domain: str


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The ServiceAccount of extsync: whether there is one, and what it may do."""

    namespace: str
    name: str
    exists: Seen[bool]
    rights: tuple[tuple[Right, Seen[Answered]], ...] = ()


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What concerns no single Service.

    ``now`` is the wall clock's time. ``unreachable`` says why the API server cannot be asked, "" where it can.
    ``policy`` says which addresses are denied, ``unknown_ranges`` what of the cluster's own could not be read for it.
    ``found`` is how many Services there are to look at.
    """

    now: float
    owner: str
    client_version: str
    server: str
    unreachable: str = ""
    policy: AddressPolicy
    unknown_ranges: tuple[str, ...] = ()
    version: Seen[str]
    nodes: Seen[tuple[Node, ...]] = ()
    proxy: ProxyFacts
    dns: DnsFacts
    user: Seen[User]
    rights: tuple[tuple[Right, Seen[Answered]], ...] = ()
    rules: Seen[Rules] = Rules()
    account: AccountFacts
    running: Seen[Running | None] = None
    found: Seen[int] = 0
