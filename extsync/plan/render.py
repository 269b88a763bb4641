"""Render: one endpoint as a slice shows it."""

from __future__ import annotations

import msgspec

from extsync.model import Endpoint, State
from extsync.objects import EndpointConditions, EndpointHints, HintFor, Service, SliceEndpoint

_SAME_ZONE = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})
_SAME_NODE = "PreferSameNode"


class Rendering(msgspec.Struct, frozen=True):
    """What of the Service shows in its endpoints."""

    traffic_distribution: str | None = None
    publish_not_ready: bool = False

    @classmethod
    def of(cls, service: Service) -> Rendering:
        return cls(service.spec.traffic_distribution, bool(service.spec.publish_not_ready_addresses))

    @property
    def wants_hints(self) -> bool:
        """Whether endpoints are to carry topology hints."""
        return self.traffic_distribution in _SAME_ZONE


# The table of conditions (ready, serving, terminating). kube-proxy never reads publishNotReadyAddresses: whoever
# writes a slice of such a Service has to say ready for every endpoint; ``serving`` keeps the truth.
_CONDITIONS = {
    (State.READY, False): EndpointConditions(True, True, False),
    (State.NOT_READY, False): EndpointConditions(False, False, False),
    (State.DRAINING, False): EndpointConditions(False, True, True),
    (State.READY, True): EndpointConditions(True, True, False),
    (State.NOT_READY, True): EndpointConditions(True, False, False),
    (State.DRAINING, True): EndpointConditions(True, True, True),
}


def render(endpoint: Endpoint, rendering: Rendering) -> SliceEndpoint:
    """``endpoint`` with its conditions, and with hints where the Service asks for a traffic distribution."""
    conditions = _CONDITIONS[endpoint.state, rendering.publish_not_ready]
    return SliceEndpoint(
        addresses=(endpoint.address,),
        conditions=conditions,
        hostname=endpoint.hostname,
        target_ref=endpoint.target_ref,
        node_name=endpoint.node_name,
        zone=endpoint.zone,
        hints=_hints(endpoint, rendering) if rendering.traffic_distribution and conditions.ready else None,
    )


def _hints(endpoint: Endpoint, rendering: Rendering) -> EndpointHints | None:
    """kube-proxy does not read trafficDistribution: it follows the hints of whoever manages the slice."""
    if not rendering.wants_hints:
        return None
    zone = (HintFor(endpoint.zone),) if endpoint.zone else None
    to_nodes = rendering.traffic_distribution == _SAME_NODE
    node = (HintFor(endpoint.node_name),) if to_nodes and endpoint.node_name else None
    return EndpointHints(for_zones=zone, for_nodes=node) if zone or node else None
