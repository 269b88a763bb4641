"""Advice: what the API accepts and traffic then does not find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from extsync.model import Endpoint, State
from extsync.objects import MANAGED_BY_LABEL, EndpointSlice, Service
from extsync.plan.buckets import Buckets
from extsync.plan.policy import Notice
from extsync.plan.published import port_set
from extsync.plan.render import Rendering

_MOST_NAMED = 3


def advice_on(
    service: Service, endpoints: Sequence[Endpoint], buckets: Buckets, foreign: Iterable[tuple[EndpointSlice, str]]
) -> tuple[Notice, ...]:
    """What a person should know of how ``service`` publishes ``endpoints``, which ``buckets`` hold rendered.

    ``foreign`` are the slices of others for the same Service, each with what would end its being there, "" where
    nothing is known that would.
    """
    return (
        *_unreachable(service, buckets),
        *_not_local(service, endpoints),
        *_without_zone(service, endpoints),
        *_doubles(service, buckets, foreign),
    )


def unknown_ports(service: Service, buckets: Buckets) -> list[tuple[str, str]]:
    """Name and protocol, by which kube-proxy finds endpoints, of each port of ``buckets`` that the Service has not."""
    known = {(port.name or "", port.protocol or "TCP") for port in service.spec.ports or ()}
    published = {(port.name, port.protocol) for key in buckets.by_key for port in key.ports}
    return sorted(published - known)


def _unreachable(service: Service, buckets: Buckets) -> Iterator[Notice]:
    for name, protocol in unknown_ports(service, buckets):
        yield Notice(
            "PortWithoutService",
            f"the Service has no {protocol} port named {name!r}: nothing will reach the endpoints at that port",
        )


def _not_local(service: Service, endpoints: Sequence[Endpoint]) -> Iterator[Notice]:
    spec = service.spec
    policies = (("internal", spec.internal_traffic_policy), ("external", spec.external_traffic_policy))
    local = [f"{name}TrafficPolicy" for name, policy in policies if policy == "Local"]
    nowhere = [*map(attrgetter("node_name"), endpoints)].count(None) if local else 0
    if nowhere:
        yield Notice(
            "LocalWithoutNode",
            f"{' and '.join(local)}: Local needs a nodeName on each endpoint, and {nowhere} of {len(endpoints)} have "
            "none: they get no such traffic",
        )


def _without_zone(service: Service, endpoints: Sequence[Endpoint]) -> Iterator[Notice]:
    """One ready endpoint without hints disables them for the whole port."""
    rendering = Rendering.of(service)
    if not rendering.wants_hints:
        return
    nowhere = sum(e.zone is None for e in endpoints if e.state is State.READY or rendering.publish_not_ready)
    if nowhere:
        yield Notice(
            "HintsIncomplete",
            f"trafficDistribution: {service.spec.traffic_distribution} needs a zone on each ready endpoint, and "
            f"{nowhere} without one are published: kube-proxy ignores it for all",
        )


def _doubles(service: Service, buckets: Buckets, foreign: Iterable[tuple[EndpointSlice, str]]) -> Iterator[Notice]:
    """An endpoint that is ready in one slice and not in another is served at random."""
    ours = {(port.name, port.port): bucket.members for key, bucket in buckets.by_key.items() for port in key.ports}
    for slice_, cure in foreign:
        if any(r.kind == "Service" and r.uid != service.metadata.uid for r in slice_.metadata.owner_references or ()):
            continue  # of an earlier Service of that name, until the garbage collector comes
        numbers = [(port.name, port.port) for port in port_set(slice_.ports)]
        shown = [address for endpoint in slice_.endpoints or () for address in endpoint.addresses[:1]]
        twice = [address for address in shown if any(address in ours.get(number, ()) for number in numbers)]
        if twice:
            named = ", ".join(twice[:_MOST_NAMED]) + (", ..." if len(twice) > _MOST_NAMED else "")
            manager = slice_.labels.get(MANAGED_BY_LABEL, "somebody")
            yield Notice(
                "PublishedTwice",
                f"slice {slice_.metadata.name} of {manager} has {named} as well: kube-proxy takes the "
                f"readiness of either{cure and f'. {cure}'}",
            )
