"""The pods of a Service with a selector: whether there are any, and why they are not ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.view import endpoints, is_ready, service_of, slices_of
from extsync.doctor.facts import ClusterFacts, ServiceFacts, Unread
from extsync.doctor.findings import Finding, Findings, kubectl
from extsync.doctor.kinds import Pod
from extsync.objects import Service

THEME: Final = "pods"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about pods; none where the Service has no selector."""
    service = service_of(facts)
    if service is None or not service.spec.selector or facts.pods is None:
        return
    say = _say(facts, service)
    if isinstance(facts.pods, Unread):
        yield say.info(
            "PodsUnread",
            f"the pods of the selector cannot be read: {facts.pods.why}",
            cure=f"allow list of pods in {facts.key.namespace}" if facts.pods.forbidden else "try again",
        )
        return
    pods = tuple(pod for pod in facts.pods if not _is_over(pod)) or facts.pods
    if not pods:
        yield _no_pods(say, facts, service)
        return
    ready = [pod for pod in pods if is_pod_ready(pod)]
    told = f"{len(ready)} of {len(pods)} pods that the selector matches are ready"
    waiting = [f"{pod.metadata.name}: {_why_not_ready(pod)}" for pod in pods if not is_pod_ready(pod)]
    if not ready:
        yield say.error(
            "NoPodReady", told, evidence=waiting, cure="kubectl describe pod says what its readiness probe found"
        )
    elif waiting:
        yield say.warning("PodsNotReady", told, evidence=waiting, cure="kubectl describe pod says why they are not")
    else:
        yield say.ok("PodsReady", told)
    yield from _named_ports(say, service, pods)
    yield from _not_in_slices(say, facts, ready)


def _is_over(pod: Pod) -> bool:
    """Whether the pod has ended, or is about to: it is no part of the Service any more."""
    return pod.metadata.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed")


def is_pod_ready(pod: Pod) -> bool:
    """Whether the pod counts as ready for Services."""
    ready = any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
    return ready and pod.metadata.deletion_timestamp is None


def _no_pods(say: Findings, facts: ServiceFacts, service: Service) -> Finding:
    elsewhere = any(map(is_ready, endpoints(slices_of(facts))))
    make = say.warning if elsewhere else say.error
    return make(
        "SelectorMatchesNothing",
        "the Service has a selector, and no pod matches it",
        evidence=(f"selector {_selector(service)}",),
        cure="remove the selector where the backends are outside of the cluster; else give the pods these labels",
    )


def _why_not_ready(pod: Pod) -> str:
    if pod.metadata.deletion_timestamp is not None:
        return "it is being deleted"
    for container in pod.status.container_statuses or ():
        for state, detail in (container.state or {}).items():
            if state != "running" and not container.ready:
                reason = (detail or {}).get("reason") or state
                return f"container {container.name}: {reason}, {container.restart_count} restarts"
        if not container.ready:
            return f"container {container.name} runs and its readiness probe has not passed"
    return f"phase {pod.status.phase or 'unknown'}"


def _named_ports(say: Findings, service: Service, pods: tuple[Pod, ...]) -> Iterator[Finding]:
    """A targetPort that is a name is looked up in the containers of each pod."""
    for port in service.spec.ports or ():
        if not isinstance(port.target_port, str):
            continue
        without = [pod.metadata.name for pod in pods if port.target_port not in _port_names(pod)]
        if without:
            yield say.error(
                "TargetPortUnknown",
                f"{len(without)} of {len(pods)} pods have no container port named {port.target_port!r}",
                evidence=without,
                cure="name the port in the pod's containers, or make targetPort its number",
            )


def _port_names(pod: Pod) -> set[str]:
    containers = (*pod.spec.containers, *(pod.spec.init_containers or ()))
    return {port.name for container in containers for port in container.ports or ()}


def _not_in_slices(say: Findings, facts: ServiceFacts, ready: list[Pod]) -> Iterator[Finding]:
    if isinstance(facts.slices, Unread):
        return
    shown = {address for one in endpoints(slices_of(facts)) if is_ready(one) for address in one.addresses}
    missing = [f"{pod.metadata.name} at {pod.status.pod_ip}" for pod in ready if not _addresses(pod) & shown]
    if missing:
        yield say.warning(
            "PodNotPublished",
            f"{len(missing)} ready pods are in no slice",
            evidence=missing,
            cure="see that kube-controller-manager runs its endpointslice-controller; it may be seconds behind",
        )


def _addresses(pod: Pod) -> set[str]:
    return {one.ip for one in pod.status.pod_ips or ()} | {pod.status.pod_ip or ""}


def _selector(service: Service) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((service.spec.selector or {}).items()))


def _say(facts: ServiceFacts, service: Service) -> Findings:
    command = kubectl("get", "pods", "-l", _selector(service), "-o", "wide", namespace=facts.key.namespace)
    return Findings(THEME, str(facts.key), command)
