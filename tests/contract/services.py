"""What every Store does with Services: defaults, validation and server-side apply."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from extsync.errors import Conflict, FieldConflict, Invalid, Unavailable
from extsync.objects import Service, ServicePort, ServiceSpec
from tests.contract.cluster import Cluster, Refused
from tests.contract.things import service_body


class Services:
    async def test_what_a_spec_leaves_out_is_filled_in(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            spec = obj.spec
            assert spec.cluster_ip is not None
            assert spec.cluster_ips == (spec.cluster_ip,)
            assert replace(spec, cluster_ip=None, cluster_ips=None) == ServiceSpec(
                type="ClusterIP",
                ports=(ServicePort(name="http", port=80, protocol="TCP", target_port=80),),
                ip_families=("IPv4",),
                ip_family_policy="SingleStack",
                session_affinity="None",
                internal_traffic_policy="Cluster",
            )

    async def test_a_headless_service_without_selector_is_of_both_families(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            body = service_body(cluster.namespace, clusterIP="None")
            spec = (await store.apply_service(body, field_manager="extsync")).spec
            assert spec.cluster_ips == ("None",)
            assert spec.ip_families == ("IPv4", "IPv6")
            assert spec.ip_family_policy == "RequireDualStack"

    async def test_an_external_name_has_no_address(self, cluster: Cluster) -> None:
        body = service_body(cluster.namespace, type="ExternalName", externalName="db.example.com")
        async with cluster.open() as store:
            spec = (await store.apply_service(body, field_manager="extsync")).spec
            assert (spec.cluster_ip, spec.ip_families, spec.internal_traffic_policy) == (None, None, None)

    async def test_a_node_port_is_given(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.apply_service(service_body(cluster.namespace, type="NodePort"), field_manager="extsync")
            assert obj.spec.external_traffic_policy == "Cluster"
            assert 30_000 <= ((obj.spec.ports or ())[0].node_port or 0) < 32_768

    async def test_a_second_family_can_be_had_and_given_back(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            counts = []
            for policy in ("SingleStack", "PreferDualStack", "SingleStack"):
                body = service_body(cluster.namespace, ipFamilyPolicy=policy)
                spec = (await store.apply_service(body, field_manager="extsync")).spec
                counts.append(len(spec.cluster_ips or ()))
            assert counts == [1, 2, 1]

    async def test_a_service_with_an_address_cannot_become_headless(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            with pytest.raises(Invalid):
                await store.apply_service(service_body(cluster.namespace, clusterIP="None"), field_manager="extsync")

    async def test_a_headless_service_cannot_get_an_address(self, cluster: Cluster) -> None:
        address: dict[str, Any] = {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace, clusterIP="None"), field_manager="extsync")
            with pytest.raises(Refused):
                cluster.put(Service, service_body(cluster.namespace, **address))

    @pytest.mark.parametrize("spec", [
        {"ports": []},
        {"ports": [{"port": 80}, {"port": 81}]},
        {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
        {"ports": [{"port": 0}]},
        {"ports": [{"port": 80, "targetPort": "UPPER"}]},
        {"trafficDistribution": "PreferSomething"},
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
        {"externalTrafficPolicy": "Local"},
        {"type": "ExternalName"},
        {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"},
    ])  # fmt: skip
    async def test_such_a_spec_is_refused(self, cluster: Cluster, spec: dict[str, Any]) -> None:
        async with cluster.open() as store:
            with pytest.raises(Invalid):
                await store.apply_service(service_body(cluster.namespace, **spec), field_manager="extsync")


class Applying:
    async def test_to_apply_the_same_again_is_no_write(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            first = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            assert await store.apply_service(service_body(cluster.namespace), field_manager="extsync") == first

    async def test_a_field_of_another_manager_is_a_conflict_that_names_both(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            body = service_body(cluster.namespace, labels={"app": "db"})
            first = await store.apply_service(body, field_manager="somebody")
            changed = service_body(cluster.namespace, labels={"app": "web"})
            with pytest.raises(FieldConflict) as conflict:
                await store.apply_service(changed, field_manager="extsync")
            assert conflict.value.fields == (("somebody", ".metadata.labels.app"),)
            assert await store.get(Service, cluster.namespace, "one") == first

    async def test_a_field_that_was_written_without_apply_is_a_conflict_too(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            cluster.post(Service, {"metadata": {"name": "one"}, "spec": {"ports": [{"name": "web", "port": 80}]}})
            with pytest.raises(FieldConflict) as conflict:
                await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            assert conflict.value.fields == (("other", '.spec.ports[port=80,protocol="TCP"].name'),)

    async def test_equal_values_are_shared_until_nobody_applies_them(self, cluster: Cluster) -> None:
        with_label = service_body(cluster.namespace, labels={"app": "db"})
        without = service_body(cluster.namespace)
        async with cluster.open() as store:
            labels = []
            for manager, body in (("a", with_label), ("b", with_label), ("a", without), ("b", without)):
                obj = await store.apply_service(body, field_manager=manager)
                labels.append(obj.labels)
            assert labels == [{"app": "db"}, {"app": "db"}, {"app": "db"}, {}]

    async def test_what_is_applied_no_more_goes_and_what_others_set_stays(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            body = service_body(cluster.namespace, labels={"ours": "x"}, sessionAffinity="ClientIP")
            await store.apply_service(body, field_manager="extsync")
            stored = cluster.find(Service, "one")
            assert stored is not None
            stored["metadata"]["labels"]["theirs"] = "y"
            cluster.put(Service, stored)
            obj = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            assert obj.labels == {"theirs": "y"}
            assert obj.spec.session_affinity == "None"

    async def test_another_port_number_is_another_port(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            body = service_body(cluster.namespace, ports=[{"name": "http", "port": 81}])
            obj = await store.apply_service(body, field_manager="extsync")
            assert obj.spec.ports == (ServicePort(name="http", port=81, protocol="TCP", target_port=81),)

    async def test_an_apply_of_a_version_that_is_no_more_is_a_conflict_and_makes_nothing(
        self, cluster: Cluster
    ) -> None:
        async with cluster.open() as store:
            first = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            body = service_body(cluster.namespace, labels={"app": "db"})
            body["metadata"] |= {"uid": first.metadata.uid, "resourceVersion": first.metadata.resource_version}
            second = await store.apply_service(body, field_manager="extsync")
            assert second.labels == {"app": "db"}
            with pytest.raises(Conflict) as changed:
                await store.apply_service(body | {"spec": {"sessionAffinity": "ClientIP"}}, field_manager="extsync")
            assert not isinstance(changed.value, FieldConflict)
            await store.delete(Service, cluster.namespace, "one", uid=first.metadata.uid or "")
            with pytest.raises(Conflict):
                await store.apply_service(body, field_manager="extsync")
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            with pytest.raises(Conflict):
                await store.apply_service(body, field_manager="extsync")

    async def test_a_dry_run_answers_and_writes_nothing(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            obj = await store.apply_service(service_body(cluster.namespace), field_manager="extsync", dry_run=True)
            assert (obj.spec.ports or ())[0].target_port == 80
            assert cluster.find(Service, "one") is None

    async def test_a_dry_run_of_a_change_shows_it_and_writes_nothing(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            first = await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            body = service_body(cluster.namespace, labels={"app": "db"})
            shown = await store.apply_service(body, field_manager="extsync", dry_run=True)
            assert shown.labels == {"app": "db"}
            assert await store.get(Service, cluster.namespace, "one") == first

    async def test_a_dry_run_of_what_would_end_a_deletion_deletes_nothing(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            held = service_body(cluster.namespace)
            held["metadata"]["finalizers"] = ["example.com/hold"]
            obj = await store.apply_service(held, field_manager="extsync")
            await store.delete(Service, cluster.namespace, "one", uid=obj.metadata.uid or "")
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync", dry_run=True)
            assert cluster.find(Service, "one") is not None
            await store.apply_service(service_body(cluster.namespace), field_manager="extsync")
            assert cluster.find(Service, "one") is None

    async def test_a_field_that_there_is_not_is_an_error_of_the_server(self, cluster: Cluster) -> None:
        async with cluster.open() as store:
            with pytest.raises(Unavailable):
                await store.apply_service(service_body(cluster.namespace, unheardOf=1), field_manager="extsync")
