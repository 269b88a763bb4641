"""An instance's metadata under the names that Prometheus gives it. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#consul_sd_config
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from extsync.sources.consul.wire import Entry

PREFIX: Final = "__meta_consul_"
NODE: Final = "__meta_consul_node"

Labels: TypeAlias = tuple[tuple[str, str], ...]

_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")


def labels_of(entry: Entry, *, service: str, health: str, tag_separator: str) -> Labels:
    """The labels of an instance of ``service``, sorted by name. A label without a value is left out: it means the same.

    The tags have the separator at both ends too, so that a pattern need not mind where a tag stands.
    """
    node, instance = entry.node, entry.service
    port = instance.port
    found = {
        "__meta_consul_address": node.address,
        "__meta_consul_dc": node.datacenter,
        "__meta_consul_health": health,
        "__meta_consul_namespace": instance.namespace,
        NODE: node.node,
        "__meta_consul_partition": instance.partition,
        "__meta_consul_service": service,
        "__meta_consul_service_address": instance.address,
        "__meta_consul_service_id": instance.id,
        "__meta_consul_service_port": "0" if port is None else str(port),
        "__meta_consul_tags": tag_separator + tag_separator.join(instance.tags or ()) + tag_separator,
    }
    _add(found, "metadata", node.meta)
    _add(found, "service_metadata", instance.meta)
    _add(found, "tagged_address", node.tagged_addresses)
    return tuple([(name, value) for name, value in sorted(found.items()) if value])


def _add(found: dict[str, str | None], kind: str, values: Mapping[str, str | None] | None) -> None:
    for key, value in sorted((values or {}).items()):
        found[_name(kind, key)] = value


@lru_cache(maxsize=1024)
def _name(kind: str, key: str) -> str:
    """The name of a label made of a key that anybody may have chosen."""
    return f"{PREFIX}{kind}_{_NOT_IN_A_NAME.sub('_', key)}"
