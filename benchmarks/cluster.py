"""A real API server for the benchmarks, and the Services, Endpoints and manifests that are put into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from benchmarks.servers import MissingError
from extsync.kube.access import load_access
from extsync.kube.api import KubeStore
from extsync.objects import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    KubeObject,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
)
from extsync.seams import SystemClock, SystemDialer
from tests.cluster import assets
from tests.cluster.control_plane import ControlPlane

FILLING = 16
"""Requests at once while objects are put there."""

PORT = 80


@contextlib.contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """etcd and an API server; of the controllers the mirroring one alone, which is not started yet.

    It works without client limits and with its default of five workers. Raises MissingError.
    """
    found = assets.state()
    if isinstance(found, assets.Buildable):
        try:
            assets.build(found.directory)
        except subprocess.SubprocessError as error:
            raise MissingError("the control plane could not be built; see above") from error
    if isinstance(found, assets.Unavailable):
        raise MissingError(found.reason)
    with ControlPlane(
        found.directory,
        controllers=("endpointslice-mirroring-controller",),
        manager_flags=("--kube-api-qps=-1", "--kube-api-burst=-1"),
    ) as running:
        running.stop_manager()
        yield running


@contextlib.asynccontextmanager
async def store(plane: ControlPlane, kind: type[KubeStore] = KubeStore) -> AsyncIterator[KubeStore]:
    """A store with all rights; ``kind`` is its class."""
    clock = SystemClock()
    access = await load_access(clock=clock, kubeconfig_path=str(plane.kubeconfig()), environ={})
    opened = kind(access, clock=clock, dialer=SystemDialer())
    try:
        yield opened
    finally:
        await opened.close()


async def fill(plane: ControlPlane, namespace: str, services: int, *, endpoints_each: int = 0) -> None:
    """Makes a namespace with Services without a selector and, where wanted, hand-written Endpoints for each."""
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    turns = asyncio.Semaphore(FILLING)
    async with store(plane) as api, asyncio.TaskGroup() as tasks:

        async def put(*objects: KubeObject) -> None:
            async with turns:
                for obj in objects:
                    await api.create(obj, timeout=60.0)

        for number in range(services):
            objects: list[KubeObject] = [_service(namespace, number)]
            if endpoints_each:
                objects.append(_endpoints(namespace, number, endpoints_each))
            tasks.create_task(put(*objects))


def _service(namespace: str, number: int) -> Service:
    # Headless, so that no time goes into finding it an address; of one family, or it would have slices for each.
    spec = ServiceSpec(
        cluster_ip="None",
        ip_families=("IPv4",),
        ip_family_policy="SingleStack",
        ports=(ServicePort(name="tcp", port=PORT),),
    )
    return Service(metadata=ObjectMeta(name=name_of(number), namespace=namespace), spec=spec)


def _endpoints(namespace: str, number: int, each: int) -> Endpoints:
    addresses = tuple(EndpointAddress(ip=address_of(number, index)) for index in range(each))
    return Endpoints(
        metadata=ObjectMeta(name=name_of(number), namespace=namespace),
        subsets=(EndpointSubset(addresses=addresses, ports=(EndpointPort(name="tcp", port=PORT),)),),
    )


def name_of(number: int) -> str:
    """The name of a Service."""
    return f"service-{number}"


def address_of(number: int, index: int) -> str:
    """The address that a Service publishes for one of its endpoints."""
    return f"10.{number >> 8}.{number & 255}.{index + 1}"


def write_manifests(
    folder: Path, namespace: str, services: int, each: int, probes: Iterator[dict[str, Any]] | None = None, **spec: Any
) -> None:
    """A file for each Service, with static backends; ``probes`` says where each of them is probed."""
    folder.mkdir()
    for number in range(services):
        backends: list[dict[str, Any]] = [{"address": address_of(number, index)} for index in range(each)]
        if probes is not None:
            backends = [{**backend, "probe": next(probes)} for backend in backends]
        manifest = {
            "apiVersion": "extsync.dev/v1alpha1",
            "kind": "ExternalService",
            "metadata": {"name": name_of(number), "namespace": namespace},
            "spec": {
                "publish": ["EndpointSlice"],
                "ports": [{"name": "tcp", "port": PORT}],
                "sources": [{"name": "rack", "static": {"backends": backends}}],
                **spec,
            },
        }
        (folder / f"{name_of(number)}.json").write_text(json.dumps(manifest))
