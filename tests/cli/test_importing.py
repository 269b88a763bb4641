"""``extsync import`` against the in-memory store: what is printed, what is said and how it ends."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import yaml

import extsync.cli.importing
from extsync.cli.main import main
from extsync.cli.objects import plain
from extsync.cli.world import world_of
from extsync.config.settings import Settings
from extsync.engine.world import World
from extsync.kube.memory import MemoryStore
from extsync.objects import (
    SERVICE_NAME_LABEL,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    KubeObject,
    ObjectMeta,
    Service,
    ServicePort,
    ServiceSpec,
    SliceEndpoint,
    SlicePort,
)
from extsync.seams import SystemClock, SystemRandom


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The cluster that every command of the test finds."""
    store = MemoryStore(clock=SystemClock(), random=SystemRandom(), namespaces=("default", "shop"))

    @asynccontextmanager
    async def cluster(args: argparse.Namespace, settings: Settings) -> AsyncIterator[World]:
        yield world_of(store)

    monkeypatch.setattr(extsync.cli.importing, "cluster", cluster)
    return store


def service(name: str = "orders", namespace: str = "default", **spec: object) -> Service:
    ports = (ServicePort(name="mysql", port=3306),)
    metadata = ObjectMeta(name=name, namespace=namespace)
    return Service(metadata=metadata, spec=ServiceSpec(ports=ports, **spec))  # type: ignore[arg-type]


def by_hand(*addresses: str, name: str = "orders", namespace: str = "default") -> Endpoints:
    subset = EndpointSubset(
        addresses=tuple(EndpointAddress(ip=address) for address in addresses),
        ports=(EndpointPort(name="mysql", port=3306),),
    )
    return Endpoints(metadata=ObjectMeta(name=name, namespace=namespace), subsets=(subset,))


def put(store: MemoryStore, *objects: KubeObject) -> None:
    for obj in objects:
        store.put(type(obj), plain(obj))


def manifests(text: str) -> list[tuple[str, list[str]]]:
    """Name and addresses of each manifest."""
    return [
        (
            f"{document['metadata']['namespace']}/{document['metadata']['name']}",
            [one["address"] for one in document["spec"]["sources"][0]["static"]["backends"]],
        )
        for document in yaml.safe_load_all(text)
    ]


@pytest.mark.parametrize(
    "words", [["endpoints/orders"], ["ep/orders"], ["service/orders"], ["svc", "orders"], ["ep/orders", "svc/orders"]]
)
def test_one_service_by_any_of_its_names(
    store: MemoryStore, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    put(store, service(), by_hand("192.0.2.1"))
    assert main(["import", *words]) == 0
    said = capsys.readouterr()
    assert manifests(said.out) == [("default/orders", ["192.0.2.1"])]
    assert said.out.splitlines()[:3] == [
        "---",
        "# Imported from Endpoints orders. The Service itself stays as it is.",
        "# Without checks each endpoint is as ready as it is declared here.",
    ]
    assert said.err == ""


def test_nothing_is_written(store: MemoryStore) -> None:
    put(store, service(), by_hand("192.0.2.1"))
    before = [store.dump(kind, "default") for kind in (Service, Endpoints, EndpointSlice)]
    assert main(["import", "--all"]) == 0
    assert [store.dump(kind, "default") for kind in (Service, Endpoints, EndpointSlice)] == before


def test_all_of_a_namespace_and_of_all_of_them_passes_over_what_others_keep(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, service("a"), by_hand("192.0.2.1", name="a"))
    put(store, service("b"), by_hand("192.0.2.2", name="b"))
    put(store, service("c", "shop"), by_hand("192.0.2.3", name="c", namespace="shop"))
    put(store, service("pods", selector={"app": "pods"}))
    assert main(["import", "--all"]) == 0
    said = capsys.readouterr()
    assert manifests(said.out) == [("default/a", ["192.0.2.1"]), ("default/b", ["192.0.2.2"])]
    assert said.err == "extsync: 1 Service with nothing hand-written passed over; -v names them\n"
    assert main(["import", "-A", "-v"]) == 0
    said = capsys.readouterr()
    assert [name for name, _ in manifests(said.out)] == ["default/a", "default/b", "shop/c"]
    assert "passed over: default/pods: it has a selector" in said.err


def test_one_that_cannot_be_imported_is_told_of_and_the_others_are(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, service("a"), by_hand("192.0.2.1", name="a"))
    put(store, service("pods", selector={"app": "pods"}))
    assert main(["import", "ep/pods", "ep/gone", "ep/a"]) == 1
    said = capsys.readouterr()
    assert manifests(said.out) == [("default/a", ["192.0.2.1"])]
    assert said.err.splitlines() == [
        "extsync: error: default/pods: it has a selector: Kubernetes itself keeps its Endpoints and slices",
        "extsync: error: default/gone: there is no Service of that name: create it first, "
        "since Kubernetes deletes such Endpoints",
    ]


def test_what_would_change_is_said_and_written_above_the_manifest(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    slice_ = EndpointSlice(
        metadata=ObjectMeta(name="by-hand", namespace="default", labels={SERVICE_NAME_LABEL: "orders"}),
        address_type="IPv4",
        endpoints=(SliceEndpoint(addresses=("192.0.2.1",), zone="rack 7"),),
        ports=(SlicePort(name="mysql", port=3306),),
    )
    put(store, service(), slice_)
    assert main(["import", "ep/orders"]) == 1
    said = capsys.readouterr()
    [line] = [line for line in said.out.splitlines() if line.startswith("# Changes")]
    assert line.startswith("# Changes what is published: EndpointSlice by-hand, 192.0.2.1:3306: its zone 'rack 7'")
    assert said.err.startswith("extsync: change: default/orders: EndpointSlice by-hand, 192.0.2.1:3306: its zone")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "say what to import"),
        (["ep"], "ep of what name?"),
        (["orders"], "'orders' is not endpoints/NAME"),
        (["endpointslice/orders-1"], "is named by its Endpoints or Service"),
        (["ep/a/b"], "is not endpoints/NAME"),
        (["--all", "ep/orders"], "--all imports everything: leave out ep/orders"),
        (["-A", "-n", "shop"], "leave one out"),
        (["ep/orders", "-n", "Shop"], "--namespace 'Shop'"),
    ],
)
def test_a_wrong_command_line_says_what_would_be_right(
    store: MemoryStore, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert main(["import", *words]) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert said.out == ""
