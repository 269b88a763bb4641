"""The metadata of a pod under the names that Prometheus's kubernetes_sd gives it (role ``pod``).

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod. Labels of containers and their ports are
not among them: a backend is a pod, and its ports are those of the Service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from extsync.objects import Pod

Labels: TypeAlias = tuple[tuple[str, str], ...]

_POD: Final = "__meta_kubernetes_pod_"
_NAMESPACE: Final = "__meta_kubernetes_namespace"
_NAME: Final = _POD + "name"
_UID: Final = _POD + "uid"
_IP: Final = _POD + "ip"
_READY: Final = _POD + "ready"
_PHASE: Final = _POD + "phase"
_NODE_NAME: Final = _POD + "node_name"
_HOST_IP: Final = _POD + "host_ip"
_CONTROLLER_KIND: Final = _POD + "controller_kind"
_CONTROLLER_NAME: Final = _POD + "controller_name"
_NO_LETTER: Final = re.compile(r"[^a-zA-Z0-9_]")


def labels_of(pod: Pod, ready: str) -> dict[str, str]:
    """The labels of ``pod`` but its address; ``ready`` is the status of its condition Ready."""
    spec, status = pod.spec, pod.status
    labels = {
        _NAMESPACE: pod.metadata.namespace,
        _NAME: pod.metadata.name,
        _UID: pod.metadata.uid or "",
        _READY: ready.lower(),
        _PHASE: status.phase or "",
        _NODE_NAME: spec.node_name or "",
        _HOST_IP: status.host_ip or "",
    }
    labels.update(_each("label", pod.labels))
    labels.update(_each("annotation", pod.annotations))
    for owner in pod.metadata.owner_references or ():
        if owner.controller:
            labels |= {_CONTROLLER_KIND: owner.kind, _CONTROLLER_NAME: owner.name}
    return labels


def with_address(labels: Mapping[str, str], address: str) -> Labels:
    """All labels of a backend, sorted. Of a pod with two addresses each backend has its own."""
    return tuple(sorted({**labels, _IP: address}.items()))


def _each(what: str, entries: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Two labels for each entry: its value, and that it is there at all."""
    for key, value in sorted(entries.items()):
        name, presence = _names(what, key)
        yield name, value
        yield presence, "true"


@lru_cache(maxsize=4096)
def _names(what: str, key: str) -> tuple[str, str]:
    """The names of both; all pods share them."""
    name = _NO_LETTER.sub("_", key)
    return f"{_POD}{what}_{name}", f"{_POD}{what}present_{name}"
