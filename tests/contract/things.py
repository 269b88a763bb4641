"""Objects for the contract's tests, in a namespace to be named."""

from __future__ import annotations

from typing import Any

from extsync.objects import (
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    ObjectMeta,
    OwnerReference,
    Service,
    SliceEndpoint,
    SlicePort,
)

Json = dict[str, Any]


def slice_of(namespace: str, name: str = "one", *addresses: str, **metadata: Any) -> EndpointSlice:
    """A slice with ready endpoints."""
    ready = EndpointConditions(ready=True, serving=True, terminating=False)
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace=namespace, **metadata),
        address_type="IPv4",
        endpoints=tuple(SliceEndpoint(addresses=(address,), conditions=ready) for address in addresses),
        ports=(SlicePort(name="http", protocol="TCP", port=80),),
    )


def endpoints_of(namespace: str, name: str = "one", *addresses: str, **metadata: Any) -> Endpoints:
    """Endpoints with one subset of ready addresses."""
    subset = EndpointSubset(
        addresses=tuple(EndpointAddress(ip=address) for address in addresses),
        ports=(EndpointPort(name="http", port=80, protocol="TCP"),),
    )
    return Endpoints(
        metadata=ObjectMeta(name=name, namespace=namespace, **metadata), subsets=(subset,) if addresses else None
    )


def service_body(namespace: str, name: str = "one", *, labels: Json | None = None, **spec: Any) -> Json:
    """A Service as it is applied."""
    metadata = {"name": name, "namespace": namespace} | ({"labels": labels} if labels is not None else {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "http", "port": 80}], **spec},
    }


def owned_by(service: Service) -> tuple[OwnerReference, ...]:
    """The reference by which an object goes with ``service``."""
    uid = service.metadata.uid
    assert uid is not None
    return (
        OwnerReference(
            api_version="v1",
            kind="Service",
            name=service.metadata.name,
            uid=uid,
            controller=True,
            block_owner_deletion=True,
        ),
    )
