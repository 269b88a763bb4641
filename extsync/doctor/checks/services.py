"""Whether the Service exists, what type it has, and whether its selector fits."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from extsync.doctor.checks.view import is_headless, service_ports, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, count, kubectl
from extsync.objects import MANAGED_BY_LABEL, OWNER_LABEL, SLICE_CONTROLLER, Endpoints, Service
from extsync.plan.unmanaged import left_by_controller

THEME: Final = "service"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the Service itself."""
    service = facts.service
    if isinstance(service, Unread):
        yield _say(facts).error(
            "ServiceUnread",
            f"the Service cannot be read: {service.why}",
            cure="let somebody look who may get services, or allow it" if service.forbidden else "try again",
        )
    elif service is None:
        yield _missing(facts)
    else:
        yield from _existing(facts, service)


def check_cluster(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about which Services there are."""
    command = kubectl("get", "endpointslices", "-A", "-l", f"{OWNER_LABEL}={cluster.owner}")
    say = Findings(THEME, CLUSTER, command)
    if isinstance(cluster.found, Unread):
        yield say.error(
            "ServicesUnread",
            f"which Services extsync keeps cannot be read: {cluster.found.why}",
            cure="name a Service, or a namespace with -n; or ask somebody who may list these objects",
        )
    elif not cluster.found:
        yield say.info(
            "NoServices",
            f"no object in the cluster is of extsync with owner id {cluster.owner}",
            cure="name a Service as NAMESPACE/NAME, or the owner id with --owner",
        )


def _missing(facts: ServiceFacts) -> Finding:
    named = [slice_.metadata.name for slice_ in slices_of(facts)]
    if isinstance(facts.endpoints, Endpoints):
        named.append(f"Endpoints {facts.key.name}")
    return _say(facts).error(
        "ServiceMissing",
        "there is no such Service",
        evidence=(f"{name} is there and nothing sends traffic to it" for name in named),
        cure="create the Service, or put `service: {}` into spec of its manifest so that extsync does; "
        "is the namespace right?",
    )


def _existing(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    spec = service.spec
    if service.metadata.deletion_timestamp is not None:
        yield _say(facts).warning(
            "ServiceTerminating",
            "the Service is being deleted",
            evidence=(f"finalizer {name}" for name in service.metadata.finalizers or ()),
            cure="wait until it is gone; a finalizer that stays is to be removed by whoever put it there",
        )
    if spec.type == "ExternalName":
        yield from _external_name(facts, service)
        return
    ports = ", ".join(f"{port} on {number}" for port, number in service_ports(service).items()) or "no ports"
    address = f"{spec.type or 'ClusterIP'} at {spec.cluster_ip or 'no address yet'}"
    kind = "headless" if is_headless(service) else address
    yield _say(facts).ok("ServiceExists", f"the Service exists: {kind}, {ports}")
    if spec.selector:
        yield from _selector(facts, service)


def _external_name(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    name = service.spec.external_name or ""
    others = len(slices_of(facts))
    if others:
        yield _say(facts).error(
            "ExternalNameWithSlices",
            f"the Service has type ExternalName, and {count(others, 'slice')} that nothing reads",
            evidence=(f"DNS answers with the name {name!r}, and there is no cluster IP",),
            cure="make its type ClusterIP where the slices are meant, or delete the slices",
        )
    try:
        ip_address(name)
    except ValueError:
        yield _say(facts).info("ExternalName", f"an ExternalName Service is an alias of {name!r} and has no endpoints")
        return
    yield _say(facts).error(
        "ExternalNameIsAddress",
        f"externalName is the address {name}, which DNS takes for a name and does not find",
        cure="make it a Service of type ClusterIP without a selector, with the address as a backend",
    )


def _selector(facts: ServiceFacts, service: Service) -> Iterator[Finding]:
    """Next to a selector slices of others are fine (a hybrid Service), Endpoints of others are not."""
    selector = ",".join(f"{key}={value}" for key, value in sorted((service.spec.selector or {}).items()))
    foreign = [one for one in slices_of(facts) if one.labels.get(MANAGED_BY_LABEL) != SLICE_CONTROLLER]
    endpoints = facts.endpoints
    if isinstance(endpoints, Endpoints) and OWNER_LABEL in endpoints.labels and not left_by_controller(endpoints):
        yield _say(facts).warning(
            "EndpointsOverwritten",
            "the Service has a selector: Kubernetes overwrites its Endpoints, whoever wrote them",
            evidence=(f"selector {selector}",),
            cure="remove the selector where the backends are outside of the cluster, or publish EndpointSlices alone",
        )
    if foreign:
        yield _say(facts).info(
            "SelectorBesideSlices",
            "the Service has a selector and slices that others keep: traffic goes to pods and to these",
            evidence=((f"selector {selector}", *(f"slice {one.metadata.name}" for one in foreign))),
            cure="remove the selector unless pods are meant to serve it too",
        )


def _say(facts: ServiceFacts) -> Findings:
    command = kubectl("get", "service", facts.key.name, "-o", "yaml", namespace=facts.key.namespace)
    return Findings(THEME, str(facts.key), command)
