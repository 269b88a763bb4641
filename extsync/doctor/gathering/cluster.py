"""What concerns no single Service: nodes, kube-proxy, DNS, ranges of addresses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

from extsync.config.strict_yaml import read_yaml
from extsync.config.text import UnreadableText
from extsync.doctor.facts import DnsFacts, ProxyFacts, Seen, Unread
from extsync.doctor.gathering.asking import Asking
from extsync.doctor.kinds import ConfigMap, DaemonSet, Node
from extsync.objects import SERVICE_NAME_LABEL, EndpointSlice, Service

SYSTEM: Final = "kube-system"
"""Where kubeadm and most distributions have kube-proxy and DNS."""

MOST_TEXT: Final = 64 << 10
"""Characters of a configuration that are read."""

_DOMAIN: Final = re.compile(r"^\s*kubernetes\s+([a-z0-9][-a-z0-9.]*)", re.MULTILINE)


async def read_nodes(asking: Asking) -> Seen[tuple[Node, ...]]:
    """All nodes."""
    return await asking.list(Node)


async def read_proxy(asking: Asking) -> ProxyFacts:
    """kube-proxy as kubeadm sets it up."""
    daemon, config = await asyncio.gather(
        asking.get(DaemonSet, SYSTEM, "kube-proxy"), asking.get(ConfigMap, SYSTEM, "kube-proxy")
    )
    return ProxyFacts(daemon=daemon, configuration=_configuration(config))


def _configuration(config: Seen[ConfigMap | None]) -> Seen[Mapping[str, object] | None]:
    if config is None or isinstance(config, Unread):
        return config
    text = next((text for name, text in (config.data or {}).items() if name in ("config.conf", "config")), None)
    if text is None:
        return None
    read = _parsed(text)
    return Unread("its ConfigMap is no KubeProxyConfiguration") if read is None else read


def _parsed(text: str) -> dict[str, Any] | None:
    """A YAML mapping; None where it is none."""
    try:
        found = next(read_yaml(text[:MOST_TEXT]), None)
    except UnreadableText:
        return None
    return found.data if found is not None and isinstance(found.data, dict) else None


async def read_dns(asking: Asking) -> DnsFacts:
    """The cluster's DNS, which every common distribution calls kube-dns for the sake of programs."""
    service, slices, config = await asyncio.gather(
        asking.get(Service, SYSTEM, "kube-dns"),
        asking.list(EndpointSlice, namespace=SYSTEM, selector=f"{SERVICE_NAME_LABEL}=kube-dns"),
        asking.get(ConfigMap, SYSTEM, "coredns"),
    )
    ready = sum(
        one.conditions.ready is not False
        for slice_ in (slices if isinstance(slices, tuple) else ())
        for one in slice_.endpoints or ()
    )
    text = (config.data or {}).get("Corefile", "") if isinstance(config, ConfigMap) else ""
    domain = _DOMAIN.search(text[:MOST_TEXT])
    seen: Seen[str]
    if isinstance(service, Unread) or isinstance(slices, Unread):
        seen = service if isinstance(service, Unread) else slices if isinstance(slices, Unread) else ""
    else:
        seen = "" if service is None else service.spec.cluster_ip or "no address"
    return DnsFacts(service=seen, ready=ready, domain="" if domain is None else domain[1])
