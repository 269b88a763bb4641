"""Whether the addresses can be right, none is denied or the Service's own, and they answer from here."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from extsync.doctor.checks.view import is_ready, service_of, shown, slices_command, slices_of
from extsync.doctor.facts import Attempt, ClusterFacts, ServiceFacts
from extsync.doctor.findings import Finding, Findings, count, some
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    SLICE_CONTROLLER,
    EndpointSlice,
    Service,
    SliceEndpoint,
)
from extsync.plan.ownership import FQDN
from extsync.plan.unmanaged import slice_keeper

THEME: Final = "addresses"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about addresses."""
    service, slices = service_of(facts), slices_of(facts)
    if service is None or not any(one.endpoints for one in slices):
        return
    findings = [*_impossible(facts, slices), *_denied(facts, cluster, service, slices), *_own(facts, service, slices)]
    findings += _families(facts, service, slices)
    yield from findings or [_say(facts).ok("AddressesValid", "the addresses are valid, and none is denied")]
    yield from _reached(facts)


def _addresses(slices: tuple[EndpointSlice, ...]) -> Iterator[tuple[EndpointSlice, SliceEndpoint, str]]:
    for slice_ in slices:
        if slice_.address_type != FQDN:
            for endpoint in slice_.endpoints or ():
                for address in endpoint.addresses[:1]:
                    yield slice_, endpoint, address


def _impossible(facts: ServiceFacts, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    wrong = []
    for slice_, _, address in _addresses(slices):
        try:
            version = ip_address(address).version
        except ValueError:
            wrong.append(f"{address} in {slice_.metadata.name} is no IP address")
            continue
        if f"IPv{version}" != slice_.address_type:
            wrong.append(f"{address} in {slice_.metadata.name} is no {slice_.address_type} address")
    if wrong:
        yield _say(facts).error("AddressInvalid", "addresses are invalid", evidence=wrong, cure="write them anew")


def _denied(
    facts: ServiceFacts, cluster: ClusterFacts, service: Service, slices: tuple[EndpointSlice, ...]
) -> Iterator[Finding]:
    scope = cluster.policy.published(facts.key.namespace)
    reasons: dict[str, None] = {}
    number = 0
    for slice_, endpoint, address in _addresses(slices):
        if slice_keeper(slice_, service) not in (None, MANAGED_BY, MIRRORING_CONTROLLER, SLICE_CONTROLLER):
            continue  # a controller, or the API server, knows what it publishes
        of_pod = slice_.labels.get(MANAGED_BY_LABEL) == SLICE_CONTROLLER or _is_pod(endpoint)
        if reason := scope.denied(address, is_pod=of_pod):
            number += 1
            reasons[f"{reason} ({slice_.metadata.name})"] = None
    if reasons:
        yield _say(facts).error(
            "AddressDenied",
            f"{count(number, 'endpoint')} at denied addresses: extsync would not publish that",
            evidence=reasons,
            cure="take them out of the objects; where one is meant, allow it in the settings (docs/security.md)",
        )
    if cluster.unknown_ranges:
        yield _say(facts).info(
            "RangesUnread",
            "whether an address is one of the cluster's own is not known",
            evidence=cluster.unknown_ranges,
            cure="allow list of nodes and servicecidrs, or name the ranges in the settings",
        )


def _is_pod(endpoint: SliceEndpoint) -> bool:
    return endpoint.target_ref is not None and endpoint.target_ref.kind == "Pod"


def _own(facts: ServiceFacts, service: Service, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    own = {address for address in (service.spec.cluster_ip, *(service.spec.cluster_ips or ())) if address}
    circles = [f"{address} in {slice_.metadata.name}" for slice_, _, address in _addresses(slices) if address in own]
    if circles:
        yield _say(facts).error(
            "PointsAtItself",
            "an endpoint is the Service's own cluster IP: traffic goes round in circles",
            evidence=circles,
            cure="name the backends' own addresses",
        )


def _families(facts: ServiceFacts, service: Service, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    families = service.spec.ip_families or ()
    if not families:
        return
    ignored = [s for s in slices if s.endpoints and s.address_type not in (*families, FQDN)]
    if ignored:
        others = all(s in ignored for s in slices if s.endpoints)
        make = _say(facts).error if others else _say(facts).warning
        yield make(
            "FamilyIgnored",
            f"the Service has {' and '.join(families)} alone: slices of another family get no traffic",
            evidence=(f"{s.metadata.name} has {s.address_type}" for s in ignored),
            cure="add the family to ipFamilies with ipFamilyPolicy PreferDualStack, or take these endpoints out",
        )


# ---- from here -------------------------------------------------------------------------------------------------------


def _reached(facts: ServiceFacts) -> Iterator[Finding]:
    """What a machine beside the cluster can tell: a refusal is evidence, silence may be for want of a route."""
    tried = [one for one in facts.attempts if not one.skipped]
    ready = {(s.address, s.number) for s in shown(slices_of(facts)) if is_ready(s.endpoint)}
    of_ready = [one for one in tried if (one.address, one.port) in ready]
    failed = [one for one in of_ready if one.failure]
    refused = [one for one in failed if one.answered]
    say = _say(facts)
    skipped = [f"{one.address}:{one.port}: {one.skipped}" for one in facts.attempts if one.skipped]
    if skipped:
        yield say.info("NotTried", "some endpoints were not connected to", evidence=skipped)
    if failed and len(failed) == len(of_ready) and not refused:
        yield say.info(
            "NoRouteFromHere",
            f"no ready endpoint answers from here ({len(failed)} tried): there may be no route from this machine",
            evidence=map(_line, failed),
            cure="run doctor in the cluster's network, or with --exec from a pod; if that fails too the check is wrong",
        )
    elif failed:
        yield say.warning(
            "ReadyAndUnreachable",
            f"{len(failed)} of {len(of_ready)} ready endpoints do not answer from here",
            evidence=map(_line, failed),
            cure="is the port right, does the program listen, does a firewall refuse? A check in the manifest tells",
        )
    elif of_ready:
        answered = some([f"{one.address}:{one.port}" for one in of_ready])
        beside = f"; {facts.untried} more were not tried" if facts.untried else ""
        yield say.ok("Reachable", f"ready endpoints answer from here: {answered}{beside}")
    up = [one for one in tried if not one.failure and (one.address, one.port) not in ready]
    if up:
        yield say.info(
            "NotReadyAndReachable",
            "endpoints that are not ready can be connected to from here",
            evidence=map(_line, up),
            cure=f"extsync explain {facts.key} ADDRESS says what their checks find",
        )


def _line(one: Attempt) -> str:
    host = f"[{one.address}]" if ":" in one.address else one.address
    return f"{host}:{one.port}: {one.failure or 'connected'}"


def _say(facts: ServiceFacts) -> Findings:
    return Findings(THEME, str(facts.key), slices_command(facts))
