"""What every Store does with objects: reading, creating, updating and deleting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from extsync.errors import AlreadyExists, Conflict, Invalid, NotFound, Terminating, Unavailable
from extsync.objects import (
    Endpoints,
    EndpointSlice,
    Event,
    KubeObject,
    Lease,
    LeaseSpec,
    ObjectMeta,
    ObjectReference,
    OwnerReference,
    Service,
    ServicePort,
    ServiceSpec,
    SlicePort,
)
from tests.contract.cluster import Cluster, eventually
from tests.contract.things import endpoints_of, service_body, slice_of

A_THING = OwnerReference(api_version="example.com/v1", kind="Thing", name="a", uid="1")

OF_EACH_KIND: dict[str, Callable[[str], KubeObject]] = {
    "EndpointSlice": lambda namespace: slice_of(namespace, "one", "192.0.2.1"),
    "Endpoints": lambda namespace: endpoints_of(namespace, "one", "192.0.2.1"),
    "Service": lambda namespace: Service(
        metadata=ObjectMeta(name="one", namespace=namespace), spec=ServiceSpec(ports=(ServicePort(port=80),))
    ),
    "Lease": lambda namespace: Lease(
        metadata=ObjectMeta(name="one", namespace=namespace), spec=LeaseSpec(holder_identity="a")
    ),
    "Event": lambda namespace: Event(
        metadata=ObjectMeta(name="one", namespace=namespace),
        involved_object=ObjectReference(kind="Service", namespace=namespace, name="one"),
        reason="Testing",
    ),
}
each_kind = pytest.mark.parametrize("make", OF_EACH_KIND.values(), ids=OF_EACH_KIND.keys())


class Reading:
    async def test_an_object_is_read_as_the_answer_to_its_create_showed_it(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            created = await store.create(slice_of(cluster.namespace, "one", "192.0.2.1"))
            assert await store.get(EndpointSlice, cluster.namespace, "one") == created

    async def test_a_missing_object_is_not_found(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(NotFound):
                await store.get(EndpointSlice, cluster.namespace, "none")

    async def test_a_list_has_the_objects_of_its_namespace_by_name(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            for name in ("b", "c", "a"):
                await store.create(slice_of(cluster.namespace, name))
            listing = await store.list(EndpointSlice, namespace=cluster.namespace)
            assert [item.metadata.name for item in listing.items] == ["a", "b", "c"]
            assert (await store.list(EndpointSlice, namespace="elsewhere")).items == ()

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("app=db", ["a", "b"]),
            ("app==db,tier=1", ["a"]),
            ("app!=db", ["c", "d"]),
            ("app in (db, web)", ["a", "b", "c"]),
            ("tier notin (1)", ["b", "c", "d"]),
            ("tier", ["a", "b"]),
            ("!app", ["d"]),
        ],
    )
    async def test_a_list_can_select_by_labels(self, cluster: Cluster, selector: str, names: list[str]) -> None:
        labels = {"a": {"app": "db", "tier": "1"}, "b": {"app": "db", "tier": "2"}, "c": {"app": "web"}, "d": {}}
        async with cluster.open() as store:
            for name, given in labels.items():
                await store.create(slice_of(cluster.namespace, name, labels=given))
            found = await store.list(EndpointSlice, namespace=cluster.namespace, label_selector=selector)
            assert [item.metadata.name for item in found.items] == names


class Creating:
    async def test_the_store_gives_uid_version_and_creation_time(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            created = await store.create(slice_of(cluster.namespace))
            metadata = created.metadata
            assert metadata.uid
            assert int(metadata.resource_version or "") > 0
            assert (metadata.creation_timestamp or "")[-1] == "Z"

    async def test_a_taken_name_is_refused(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.create(slice_of(cluster.namespace))
            with pytest.raises(AlreadyExists):
                await store.create(slice_of(cluster.namespace))

    async def test_a_missing_namespace_is_not_found(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(NotFound):
                await store.create(slice_of(f"{cluster.namespace}-none"))

    async def test_a_terminating_namespace_takes_nothing_new(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            held = await store.create(slice_of(cluster.namespace, "held", finalizers=("example.com/hold",)))
            cluster.terminate()
            with pytest.raises(Terminating):
                await store.create(slice_of(cluster.namespace))
            held = await store.get(EndpointSlice, cluster.namespace, "held")
            await eventually(cluster, lambda: is_being_deleted(cluster, "held"))
            held = await store.get(EndpointSlice, cluster.namespace, "held")
            await store.update(replace(held, metadata=replace(held.metadata, finalizers=None)))

    async def test_a_generated_name_has_its_prefix(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            created = await store.create(slice_of(cluster.namespace, "", generate_name="prefix-"))
            assert created.metadata.name.startswith("prefix-")
            assert len(created.metadata.name) == len("prefix-") + 5

    @each_kind
    async def test_every_kind_that_extsync_writes_can_be_made_and_changed(
        self, cluster: Cluster, make: Callable[[str], KubeObject]
    ) -> None:
        async with cluster.open() as store:
            created = await store.create(make(cluster.namespace))
            changed = replace(created, metadata=replace(created.metadata, labels={"app": "db"}))
            assert (await store.update(changed)).labels == {"app": "db"}

    async def test_a_version_in_an_object_to_be_created_is_an_error_of_the_server(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(Unavailable):
                await store.create(slice_of(cluster.namespace, resource_version="1"))


class Updating:
    async def test_a_stale_version_is_a_conflict_and_changes_nothing(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            first = await store.create(slice_of(cluster.namespace, "one", "192.0.2.1"))
            second = await store.update(replace(first, endpoints=()))
            with pytest.raises(Conflict):
                await store.update(replace(first, endpoints=()))
            assert await store.get(EndpointSlice, cluster.namespace, "one") == second

    @each_kind
    async def test_another_uid_is_a_conflict(self, cluster: Cluster, make: Callable[[str], KubeObject]) -> None:
        async with cluster.open() as store:
            first = await store.create(make(cluster.namespace))
            if isinstance(first, Endpoints):  # a controller deletes those that are made again without a Service
                await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            cluster.remove(type(first), "one")
            second = await store.create(make(cluster.namespace))
            version = second.metadata.resource_version
            with pytest.raises(Conflict):
                await store.update(replace(first, metadata=replace(first.metadata, resource_version=version)))

    @each_kind
    async def test_a_missing_object_is_not_found(self, cluster: Cluster, make: Callable[[str], KubeObject]) -> None:
        async with cluster.open() as store:
            created = await store.create(make(cluster.namespace))
            cluster.remove(type(created), "one")
            with pytest.raises(NotFound):
                await store.update(created)

    @pytest.mark.parametrize("missing", ["uid", "resource_version"])
    async def test_uid_and_version_are_required(self, cluster: Cluster, missing: str) -> None:
        async with cluster.open() as store:
            created = await store.create(slice_of(cluster.namespace))
            without = replace(created.metadata, **{missing: None})
            with pytest.raises(Invalid):
                await store.update(replace(created, metadata=without))

    @each_kind
    async def test_an_update_that_changes_nothing_is_no_write(
        self, cluster: Cluster, make: Callable[[str], KubeObject]
    ) -> None:
        async with cluster.open() as store:
            created = await store.create(make(cluster.namespace))
            assert await store.update(created) == created

    async def test_the_generation_of_a_slice_counts_changes_of_content_and_labels(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace, "one", "192.0.2.1"))
            generations = [obj.metadata.generation]
            for content in ({"endpoints": ()}, {"ports": ()}):
                obj = await store.update(replace(obj, **content))
                generations.append(obj.metadata.generation)
            about = {"labels": {"app": "db"}, "annotations": {"note": "x"}, "owner_references": (A_THING,)}
            for name, value in about.items():
                obj = await store.update(replace(obj, metadata=replace(obj.metadata, **{name: value})))
                generations.append(obj.metadata.generation)
            assert generations == [1, 2, 3, 4, 4, 4]

    async def test_endpoints_have_no_generation(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            created = await store.create(endpoints_of(cluster.namespace, "one", "192.0.2.1"))
            updated = await store.update(replace(created, subsets=None))
            assert (created.metadata.generation, updated.metadata.generation) == (None, None)

    async def test_fields_that_extsync_does_not_know_survive(self, cluster: Cluster) -> None:
        target = {"kind": "Pod", "name": "a", "fieldPath": "spec", "resourceVersion": "7"}
        body = {
            "metadata": {"name": "one"},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.1"], "targetRef": target}],
            "ports": [],
        }
        async with cluster.open() as store:
            cluster.post(EndpointSlice, body)
            obj = await store.get(EndpointSlice, cluster.namespace, "one")
            await store.update(replace(obj, ports=(SlicePort(port=80),)))
            stored = cluster.find(EndpointSlice, "one")
            assert stored is not None
            assert stored["endpoints"][0]["targetRef"] == target

    async def test_lists_without_items_are_read_as_none(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(replace(slice_of(cluster.namespace), endpoints=(), ports=()))
            assert (obj.endpoints, obj.ports) == (None, None)
            stored = cluster.find(EndpointSlice, "one")
            assert stored is not None
            assert (stored["endpoints"], stored["ports"]) == (None, None)


class Deleting:
    async def test_a_deleted_object_is_gone(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace))
            await store.delete(EndpointSlice, cluster.namespace, "one", uid=obj.metadata.uid or "")
            with pytest.raises(NotFound):
                await store.get(EndpointSlice, cluster.namespace, "one")

    async def test_a_missing_object_is_not_found(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(NotFound):
                await store.delete(EndpointSlice, cluster.namespace, "none", uid="x")

    async def test_another_uid_or_version_is_a_conflict(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace))
            uid = obj.metadata.uid or ""
            with pytest.raises(Conflict):
                await store.delete(EndpointSlice, cluster.namespace, "one", uid="other")
            with pytest.raises(Conflict):
                await store.delete(EndpointSlice, cluster.namespace, "one", uid=uid, resource_version="1")
            version = obj.metadata.resource_version
            await store.delete(EndpointSlice, cluster.namespace, "one", uid=uid, resource_version=version)

    async def test_an_object_with_a_finalizer_stays_until_that_is_dropped(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.create(slice_of(cluster.namespace, finalizers=("example.com/hold",)))
            await store.delete(EndpointSlice, cluster.namespace, "one", uid=obj.metadata.uid or "")
            deleted = await store.get(EndpointSlice, cluster.namespace, "one")
            assert deleted.metadata.deletion_timestamp is not None
            assert (obj.metadata.generation, deleted.metadata.generation) == (1, 2)
            await store.update(replace(deleted, metadata=replace(deleted.metadata, finalizers=None)))
            assert cluster.find(EndpointSlice, "one") is None


def is_being_deleted(cluster: Cluster, name: str) -> bool:
    found = cluster.find(EndpointSlice, name)
    return found is not None and "deletionTimestamp" in found["metadata"]
