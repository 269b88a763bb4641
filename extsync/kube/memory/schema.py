"""What the API server's schema demands of a Service that is applied, before anything else is looked at."""

from __future__ import annotations

from typing import Any

from extsync.errors import Unavailable
from extsync.kube.memory.metadata import Json
from extsync.kube.memory.problems import Problems

_SPEC_FIELDS = frozenset(
    {
        "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs", "externalIPs", "externalName",
        "externalTrafficPolicy", "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy",
        "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "ports", "publishNotReadyAddresses",
        "selector", "sessionAffinity", "sessionAffinityConfig", "trafficDistribution", "type",
    }
)  # fmt: skip
_PORT_FIELDS = frozenset({"name", "protocol", "appProtocol", "port", "targetPort", "nodePort"})


def check_applied(body: Json) -> None:
    """Refuses what no typed patch can be made of: unknown fields, and list items that are there twice.

    Raises Unavailable, since the API server's answer is a 500.
    """
    problems = Problems()
    metadata, spec = body["metadata"], body.get("spec", {})
    ports = spec.get("ports", [])
    _check_names(spec, _SPEC_FIELDS, ".spec", problems)
    for port in ports:
        _check_names(port, _PORT_FIELDS, ".spec.ports", problems)
    _check_keys([(port["port"], port.get("protocol", "TCP")) for port in ports], ".spec.ports", problems)
    _check_keys([owner["uid"] for owner in metadata.get("ownerReferences", ())], ".metadata.ownerReferences", problems)
    _check_keys(metadata.get("finalizers", []), ".metadata.finalizers", problems)
    if problems.text:
        raise Unavailable(f"failed to create typed patch object: {problems.text}")


def _check_names(fields: Json, known: frozenset[str], path: str, problems: Problems) -> None:
    for name in fields:
        if name not in known:
            problems.add(f"{path}.{name}", "field not declared in schema")


def _check_keys(keys: list[Any], path: str, problems: Problems) -> None:
    if len(set(keys)) < len(keys):
        problems.add(path, "duplicate entries for a key")
