"""Whose the objects are, whether two of them show the same endpoint, and which of them nobody keeps any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from extsync.doctor.checks.view import Shown, is_headless, is_ready, service_of, shown, slices_command, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts
from extsync.doctor.findings import Finding, Findings, Severity, count, kubectl, some
from extsync.objects import (
    HEADLESS_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    SLICE_CONTROLLER,
    Endpoints,
    EndpointSlice,
    Service,
)
from extsync.plan.ownership import FQDN, Whose, whose
from extsync.plan.unmanaged import left_by_controller

THEME: Final = "owners"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about who keeps what is published."""
    service = service_of(facts)
    yield from _strays(facts)
    if service is None:
        return
    slices = slices_of(facts)
    if slices:
        names = _by_owner(slices, service, cluster.owner)
        told = ", ".join(f"{len(of)} {words}" for words, of in names.items())
        yield _say(facts).ok("SlicesOf", f"slices: {told}", evidence=(f"{w}: {some(n)}" for w, n in names.items()))
    yield from _twice(facts, slices)
    yield from _left_behind(facts, service, slices)
    yield from _of_others(facts, cluster, slices)
    yield from _ignored(facts, service, slices)
    if isinstance(facts.endpoints, Endpoints):
        yield from _misspelled(facts, facts.endpoints)
        yield from _against_endpoints(facts, facts.endpoints, slices)


def _by_owner(slices: Iterable[EndpointSlice], service: Service, owner: str) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for one in slices:
        by = one.labels.get(MANAGED_BY_LABEL, "")
        belongs = whose(one, service, owner)
        if by == SLICE_CONTROLLER and service.spec.selector:
            words = "of pods, made by Kubernetes"
        elif belongs is Whose.OURS:
            words = f"of extsync (owner {owner})"
        else:
            words = f"of {by}" if belongs is Whose.OTHER and by else belongs.value.split(":")[0]
        found[words].append(one.metadata.name)
    return dict(found)


def _strays(facts: ServiceFacts) -> Iterator[Finding]:
    for one in facts.strays:
        label = one.labels.get(SERVICE_NAME_LABEL)
        said = f"is {label!r}" if label is not None else "is missing"
        yield _say(facts).make(
            "ServiceNameLabel",
            _of_stray(facts),
            f"slice {one.metadata.name} seems to be meant for the Service, but its label {SERVICE_NAME_LABEL} {said}",
            evidence=(f"it has {count(len(one.endpoints or ()), 'endpoint')} that no traffic reaches",),
            cure=f"kubectl -n {facts.key.namespace} label endpointslice {one.metadata.name} --overwrite "
            f"{SERVICE_NAME_LABEL}={facts.key.name}; or delete it",
            command=kubectl(
                *("get", "endpointslice", one.metadata.name, "--show-labels"), namespace=facts.key.namespace
            ),
        )


def _of_stray(facts: ServiceFacts) -> Severity:
    return Severity.WARNING if any(one.endpoints for one in slices_of(facts)) else Severity.ERROR


def _twice(facts: ServiceFacts, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    """kube-proxy merges all slices; of an endpoint with two states it takes either."""
    places: defaultdict[tuple[object, str], list[Shown]] = defaultdict(list)
    for one in shown(slices):
        places[one.port, one.place].append(one)
    doubled = [of for of in places.values() if len({one.slice for one in of}) > 1]
    for differ in (True, False):
        these = [of for of in doubled if (len({is_ready(one.endpoint) for one in of}) > 1) is differ]
        if these:
            yield _doubles(facts, slices, these, differ=differ)


def _doubles(
    facts: ServiceFacts, slices: tuple[EndpointSlice, ...], these: list[list[Shown]], *, differ: bool
) -> Finding:
    involved = {one.slice for of in these for one in of}
    kept = {s.metadata.name: s.labels.get(MANAGED_BY_LABEL, "nobody") for s in slices if s.metadata.name in involved}
    managers = sorted(set(kept.values()))
    evidence = (
        f"{of[0].place}: " + ", ".join(f"{_state(one)} in {one.slice} of {kept[one.slice]}" for one in of)
        for of in these
    )
    told = f"{count(len(these), 'endpoint')} published by {' and '.join(managers)}"
    say, cure = _say(facts), _cure_of_doubles(facts, managers)
    if differ:
        return say.error(
            "PublishedTwiceDiffering",
            f"{told}, ready in one slice and not in the other: traffic follows either at random",
            evidence=evidence,
            cure=cure,
        )
    return say.warning(
        "PublishedTwice",
        f"{told}: when one of them changes, the other one keeps what was",
        evidence=evidence,
        cure=cure,
    )


def _state(one: Shown) -> str:
    return "ready" if is_ready(one.endpoint) else "not ready"


def _cure_of_doubles(facts: ServiceFacts, managers: list[str]) -> str:
    name, namespace = facts.key.name, facts.key.namespace
    if MIRRORING_CONTROLLER in managers:
        return (
            f"Endpoints {name} are mirrored beside the slices: delete them, set policy.adopt: IfUnmanaged "
            f"in the manifest, or kubectl -n {namespace} label endpoints {name} {SKIP_MIRROR_LABEL}=true"
        )
    if managers == [MANAGED_BY]:
        return "two installations of extsync, or an old one, publish the same: give it to one owner id"
    return "delete the slices that nobody keeps, or take them over with policy.adopt: IfUnmanaged"


def _left_behind(facts: ServiceFacts, service: Service, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    """What outlives its maker stays as it is for ever."""
    say = _say(facts)
    if not service.spec.selector:
        old = [one.metadata.name for one in slices if one.labels.get(MANAGED_BY_LABEL) == SLICE_CONTROLLER]
        if isinstance(facts.endpoints, Endpoints) and left_by_controller(facts.endpoints):
            old.append(f"Endpoints {facts.key.name}")
        if old:
            yield say.warning(
                "LeftBehind",
                "Kubernetes made these of pods, and the Service has no selector any more: nobody keeps them",
                evidence=old,
                cure="delete them, or take them over with policy.adopt: IfUnmanaged",
            )
    uid = service.metadata.uid
    of_earlier = [
        one.metadata.name
        for one in slices
        if any(r.kind == "Service" and r.uid != uid for r in one.metadata.owner_references or ())
    ]
    if of_earlier:
        yield say.warning(
            "OfEarlierService",
            "slices belong to an earlier Service of this name: Kubernetes will delete them",
            evidence=of_earlier,
            cure="let whoever keeps them write them anew; a running extsync does so by itself",
        )
    unowned = [
        one.metadata.name
        for one in slices
        if one.labels.get(MANAGED_BY_LABEL) == MANAGED_BY and not one.metadata.owner_references
    ]
    if unowned:
        yield say.warning(
            "WithoutOwner",
            "slices of extsync have lost their ownerReference: they would outlive the Service",
            evidence=unowned,
            cure="a running extsync puts it back; extsync apply does so too",
        )
    if facts.endpoints is None:
        mirrors = [one.metadata.name for one in slices if one.labels.get(MANAGED_BY_LABEL) == MIRRORING_CONTROLLER]
        if mirrors:
            yield say.warning(
                "MirrorWithoutEndpoints",
                "slices mirror an Endpoints object that is not there",
                evidence=mirrors,
                cure="see that kube-controller-manager runs: it deletes them within seconds",
            )


def _of_others(facts: ServiceFacts, cluster: ClusterFacts, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    others = sorted(
        {one.labels[OWNER_LABEL] for one in slices if one.labels.get(OWNER_LABEL, cluster.owner) != cluster.owner}
    )
    if others:
        yield _say(facts).warning(
            "OtherOwner",
            f"slices belong to extsync with owner id {some(others)}, not {cluster.owner}",
            evidence=(one.metadata.name for one in slices if one.labels.get(OWNER_LABEL) in others),
            cure=f"name it with --owner {others[0]} if that is the installation meant; else let one of them go",
        )


def _ignored(facts: ServiceFacts, service: Service, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    hidden = [one.metadata.name for one in slices if HEADLESS_LABEL in one.labels]
    if hidden and not is_headless(service):
        yield _say(facts).error(
            "HeadlessLabel",
            f"kube-proxy does not look at slices with the label {HEADLESS_LABEL}",
            evidence=hidden,
            cure="take the label off: the Service has a cluster IP",
        )
    names = [one.metadata.name for one in slices if one.address_type == FQDN]
    if names:
        yield _say(facts).warning(
            "NamesIgnored",
            "kube-proxy ignores slices of addressType FQDN",
            evidence=names,
            cure="publish addresses: the source `dns` keeps those of a name",
        )


def _misspelled(facts: ServiceFacts, written: Endpoints) -> Iterator[Finding]:
    label = written.labels.get(SKIP_MIRROR_LABEL)
    if label not in (None, "true"):
        yield _say(facts).warning(
            "SkipMirrorLabel",
            f"label {SKIP_MIRROR_LABEL}={label} of the Endpoints keeps nobody from mirroring them: it has to be true",
            cure=f"kubectl -n {facts.key.namespace} label endpoints {facts.key.name} --overwrite "
            f"{SKIP_MIRROR_LABEL}=true",
        )


def _against_endpoints(facts: ServiceFacts, written: Endpoints, slices: tuple[EndpointSlice, ...]) -> Iterator[Finding]:
    """Who reads Endpoints should see what others see."""
    if not slices or not written.subsets:
        return
    in_object = {
        (address.ip, ready)
        for subset in written.subsets
        for ready, of in ((True, subset.addresses), (False, subset.not_ready_addresses))
        for address in of or ()
    }
    mirrors = [one for one in slices if one.labels.get(MANAGED_BY_LABEL) == MIRRORING_CONTROLLER]
    in_slices = {(one.addresses[0], is_ready(one)) for s in (mirrors or slices) for one in s.endpoints or ()}
    differ = sorted(in_object ^ in_slices)
    if not differ:
        return
    lines = (
        f"{address} is {'ready' if ready else 'not ready'} only in "
        f"{'the Endpoints' if (address, ready) in in_object else 'slices'}"
        for address, ready in differ
    )
    if mirrors:
        yield _say(facts).warning(
            "MirrorStale",
            "the slices mirrored from the Endpoints do not show what these say",
            evidence=lines,
            cure="see that kube-controller-manager runs; at most 1000 addresses of a subset are mirrored",
        )
    else:
        yield _say(facts).warning(
            "EndpointsDiffer",
            "Endpoints and slices show different endpoints: who reads one of them is wrong",
            evidence=lines,
            cure="delete the Endpoints if nothing reads them, or let extsync publish both (publish in the manifest)",
            command=kubectl("get", "endpoints", facts.key.name, "-o", "yaml", namespace=facts.key.namespace),
        )


def _say(facts: ServiceFacts) -> Findings:
    return Findings(THEME, str(facts.key), slices_command(facts))
