"""From pods to backends, by the rules of Kubernetes's endpoint slice controller. Pure.

https://github.com/kubernetes/endpointslice (ShouldPodBeInEndpoints, podToEndpoint). Two things differ. A pod on a node
that is not known is published without a zone, where upstream leaves the pod out: extsync may have no right to nodes.
And ``spec.hostname`` is published whatever ``spec.subdomain`` says, where upstream asks that it be the Service's name:
the Service of the manifest is seldom the one that a StatefulSet names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from extsync.addresses import check_address
from extsync.model import Backend, Rejected, TargetRef
from extsync.objects import Pod
from extsync.sources.pods.labels import labels_of, with_address

TERMINAL: Final = ("Succeeded", "Failed")
"""Phases of a pod that has ended; its address may be another pod's by now."""


class Entry(msgspec.Struct, frozen=True):
    """What one pod comes to: a backend for each of its addresses, and those addresses that cannot be used.

    ``rank`` orders pods that share an address, as those of the host's network do, and one that ends and the one that
    gets its address next: what is ready counts before what is not, and that before what is terminating.
    """

    backends: tuple[Backend, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    rank: int = 0


class Roster:
    """The entries of pods; a pod that has not changed since the last call costs next to nothing."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[Pod, str | None, Entry]] = {}

    def entries(self, pods: Iterable[Pod], zones: Mapping[str, str | None]) -> list[Entry]:
        """The entry of each pod, by rank and then in their order; ``zones`` are those of the nodes, by name."""
        made: dict[tuple[str, str], tuple[Pod, str | None, Entry]] = {}
        for pod in pods:
            zone = zones.get(pod.spec.node_name or "")
            known = self._made.get(pod.key)
            if known is None or known[0] is not pod or known[1] != zone:
                known = (pod, zone, entry_of(pod, zone))
            made[pod.key] = known
        self._made = made
        return sorted((entry for _, _, entry in made.values()), key=lambda entry: entry.rank)


def entry_of(pod: Pod, zone: str | None) -> Entry:
    """What ``pod`` comes to; nothing where it has ended or has no address yet."""
    if pod.status.phase in TERMINAL:
        return Entry()
    ready = next((one.status for one in pod.status.conditions or () if one.type == "Ready"), "Unknown")
    labels = labels_of(pod, ready)
    terminating = pod.metadata.deletion_timestamp is not None
    backends: list[Backend] = []
    rejected: list[Rejected] = []
    for text in _addresses(pod):
        try:
            address = check_address(text)
        except ValueError as error:
            rejected.append(Rejected(f"pod {pod.metadata.name}", str(error)))
            continue
        backends.append(
            Backend(
                address=address,
                hostname=pod.spec.hostname or None,
                node_name=pod.spec.node_name or None,
                zone=zone,
                drain=terminating,
                ready=ready == "True",
                target_ref=_target_ref(pod),
                labels=with_address(labels, address),
            )
        )
    return Entry(tuple(backends), tuple(rejected), 2 if terminating else int(ready != "True"))


def _addresses(pod: Pod) -> Iterable[str]:
    """One of each family at most; what sets only the older field has one address."""
    status = pod.status
    if status.pod_ips:
        return [one.ip for one in status.pod_ips]
    return [status.pod_ip] if status.pod_ip else []


def _target_ref(pod: Pod) -> TargetRef:
    metadata = pod.metadata
    return TargetRef(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid)
