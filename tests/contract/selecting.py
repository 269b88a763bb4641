"""What every Store finds by the label selectors that manifests ask for."""

from __future__ import annotations

import contextlib
from typing import Any

from extsync.config.sources import LabelSelector
from extsync.kube.store import Store, WatchType
from extsync.objects import Pod
from extsync.sources.pods.selector import selector_text
from tests.contract.cluster import Cluster

LABELS: dict[str, dict[str, str]] = {
    "bare": {},
    "blank": {"app": ""},
    "db": {"app": "db", "example.com/tier": "data"},
    "web": {"app": "web", "example.com/tier": "front"},
}


class Selecting:
    async def test_each_condition_selects_what_kubernetes_says(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            for name, labels in LABELS.items():
                cluster.post(Pod, pod_body(name, labels))
            found = {
                condition: await selected(store, cluster, condition)
                for condition in (
                    "app In db web",
                    "app In db",
                    "app NotIn db web",
                    "app NotIn db",
                    "app Exists",
                    "app DoesNotExist",
                    "example.com/tier In front nosuch",
                )
            }
            assert found == {
                "app In db web": ["db", "web"],
                "app In db": ["db"],
                "app NotIn db web": ["bare", "blank"],
                "app NotIn db": ["bare", "blank", "web"],
                "app Exists": ["blank", "db", "web"],
                "app DoesNotExist": ["bare"],
                "example.com/tier In front nosuch": ["web"],
            }
            assert await names(store, cluster, {}) == ["bare", "blank", "db", "web"]
            assert await names(store, cluster, {"matchLabels": {"app": ""}}) == ["blank"]
            both = {
                "matchLabels": {"app": "db"},
                "matchExpressions": [{"key": "example.com/tier", "operator": "Exists"}],
            }
            assert await names(store, cluster, both) == ["db"]

    async def test_a_pod_that_is_selected_no_more_is_deleted_for_those_who_watch(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            watch = store.watch(
                Pod, resource_version=None, namespace=cluster.namespace, label_selector="app in (db,web)", timeout=20.0
            )
            cluster.post(Pod, pod_body("one", {"app": "db"}))
            cluster.post(Pod, pod_body("other", {"app": "cache"}))
            async with contextlib.aclosing(watch):
                first = await anext(watch)
                assert (first.type, first.object and first.object.metadata.name) == (WatchType.ADDED, "one")
                assert (await anext(watch)).initial_end
                for app, seen in (("web", WatchType.MODIFIED), ("cache", WatchType.DELETED), ("db", WatchType.ADDED)):
                    relabel(cluster, "one", {"app": app})
                    event = await anext(watch)
                    assert event.type is seen
                    assert event.object is not None
                    assert event.object.metadata.resource_version == event.resource_version
                    # A deletion shows the object as it was when it was last selected.
                    assert event.object.labels == {"app": "web" if seen is WatchType.DELETED else app}


def pod_body(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}


def relabel(cluster: Cluster, name: str, labels: dict[str, str]) -> None:
    body = cluster.find(Pod, name)
    assert body is not None
    body["metadata"]["labels"] = labels
    cluster.put(Pod, body)


async def selected(store: Store, cluster: Cluster, condition: str) -> list[str]:
    """The names of the pods for which one expression holds."""
    key, operator, *values = condition.split()
    return await names(store, cluster, {"matchExpressions": [{"key": key, "operator": operator, "values": values}]})


async def names(store: Store, cluster: Cluster, selector: dict[str, Any]) -> list[str]:
    text = selector_text(LabelSelector.model_validate(selector))
    listing = await store.list(Pod, namespace=cluster.namespace, label_selector=text)
    return [pod.metadata.name for pod in listing.items]
