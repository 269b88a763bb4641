"""The words of extsync as types: what sources report, what probes conclude and what is published. No I/O.

Everything here is an immutable value. A reason is always carried beside the value it explains, because
``extsync explain`` prints it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

import msgspec


class ServiceKey(NamedTuple):
    """Namespace and name of a Service; one ExternalService keeps one Service."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


MOST_TOLD: Final = 5
"""Parts of a source whose details are told one by one."""


class Outcome(enum.Enum):
    """How a source's read ended. Only FOUND, and EMPTY and GONE after their hold, may shrink a set of backends."""

    FOUND = "Found"
    EMPTY = "Empty"
    GONE = "Gone"
    ERROR = "Error"
    SUSPECT = "Suspect"


class TargetRef(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The object that an endpoint stands for, as in Kubernetes's ObjectReference."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class ProbeOverride(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where and whether one backend is probed, instead of at its published address and port.

    ``port`` is a number or the name of a port of the manifest.
    """

    enabled: bool = True
    host: str | None = None
    port: int | str | None = None


class Backend(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """One machine as a source reports it.

    ``address`` is a canonical IP address. ``port`` is a discovered port number that belongs to the source's
    ``portName``; ``ports`` are (port name, number) pairs and win over it; ports named in neither take the manifest's
    targetPort. ``ready`` is the source's own word on health, ``drain`` asks to finish connections and take no new ones.
    ``labels`` are (name, value) pairs of metadata, sorted by name.

    ``step`` parts the backends of one source into tiers of their own: 0 is served first, a higher one only where those
    below it do not suffice (the rank of an SRV record's priority). ``is_made_up``: the address is not the one that the
    source reported, a rule of ``relabel`` made it.
    """

    address: str
    port: int | None = None
    ports: tuple[tuple[str, int], ...] = ()
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    group: str | None = None
    drain: bool = False
    ready: bool = True
    target_ref: TargetRef | None = None
    probe: ProbeOverride | None = None
    labels: tuple[tuple[str, str], ...] = ()
    step: int = 0
    is_made_up: bool = False


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """One entry that was set aside (quarantined), and why; the others are served.

    ``entry`` is a short text that a person recognises the entry by. ``denied``: it could be served, and the settings of
    the process do not allow it.
    """

    entry: str
    reason: str
    denied: bool = False


class Observation(msgspec.Struct, frozen=True):
    """One full report of a source.

    ``backends`` counts only with FOUND. ``detail`` says in words what happened (always set with ERROR and SUSPECT).
    ``refresh`` is set by sources whose answers rotate, so that one answer may lack what the next one has: the seconds
    until the next read at most. Two of them are then the default of ``hold.obsolete``.

    A source that asks several independent questions (names, services, address families) answers with ``parts`` instead,
    made by ``several``: each question by its name, with an observation of its own that has no parts. All of them are in
    every report, and each is held to its own outcome, so that the failure of one keeps back nothing of the others.

    Some answers have no backends and name further questions instead (the targets of SRV records). Those are parts of
    the same report, and ``named_by`` is the name of the part that named them. It is FOUND while it names any, it alone
    says which there are, and a report in which it is something else has none of them.
    """

    outcome: Outcome
    backends: tuple[Backend, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    detail: str = ""
    refresh: float = 0.0
    parts: tuple[tuple[str, Observation], ...] = ()
    named_by: str = ""


SEVERITY: Final = (Outcome.ERROR, Outcome.SUSPECT, Outcome.FOUND, Outcome.GONE, Outcome.EMPTY)
"""Of several outcomes the first in this order is what is said of all together."""


def several(parts: Iterable[tuple[str, Observation]]) -> Observation:
    """One report of several questions; its outcome is the one of its parts that matters most (``SEVERITY``).

    That other parts were named is no find by itself: of these only what became of them counts.
    """
    answers = tuple(parts)
    namers = {answer.named_by for _, answer in answers}
    outcomes = (one.outcome for name, one in answers if one.outcome is not Outcome.FOUND or name not in namers)
    outcome = min(outcomes, key=SEVERITY.index, default=Outcome.EMPTY)
    told = [f"{name}: {answer.detail}" for name, answer in answers if answer.outcome is outcome and answer.detail]
    more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return Observation(outcome, detail="; ".join(told[:MOST_TOLD]) + more, parts=answers)


class PortValue(msgspec.Struct, frozen=True, gc=False):
    """One port of a port set as it is published; ``name`` is "" for the only, unnamed port."""

    name: str
    port: int
    protocol: str = "TCP"
    app_protocol: str | None = None


PortSet: TypeAlias = tuple[PortValue, ...]
"""A port set: the ports of one endpoint in the order of the Service's ports."""


class Identity(NamedTuple):
    """What makes two reports the same endpoint of a service: the address and the port numbers behind each name."""

    address: str
    ports: PortSet

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host + "".join(f":{port.port}" for port in self.ports[:1])


class Health(enum.Enum):
    """A verdict on one endpoint after thresholds."""

    UNKNOWN = "Unknown"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What probing concludes on one endpoint: the health, since when (wall-clock seconds) and why in words.

    ``doubted``: its probes fail as ``reason`` says, and that is not believed; ``health`` is what was known before.
    ``stale``: no probe has confirmed it for long, which changes nothing but what people are told. ``note`` is what they
    should know although the probes pass.
    """

    health: Health
    since: float = 0.0
    reason: str = ""
    doubted: bool = False
    stale: bool = False
    note: str = ""


UNKNOWN = Verdict(Health.UNKNOWN, reason="not probed yet")


class State(enum.Enum):
    """How an endpoint is published; see the table of conditions in docs/design.md."""

    READY = "Ready"
    NOT_READY = "NotReady"
    DRAINING = "Draining"


class Why(enum.Enum):
    """The rule that decided an endpoint's state; the words are what people read."""

    DECLARED = "ready as declared: nothing checks it"
    SOURCE_NOT_READY = "its source says that it is not ready"
    HEALTHY = "its checks pass"
    UNHEALTHY = "its checks fail"
    NEW = "new: not ready until its checks pass"
    KEPT = "kept as it was published until its own thresholds are met"
    DOUBTED = "kept: its checks fail, and extsync itself seems to be cut off"
    DRAINING = "draining: its source asks for it, and it is healthy"
    DRAINING_DOWN = "draining and not healthy"
    DAMPED = "held back: it went up and down again and again, and has to stay up for a while"
    DRAINING_DAMPED = "draining, and held back: it went up and down again and again, and has to stay up for a while"
    SPARED = "its checks pass; it went up and down again and again, and is not held back: too few others are ready"
    PANIC_KEPT = "kept ready: too few endpoints of the service are healthy to believe it (panicMode HoldLast)"
    PANIC_READY = "ready whatever the checks say: too few endpoints of the service are healthy (panicMode ServeAll)"
    PANIC_CLOSED = "not ready: too few endpoints of the service are healthy (panicMode FailClosed)"
    EVERY_PUBLISHED_FAILED = "kept: every endpoint that was published ready failed at once"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """Backend and verdict: one address with one port set, decided, as the plan packs it into objects."""

    address: str
    ports: PortSet
    group: str
    state: State
    why: Why
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    target_ref: TargetRef | None = None

    @property
    def identity(self) -> Identity:
        """What tells it from all others of its service."""
        return Identity(self.address, self.ports)

    @property
    def family(self) -> str:
        """The addressType of its slice: IPv4 or IPv6."""
        return "IPv6" if ":" in self.address else "IPv4"
