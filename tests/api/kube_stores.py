"""Stores on the control plane of the tests, and the objects that are put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from extsync.kube.access import load_access
from extsync.kube.api import KubeStore
from extsync.objects import (
    EndpointAddress,
    EndpointConditions,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    ObjectMeta,
    SliceEndpoint,
    SlicePort,
)
from extsync.seams import SystemClock, SystemDialer


@asynccontextmanager
async def kube_store(kubeconfig: Path, **options: Any) -> AsyncIterator[KubeStore]:
    """A KubeStore with the rights that ``kubeconfig`` gives."""
    clock = SystemClock()
    access = await load_access(clock=clock, kubeconfig_path=str(kubeconfig), environ={})
    store = KubeStore(access, clock=clock, dialer=SystemDialer(), **options)
    try:
        yield store
    finally:
        await store.close()


def a_slice(namespace: str, name: str = "orders-1", *addresses: str) -> EndpointSlice:
    """A slice with one ready endpoint per address."""
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={"app": "orders"}),
        address_type="IPv4",
        endpoints=tuple(
            SliceEndpoint(addresses=(address,), conditions=EndpointConditions(ready=True))
            for address in addresses or ("192.0.2.1",)
        ),
        ports=(SlicePort(name="mysql", port=3306, protocol="TCP"),),
    )


def some_endpoints(namespace: str, name: str = "orders", *addresses: str) -> Endpoints:
    """Endpoints with one ready address each."""
    return Endpoints(
        metadata=ObjectMeta(name=name, namespace=namespace),
        subsets=(
            EndpointSubset(
                addresses=tuple(EndpointAddress(ip=address) for address in addresses or ("192.0.2.1",)),
                ports=(EndpointPort(name="mysql", port=3306),),
            ),
        ),
    )


def a_service(namespace: str, name: str = "orders", **spec: Any) -> dict[str, Any]:
    """A Service as it is applied."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": "mysql", "port": 3306, "protocol": "TCP"}], **spec},
    }
