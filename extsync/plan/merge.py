"""Merge: what all sources report becomes one list of candidates, each address and port once.

One bad backend is set aside with its reason and the others are served. A name that is only said of a backend, and
cannot be so, is left out with its reason, and the backend is served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from extsync.address_policy import Scope
from extsync.addresses import check_address
from extsync.config import names
from extsync.config.faults import shown
from extsync.model import Backend, Identity, PortSet, Rejected
from extsync.plan.ports import PortSets, PortSpec

HealthRule: TypeAlias = Literal["source", "probe", "both", "proven"]
"""Whose word on health counts; both: an endpoint is ready only if both say so.

proven: the probe's, but a failure counts only for an endpoint that it has seen healthy. That is for endpoints of which
no source has spoken yet, so that nobody knows whether they are probed in the right place.
"""


class Tier(NamedTuple):
    """The tier of a candidate: the priority of its source and the step within it, the lowest served first."""

    priority: int
    step: int = 0

    def __str__(self) -> str:
        return f"{self.priority}.{self.step}" if self.step else str(self.priority)


class SourceSet(msgspec.Struct, frozen=True):
    """What one source has: its last good set of backends, and how the manifest says to use it.

    ``of_pods``: its addresses are those that the cluster itself gives to pods, and not what anybody wrote,
    but for those that are ``Backend.is_made_up``.
    """

    name: str
    backends: tuple[Backend, ...]
    group: str = ""
    priority: int = 0
    port_name: str | None = None
    health: HealthRule = "both"
    of_pods: bool = False


class Admission(msgspec.Struct, frozen=True):
    """Which addresses may be published and which may be probed; see ``extsync.address_policy``.

    ``probes``: there are checks, and ``own_address``: one of them goes to the endpoint's own address unless its backend
    says where else.
    """

    published: Scope
    contacted: Scope
    probes: bool = False
    own_address: bool = False

    def denied(self, address: str, backend: Backend, source: SourceSet) -> str:
        """Why a backend may not be published, or not be probed where that is asked for; "" where it may."""
        if reason := self.published.denied(address, is_pod=source.of_pods and not backend.is_made_up):
            return reason
        override = backend.probe
        if not self.probes or source.health == "source" or (override is not None and not override.enabled):
            return ""
        host = override.host if override is not None and override.host is not None else ""
        if not host and not self.own_address:
            return ""
        reason = self.contacted.denied(host or address)
        return reason and f"it is not probed: {reason}"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A backend that may be published: its address and port set, and where it comes from."""

    identity: Identity
    backend: Backend
    source: str
    group: str
    tier: Tier
    health: HealthRule


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """A further report of an endpoint that an earlier source, or entry, already stands for: evidence, not published."""

    identity: Identity
    backend: Backend
    source: str
    first_source: str
    reason: str


class Merged(msgspec.Struct, frozen=True):
    """The result of a merge. ``tiers`` are those that have candidates, the first served first.

    ``unusable`` are the backends of each source that were set aside for what is wrong with them, and not since they are
    denied.
    """

    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[tuple[str, Rejected], ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    tiers: tuple[Tier, ...] = ()
    unusable: tuple[tuple[str, Backend], ...] = ()


def merge(
    ports: Sequence[PortSpec],
    sources: Sequence[SourceSet],
    *,
    families: Sequence[str] = (),
    admission: Admission | None = None,
) -> Merged:
    """Merges the sources in their order: of two reports of one address and port the first counts.

    ``ports`` are those of the Service, ``families`` its ipFamilies (empty: any address will do). Without ``admission``
    every address is allowed. Equal port sets in the result are the same object.
    """
    merging = _Merging(ports, families, admission)
    for source in sources:
        merging.add(source)
    return merging.result()


class _Merging:
    """A merge under way."""

    def __init__(self, ports: Sequence[PortSpec], families: Sequence[str], admission: Admission | None) -> None:
        self._ports = ports
        self._admission = admission
        self._wrong_family = _wrong_family(families)
        self._interned: dict[PortSet, PortSet] = {}
        self._candidates: list[Candidate] = []
        self._rejected: list[tuple[str, Rejected]] = []
        self._duplicates: list[Duplicate] = []
        self._unusable: list[tuple[str, Backend]] = []
        self._tiers: dict[Tier, None] = {}
        self._first: dict[str, Candidate] = {}
        self._further: dict[str, list[Candidate]] = {}

    def add(self, source: SourceSet) -> None:
        port_sets = PortSets(self._ports, source.port_name, self._interned)
        tiers: dict[int, Tier] = {}
        for backend in source.backends:
            try:
                address = _address(backend.address)
                if self._wrong_family and (":" in address) in self._wrong_family:
                    raise ValueError(self._wrong_family[":" in address].format(address))
                ports = port_sets.of(backend)
                _check_group(backend)
                _check_probe(backend, ports)
            except ValueError as error:
                self._rejected.append((source.name, Rejected(_entry(backend), str(error))))
                self._unusable.append((source.name, backend))
                continue
            if self._admission is not None and (denied := self._admission.denied(address, backend, source)):
                self._rejected.append((source.name, Rejected(_entry(backend), denied, denied=True)))
                continue
            backend = self._with_names_that_fit(backend, source.name)
            group = source.group if backend.group is None else backend.group
            identity = Identity(address, ports)
            tier = tiers.get(backend.step) or tiers.setdefault(backend.step, Tier(source.priority, backend.step))
            self._place(Candidate(identity, backend, source.name, group, tier, source.health))

    def _with_names_that_fit(self, backend: Backend, source: str) -> Backend:
        """The backend without those of its optional names that it cannot have: they are no reason to take it away."""
        if not (backend.hostname or backend.node_name or backend.zone):
            return backend
        unfit = _unfit_names(backend)
        for field, (label, why) in unfit.items():
            entry = f"{label} {shown(getattr(backend, field))} of {_entry(backend, with_name=False)}"
            self._rejected.append((source, Rejected(entry, f"it {why}; the backend is served without it")))
        return _without(backend, tuple(unfit)) if unfit else backend

    def _place(self, candidate: Candidate) -> None:
        address = candidate.identity.address
        first = self._first.setdefault(address, candidate)
        if first is not candidate:
            others = self._further.setdefault(address, [])
            for other in (first, *others):
                if _overlap(other.identity.ports, candidate.identity.ports):
                    self._set_aside(candidate, other)
                    return
            others.append(candidate)
        self._candidates.append(candidate)
        self._tiers[candidate.tier] = None

    def _set_aside(self, candidate: Candidate, other: Candidate) -> None:
        whose = "this source" if other.source == candidate.source else f"source {other.source}"
        reason = f"{other.identity} is published already, as {whose} reports it"
        self._duplicates.append(
            Duplicate(candidate.identity, candidate.backend, candidate.source, other.source, reason)
        )

    def result(self) -> Merged:
        return Merged(
            tuple(self._candidates),
            tuple(self._rejected),
            tuple(self._duplicates),
            tuple(sorted(self._tiers)),
            tuple(self._unusable),
        )


def _overlap(one: PortSet, other: PortSet) -> bool:
    """Whether both publish the same number under the same name: kube-proxy would take either's readiness, at random."""
    if one is other:
        return True
    pairs = {(port.name, port.port) for port in one}
    return any((port.name, port.port) in pairs for port in other)


def _wrong_family(families: Sequence[str]) -> dict[bool, str]:
    """The reasons why addresses of a family are set aside, by whether it is IPv6."""
    if not families:
        return {}
    has = " and ".join(families)
    reason = "{} is an %s address, and the Service's ipFamilies are " + has
    return {v6: reason % name for v6, name in ((False, "IPv4"), (True, "IPv6")) if name not in families}


# Sources check what they report, and most report the same again and again: the caches make the second look cheap.
_address = lru_cache(maxsize=16384)(check_address)
_label_value = lru_cache(maxsize=1024)(names.check_label_value)
_subdomain = lru_cache(maxsize=4096)(names.check_subdomain)

_NAMED: Final[tuple[tuple[str, str, Callable[[str], str]], ...]] = (
    ("hostname", "hostname", names.check_dns_label),
    ("node_name", "nodeName", _subdomain),
    ("zone", "zone", _label_value),
)
"""Optional names: the field, the same as people write it, and the rule for it."""


def _check_group(backend: Backend) -> None:
    """Raises ValueError for a group of which no label can be made: in another one its traffic may be another one's."""
    if backend.group:
        try:
            _label_value(backend.group)
        except ValueError as error:
            raise ValueError(f"group {backend.group!r} {error}") from None


def _unfit_names(backend: Backend) -> dict[str, tuple[str, str]]:
    """The names that the API refuses, or kube-proxy could not take, by field: as people write it, and what is wrong."""
    unfit = {}
    for field, label, rule in _NAMED:
        text = getattr(backend, field)
        if text:
            try:
                rule(text)
            except ValueError as error:
                unfit[field] = label, str(error)
    return unfit


@lru_cache(maxsize=4096)
def _without(backend: Backend, fields: tuple[str, ...]) -> Backend:
    """The same object for the same backend, as sources report it: what is made of it is known by it."""
    return msgspec.structs.replace(backend, **dict.fromkeys(fields))


def _check_probe(backend: Backend, ports: PortSet) -> None:
    """Raises ValueError where the backend asks to be probed at a port that there is not."""
    wanted = None if backend.probe is None else backend.probe.port
    if isinstance(wanted, str) and all(port.name != wanted for port in ports):
        known = ", ".join(port.name or "one without a name" for port in ports) or "none"
        raise ValueError(f"probe.port {wanted!r} is no port of the Service: it has {known}")


def _entry(backend: Backend, *, with_name: bool = True) -> str:
    port = "" if backend.port is None else f" port {backend.port}"
    name = f" ({backend.hostname})" if backend.hostname and with_name else ""
    return f"{backend.address}{port}{name}"
