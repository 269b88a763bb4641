"""What a connection from a pod shows that none from here can: name, cluster IP and endpoints as clients in the cluster
meet them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.dns import dns_name
from extsync.doctor.checks.view import is_headless, service_of
from extsync.doctor.facts import Attempt, ClusterFacts, Inside, ServiceFacts, Unread
from extsync.doctor.findings import Finding, Findings, kubectl
from extsync.objects import Service

THEME: Final = "inside"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about what was tried in a pod."""
    service, inside = service_of(facts), facts.inside
    if service is None or inside is None:
        return
    if isinstance(inside, Unread):
        yield _say(facts, kubectl("auth", "can-i", "create", "pods/exec", namespace=facts.key.namespace)).info(
            "InsideUntried", f"no connection from a pod was tried: {inside.why}"
        )
        return
    say = _say(facts, kubectl("exec", inside.pod, "-c", inside.container, "--", "sh", namespace=facts.key.namespace))
    if not inside.tool:
        yield say.info(
            "InsideWithoutTool",
            f"container {inside.container} of pod {inside.pod} has no program to connect with",
            cure="name a pod with bash, python3, nc or curl: --from-pod POD",
        )
    yield from _name(say, facts, cluster, service, inside)
    yield from _connections(say, inside)


def _name(
    say: Findings, facts: ServiceFacts, cluster: ClusterFacts, service: Service, inside: Inside
) -> Iterator[Finding]:
    name = dns_name(facts, cluster)
    if inside.resolved is None:
        yield say.info("InsideNameUntried", f"pod {inside.pod} has no program to resolve {name}")
        return
    own = {address for address in (service.spec.cluster_ip, *(service.spec.cluster_ips or ())) if address}
    if not inside.resolved:
        yield say.error(
            "NameUnresolved",
            f"{name} does not resolve in pod {inside.pod}",
            cure="see the cluster's DNS: kubectl -n kube-system logs -l k8s-app=kube-dns",
        )
    elif is_headless(service) or set(inside.resolved) & own:
        yield say.ok("NameResolves", f"{name} resolves in pod {inside.pod}", evidence=inside.resolved)
    else:
        yield say.warning(
            "NameElsewhere",
            f"{name} resolves in pod {inside.pod} to something else than the Service's address",
            evidence=(*inside.resolved, f"the Service has {', '.join(sorted(own))}"),
            cure="see dnsConfig and hostAliases of the pod, and the search domains of its /etc/resolv.conf",
        )


def _connections(say: Findings, inside: Inside) -> Iterator[Finding]:
    through = [one for one in inside.through if not one.skipped]
    direct = [one for one in inside.direct if not one.skipped]
    failed = [one for one in through if one.failure]
    dead = [one for one in direct if one.failure]
    lines = [_line(one) for one in (*through, *direct)]
    if failed and direct and len(dead) < len(direct):
        yield say.error(
            "InsideServiceFails",
            f"from pod {inside.pod} endpoints answer and the Service does not: it is kube-proxy, or a NetworkPolicy",
            evidence=lines,
            cure="see kube-proxy on the node of that pod, and that the ports of Service and slices match",
        )
    elif failed:
        yield say.error(
            "InsideFails",
            f"from pod {inside.pod} the Service does not answer, nor does any endpoint",
            evidence=lines,
            cure="see NetworkPolicies for egress, firewalls and routes between the cluster's nodes and the backends",
        )
    elif dead:
        yield say.warning(
            "InsideEndpointFails",
            f"from pod {inside.pod} {len(dead)} of {len(direct)} ready endpoints do not answer",
            evidence=lines,
            cure="a check probes from where extsync runs: is the way from the pod's node another one?",
        )
    elif through:
        yield say.ok("InsideAnswers", f"from pod {inside.pod} the Service answers (by {inside.tool})", evidence=lines)


def _line(one: Attempt) -> str:
    host = f"[{one.address}]" if ":" in one.address else one.address
    return f"{host}:{one.port}: {one.failure or 'connected'}"


def _say(facts: ServiceFacts, command: str) -> Findings:
    return Findings(THEME, str(facts.key), command)
