"""What events tell of: their reasons, and the objects that they are put on. docs/events.md has the same table."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from extsync.kube.events import EventType, Recorder
from extsync.objects import Endpoints, EndpointSlice, KubeObject
from extsync.plan.plan import Current
from extsync.plan.published import Published

MOST_SLICES: Final = 3
"""Slices on which one event is put, where no Endpoints are published."""


class Reason(msgspec.Struct, frozen=True):
    """One kind of event; ``text`` says when there is one."""

    type: EventType
    name: str
    text: str


ENDPOINT_DOWN: Final = Reason("Warning", "EndpointDown", "endpoints that were ready are not ready, with the reason")
ENDPOINT_UP: Final = Reason("Normal", "EndpointUp", "endpoints that were down are ready again")
ENDPOINT_DRAINING: Final = Reason("Normal", "EndpointDraining", "endpoints that were ready are being drained")
ENDPOINT_REMOVED: Final = Reason("Normal", "EndpointRemoved", "endpoints that were ready are not published any more")
SERVICE_EMPTY: Final = Reason("Warning", "ServiceEmpty", "none of its endpoints is ready")
SERVICE_DEGRADED: Final = Reason(
    "Warning", "ServiceDegraded", "fewer than `policy.minReady`, or fewer than half, of its endpoints are ready"
)
SERVICE_RECOVERED: Final = Reason("Normal", "ServiceRecovered", "it is neither empty nor degraded any more")
SOURCE_FAILING: Final = Reason(
    "Warning", "SourceFailing", "a source fails or is suspect; its last good set stays where there is one"
)
SOURCE_FLAPPING: Final = Reason(
    "Warning", "SourceFlapping", "a source changes again and again; it is told of again once it is steady"
)
SOURCE_RECOVERED: Final = Reason("Normal", "SourceRecovered", "a source answers again")
REMOVAL_SUPPRESSED: Final = Reason(
    "Warning", "RemovalSuppressed", "the guard withholds a removal; the message has the hash that lets it through"
)
REMOVAL_RELEASED: Final = Reason("Normal", "RemovalReleased", "nothing is withheld any more, and why")
OWNERSHIP_CONFLICT: Final = Reason(
    "Warning", "OwnershipConflict", "an object, or fields of the Service, of somebody else are in the way"
)
ADOPTED: Final = Reason("Normal", "Adopted", "an object that nobody kept was taken over")
WRITE_CONTENTION: Final = Reason(
    "Warning", "WriteContention", "somebody changes an object back again and again; the message says who"
)
WRITE_CONTENTION_OVER: Final = Reason("Normal", "WriteContentionOver", "the object stays as extsync writes it again")
ANOTHER_WRITER: Final = Reason(
    "Warning", "AnotherWriter", "another extsync with the same owner id writes the service as well"
)
ANOTHER_WRITER_GONE: Final = Reason("Normal", "AnotherWriterGone", "no other extsync has written it for a while")
ADDRESS_DENIED: Final = Reason("Warning", "AddressDenied", "the settings do not allow a backend's address")
PROBER_ISOLATED: Final = Reason(
    "Warning", "ProberIsolated", "extsync seems to be cut off: failing checks are not believed"
)
PROBER_CONNECTED: Final = Reason("Normal", "ProberConnected", "failing checks count again")

_REFUSED: Final = {
    "ServiceHasSelector": "the Service has a selector, and Kubernetes writes its Endpoints",
    "EndpointsOfEarlierService": "the Endpoints belong to an earlier Service of that name",
    "EndpointsNotOurs": "somebody else's Endpoints are in the way",
    "NoService": "there is no such Service",
    "TooManyForEndpoints": "more endpoints than Kubernetes mirrors from Endpoints",
    "ServiceOfAnotherOwner": "another installation of extsync keeps the Service",
    "ServiceReleased": "the Service has lost its owner label",
    "ServiceNotOurs": "the Service exists, and extsync did not make it",
    "HeadlessIsForEver": "a Service cannot become headless, nor cease to be",
}

REFUSED: Final = {code: Reason("Warning", code, text) for code, text in _REFUSED.items()}
"""What a plan refuses to do, by the code of the refusal."""

REASONS: Final = (
    ENDPOINT_DOWN,
    ENDPOINT_UP,
    ENDPOINT_DRAINING,
    ENDPOINT_REMOVED,
    SERVICE_EMPTY,
    SERVICE_DEGRADED,
    SERVICE_RECOVERED,
    SOURCE_FAILING,
    SOURCE_FLAPPING,
    SOURCE_RECOVERED,
    REMOVAL_SUPPRESSED,
    REMOVAL_RELEASED,
    OWNERSHIP_CONFLICT,
    ADOPTED,
    WRITE_CONTENTION,
    WRITE_CONTENTION_OVER,
    ANOTHER_WRITER,
    ANOTHER_WRITER_GONE,
    ADDRESS_DENIED,
    PROBER_ISOLATED,
    PROBER_CONNECTED,
    *REFUSED.values(),
)


def announce(recorder: Recorder, about: Iterable[KubeObject], reason: Reason, message: str) -> None:
    """Puts an event on each of these objects."""
    for obj in about:
        recorder.tell(obj, reason.type, reason.name, message)


def concerned(current: Current, published: Published, addresses: Collection[str] = ()) -> list[KubeObject]:
    """Where to put an event on a service, of which ``published`` are the objects of ours: on the Service and on the
    Endpoints, or where there are none on the slices that have one of ``addresses``, the first of all if none has.

    None where there is no Service.
    """
    if current.service is None:
        return []
    found: list[KubeObject] = [current.service]
    endpoints = [obj for obj in published.objects if isinstance(obj, Endpoints)]
    if endpoints:
        return [*found, *endpoints]
    slices = sorted((obj for obj in published.objects if isinstance(obj, EndpointSlice)), key=lambda one: one.key)
    having = [one for one in slices if _has_one_of(one, addresses)] if addresses else []
    return [*found, *(having[:MOST_SLICES] or slices[:1])]


def _has_one_of(slice_: EndpointSlice, addresses: Collection[str]) -> bool:
    return any(address in addresses for endpoint in slice_.endpoints or () for address in endpoint.addresses)
