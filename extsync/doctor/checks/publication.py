"""Whether endpoints are published, and some of them ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.view import endpoints, is_ready, service_of, slices_command, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts, Unread
from extsync.doctor.findings import Finding, Findings, count, kubectl
from extsync.objects import (
    OVER_CAPACITY_ANNOTATION,
    SKIP_MIRROR_LABEL,
    Endpoints,
    EndpointSlice,
    Service,
)
from extsync.plan.unmanaged import LEADER_ANNOTATION

THEME: Final = "endpoints"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about there being endpoints at all."""
    yield from _unread(facts)
    service = service_of(facts)
    if service is None or isinstance(facts.slices, Unread) or service.spec.type == "ExternalName":
        return
    slices = slices_of(facts)
    shown = [*endpoints(slices)]
    if not slices:
        yield from _no_slices(facts, service)
    elif not shown:
        yield _say(facts).error(
            "NoEndpoints",
            "the slices have no endpoints: connections to the Service are refused",
            evidence=(f"slice {one.metadata.name} is empty" for one in slices),
            cure=_cure_of_nothing(facts, service),
        )
    else:
        yield from _readiness(facts, slices)


def _unread(facts: ServiceFacts) -> Iterator[Finding]:
    say = _say(facts)
    if isinstance(facts.slices, Unread):
        yield say.warning(
            "SlicesUnread",
            f"EndpointSlices cannot be read: {facts.slices.why}",
            cure=_allow("list of endpointslices", facts, facts.slices),
        )
    if isinstance(facts.endpoints, Unread):
        yield say.warning(
            "EndpointsUnread",
            f"Endpoints cannot be read: {facts.endpoints.why}",
            cure=_allow("get of endpoints", facts, facts.endpoints),
        )


def _allow(what: str, facts: ServiceFacts, unread: Unread) -> str:
    return f"allow {what} in {facts.key.namespace}" if unread.forbidden else "try again"


def _no_slices(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    written = facts.endpoints
    if not isinstance(written, Endpoints) or not written.subsets:
        yield _say(facts).error(
            "NothingPublished",
            "there is neither an EndpointSlice nor an Endpoints object with addresses for the Service",
            evidence=(f"slice {one.metadata.name} is not labelled for it" for one in facts.strays),
            cure=_cure_of_nothing(facts, service),
        )
        return
    why, cure = _not_mirrored(written, service)
    yield _say(facts).error(
        "EndpointsNotMirrored",
        "there are Endpoints and no EndpointSlices: kube-proxy and DNS read slices alone",
        evidence=(why,),
        cure=cure,
        command=kubectl("get", "endpoints", facts.key.name, "-o", "yaml", namespace=facts.key.namespace),
    )


def _not_mirrored(written: Endpoints, service: Service) -> tuple[str, str]:
    """Why the mirroring controller makes no slices of the Endpoints, and what helps."""
    if written.labels.get(SKIP_MIRROR_LABEL) == "true":
        return f"label {SKIP_MIRROR_LABEL}=true", "take the label off, or publish EndpointSlices as well"
    if LEADER_ANNOTATION in written.annotations:
        return f"annotation {LEADER_ANNOTATION}", "these Endpoints are the vehicle of a leader election: use others"
    if service.spec.selector:
        return "the Service has a selector", "remove the selector: it is for pods alone"
    for subset in written.subsets or ():
        names = [port.name or "" for port in subset.ports or ()]
        if len(set(names)) < len(names):
            return f"a subset has the port names {', '.join(names)}", "give each port of a subset a name of its own"
    return (
        "nothing in the object keeps it from being mirrored",
        "see that kube-controller-manager runs its endpointslicemirroring-controller",
    )


def _cure_of_nothing(facts: ServiceFacts, service: Service) -> str:
    if service.spec.selector:
        return "see the pods below; or remove the selector where the backends are outside of the cluster"
    name = f"{facts.key}"
    if facts.strays:
        return f"label the slices kubernetes.io/service-name={facts.key.name}"
    return f"write a manifest for it and apply that; where there is one: extsync explain {name}"


def _readiness(facts: ServiceFacts, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    found = [*endpoints(slices)]
    ready = sum(map(is_ready, found))
    draining = [one for one in found if one.conditions.serving and one.conditions.terminating]
    counts = f"{ready} of {count(len(found), 'endpoint')} in {count(len(slices), 'slice')} ready"
    if ready:
        partly = [one.addresses[0] for one in found if not is_ready(one)]
        yield _say(facts).ok("EndpointsReady", counts)
        if partly:
            yield _say(facts).info(
                "SomeNotReady",
                f"{len(partly)} of {len(found)} endpoints are not ready",
                evidence=partly,
                cure=f"extsync explain {facts.key} says why",
            )
    elif draining:
        yield _say(facts).warning(
            "OnlyDraining",
            f"no endpoint is ready; {len(draining)} that end still get traffic",
            evidence=(one.addresses[0] for one in draining),
            cure="bring backends up before the last of them are gone",
        )
    else:
        yield _say(facts).error(
            "NoneReady",
            f"none of {count(len(found), 'endpoint')} is ready: connections to the Service are refused",
            evidence=(f"{one.addresses[0]} is not ready" for one in found),
            cure=f"extsync explain {facts.key} ADDRESS says why one is not; is the check right, and the backend up?",
        )
    if isinstance(facts.endpoints, Endpoints) and OVER_CAPACITY_ANNOTATION in facts.endpoints.annotations:
        yield _say(facts).info(
            "EndpointsOverCapacity",
            "the Endpoints object does not show all endpoints; slices do",
            cure="let whatever reads Endpoints read EndpointSlices",
        )


def _say(facts: ServiceFacts) -> Findings:
    return Findings(THEME, str(facts.key), slices_command(facts))
