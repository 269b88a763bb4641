"""The DNS name of the Service, and the cluster's DNS itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.view import endpoints, is_headless, is_ready, service_of, slices_of
from extsync.doctor.facts import ClusterFacts, Inside, ServiceFacts, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, kubectl

THEME: Final = "dns"

_DEFAULT_DOMAIN: Final = "cluster.local"
_RFC_1035: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def dns_name(facts: ServiceFacts, cluster: ClusterFacts) -> str:
    """The full name of the Service, with the domain that most clusters have where it is not known."""
    inside = facts.inside.domain if isinstance(facts.inside, Inside) else ""
    domain = inside or cluster.dns.domain or _DEFAULT_DOMAIN
    return f"{facts.key.name}.{facts.key.namespace}.svc.{domain}"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the name of the Service."""
    service = service_of(facts)
    if service is None:
        return
    name = dns_name(facts, cluster)
    asked = "kubectl run -it --rm dns --image=busybox --restart=Never -- nslookup"
    say = Findings(THEME, str(facts.key), f"{asked} {name}")
    if _RFC_1035.fullmatch(facts.key.name) is None:
        yield say.info(
            "NameNotRfc1035",
            f"the name {facts.key.name!r} begins with a digit, which Kubernetes before 1.36 and some programs refuse",
        )
    if not is_headless(service):
        yield say.ok("DnsName", f"its name is {name}" + _assumed(facts, cluster))
        return
    ready = [one for one in endpoints(slices_of(facts)) if is_ready(one)]
    if not ready:
        yield say.error(
            "HeadlessNameless",
            f"{name} does not resolve: a headless Service without a ready endpoint has no name",
            cure="see why none is ready",
        )
        return
    names = [f"{one.hostname}.{name} is {one.addresses[0]}" for one in ready if one.hostname]
    yield say.ok("DnsName", f"its name is {name}, for {len(ready)} ready endpoints", evidence=names)


def _assumed(facts: ServiceFacts, cluster: ClusterFacts) -> str:
    known = cluster.dns.domain or (isinstance(facts.inside, Inside) and facts.inside.domain)
    return "" if known else f", if the cluster's domain is {_DEFAULT_DOMAIN}"


def check_cluster(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the cluster's DNS."""
    dns = cluster.dns
    shown = kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=kube-dns", namespace="kube-system")
    say = Findings(THEME, CLUSTER, shown)
    if isinstance(dns.service, Unread):
        yield say.info("DnsUnread", f"the cluster's DNS cannot be looked at: {dns.service.why}")
    elif not dns.service:
        yield say.info(
            "DnsNotFound",
            "there is no Service kube-dns in kube-system: names are answered by something else, or by nothing",
            cure="resolve a name from a pod: doctor NAMESPACE/NAME --exec does so",
        )
    elif not dns.ready:
        yield say.error(
            "DnsDown",
            "the cluster's DNS has no ready endpoint: no name of a Service resolves",
            cure="see the pods: kubectl -n kube-system get pods -l k8s-app=kube-dns",
        )
    else:
        domain = f"; its domain is {dns.domain}" if dns.domain else ""
        yield say.ok("DnsUp", f"the cluster's DNS at {dns.service} has {dns.ready} ready endpoints{domain}")
