from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.changes import ApplyService
from extsync.model import PortValue
from extsync.objects import ObjectMeta, Service, ServicePort, ServiceSpec
from extsync.plan.plan import Current, plan
from extsync.plan.policy import PackPolicy, Refusal
from extsync.plan.ports import PortSpec
from extsync.plan.service import ServiceWish, preview, release_change, service_body, service_change
from tests.plan.cluster import KEY, Cluster, endpoint, many

WISH = ServiceWish(
    KEY,
    ports=(PortSpec("mysql", 3306), PortSpec("metrics", 80, 9104, app_protocol="http")),
    fields={"type": "ClusterIP", "trafficDistribution": "PreferSameZone", "publishNotReadyAddresses": False},
    labels={"app": "orders"},
    annotations={"description": "Orders"},
)


def stored(wish: ServiceWish = WISH, *, managers: tuple[dict[str, Any], ...] | None = None, **spec: Any) -> Service:
    """The Service as the API would have it after ``wish`` was applied: with defaults, and without empty fields."""
    made = preview(wish)
    defaults: dict[str, Any] = {
        "cluster_ip": made.spec.cluster_ip or "10.96.0.7",
        "ip_families": ("IPv4",),
        "ip_family_policy": "SingleStack",
        "session_affinity": "None",
        "internal_traffic_policy": "Cluster",
        "publish_not_ready_addresses": made.spec.publish_not_ready_addresses or None,
    }
    metadata = msgspec.structs.replace(made.metadata, uid="1", resource_version="1", managed_fields=managers)
    return msgspec.structs.replace(
        made, metadata=metadata, spec=msgspec.structs.replace(made.spec, **{**defaults, **spec})
    )


def reason(current: Service | None, wish: ServiceWish = WISH) -> str:
    change = service_change(current, wish)
    assert isinstance(change, ApplyService)
    return change.reason


def refusal(current: Service, wish: ServiceWish = WISH) -> str:
    change = service_change(current, wish)
    assert isinstance(change, Refusal)
    return change.code


def test_what_is_applied_has_our_fields_only_with_the_defaults_written_out() -> None:
    body = service_body(WISH)
    digest = body["metadata"]["annotations"].pop("extsync.dev/applied")
    assert len(digest) == 16
    assert body == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "orders",
            "namespace": "default",
            "labels": {"app": "orders", "extsync.dev/owner": "default"},
            "annotations": {"description": "Orders"},
        },
        "spec": {
            "type": "ClusterIP",
            "trafficDistribution": "PreferSameZone",
            "publishNotReadyAddresses": False,
            "ports": [
                {"name": "mysql", "port": 3306, "protocol": "TCP", "targetPort": 3306},
                {"name": "metrics", "port": 80, "protocol": "TCP", "targetPort": 9104, "appProtocol": "http"},
            ],
        },
    }


def test_a_service_that_is_not_there_is_applied() -> None:
    assert reason(None) == "the Service is not there"


def test_a_service_that_is_as_it_should_be_is_not_applied() -> None:
    assert service_change(stored(), WISH) is None


def test_what_others_added_does_not_matter() -> None:
    current = stored(ports=(*(stored().spec.ports or ()), ServicePort(port=9, name="theirs")), external_name="theirs")
    metadata = msgspec.structs.replace(
        current.metadata,
        labels={**current.labels, "theirs": "1"},
        annotations={**current.annotations, "theirs": "1"},
    )
    assert service_change(msgspec.structs.replace(current, metadata=metadata), WISH) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"traffic_distribution": None}, "trafficDistribution"),
        ({"publish_not_ready_addresses": True}, "publishNotReadyAddresses"),
        ({"type": "NodePort"}, "type"),
        ({"ports": (ServicePort(port=3306, name="mysql", protocol="TCP", target_port=3306),)}, "ports"),
    ],
)
def test_a_field_that_others_changed_is_applied_again(spec: dict[str, Any], field: str) -> None:
    assert reason(stored(**spec)) == field


def test_labels_and_annotations_that_others_changed_are_applied_again() -> None:
    current = stored()
    metadata = msgspec.structs.replace(
        current.metadata,
        labels={"extsync.dev/owner": "default"},
        annotations={"extsync.dev/applied": current.annotations["extsync.dev/applied"]},
    )
    assert reason(msgspec.structs.replace(current, metadata=metadata)) == "labels, annotations"


def test_a_field_that_left_the_manifest_is_noticed() -> None:
    fewer = msgspec.structs.replace(WISH, fields={"type": "ClusterIP"})
    assert reason(stored(WISH), fewer) == "other fields than were applied last"


def test_a_nested_field_is_compared_by_what_is_wished_of_it() -> None:
    config = {"clientIP": {"timeoutSeconds": 600}}
    wish = msgspec.structs.replace(WISH, fields={"sessionAffinity": "ClientIP", "sessionAffinityConfig": config})
    same = {"clientIP": {"timeoutSeconds": 600, "more": 1}}
    assert service_change(stored(wish, session_affinity="ClientIP", session_affinity_config=same), wish) is None
    other = {"clientIP": {"timeoutSeconds": 60}}
    assert reason(stored(wish, session_affinity="ClientIP", session_affinity_config=other), wish) == (
        "sessionAffinityConfig"
    )


def test_families_are_compared_in_their_order() -> None:
    wish = msgspec.structs.replace(WISH, fields={"ipFamilies": ["IPv4", "IPv6"]})
    assert service_change(stored(wish, ip_families=("IPv4", "IPv6")), wish) is None
    assert reason(stored(wish, ip_families=("IPv6", "IPv4")), wish) == "ipFamilies"


# ---- refusals --------------------------------------------------------------------------------------------------------


def relabelled(current: Service, labels: dict[str, str]) -> Service:
    return msgspec.structs.replace(current, metadata=msgspec.structs.replace(current.metadata, labels=labels))


def test_a_service_that_somebody_else_made_is_refused() -> None:
    assert refusal(relabelled(stored(), {"app": "orders"})) == "ServiceNotOurs"


def test_a_service_that_was_released_is_refused_with_the_way_to_give_it_back() -> None:
    change = service_change(relabelled(stored(managers=({"manager": "extsync"},)), {"app": "orders"}), WISH)
    assert isinstance(change, Refusal)
    assert change.code == "ServiceReleased"
    assert f"kubectl label service -n {KEY.namespace} {KEY.name} extsync.dev/owner=default gives it back" in str(change)


def test_a_service_with_our_label_that_we_never_applied_is_refused() -> None:
    assert refusal(stored(managers=({"manager": "kubectl"},))) == "ServiceNotOurs"
    assert service_change(stored(managers=({"manager": "kubectl"}, {"manager": "extsync"})), WISH) is None


def test_a_service_of_another_installation_is_refused() -> None:
    assert refusal(relabelled(stored(), {"extsync.dev/owner": "blue"})) == "ServiceOfAnotherOwner"


def test_a_service_with_a_selector_is_refused() -> None:
    assert refusal(stored(selector={"app": "orders"})) == "ServiceHasSelector"


HEADLESS = msgspec.structs.replace(WISH, fields={"clusterIP": "None"})


@pytest.mark.parametrize(("current", "wish"), [(stored(), HEADLESS), (stored(HEADLESS), WISH)])
def test_headless_and_not_headless_are_never_exchanged_in_place(current: Service, wish: ServiceWish) -> None:
    assert refusal(current, wish) == "HeadlessIsForEver"


def test_a_headless_service_stays_headless() -> None:
    assert service_change(stored(HEADLESS), HEADLESS) is None


def test_an_external_name_may_become_a_service_with_an_address_and_back() -> None:
    name = ServiceWish(KEY, fields={"type": "ExternalName", "externalName": "db.example.org"})
    plain = ServiceWish(KEY, ports=WISH.ports, fields={"type": "ClusterIP"})
    current = stored(name, cluster_ip=None, ip_families=None)
    assert isinstance(service_change(current, plain), ApplyService)
    assert isinstance(service_change(stored(plain), name), ApplyService)


def test_a_service_that_is_being_deleted_is_left_alone() -> None:
    current = stored()
    metadata = msgspec.structs.replace(current.metadata, deletion_timestamp="2027-01-01T00:00:00Z")
    assert service_change(msgspec.structs.replace(current, metadata=metadata), WISH) is None


# ---- in the whole plan -----------------------------------------------------------------------------------------------


def test_the_service_comes_first_and_its_slices_when_it_is_there() -> None:
    cluster = Cluster()
    cluster.service = None
    first = plan(KEY, cluster.current, many(1), PackPolicy(), wish=WISH)
    assert first.changes.summary == "1 to apply"
    cluster.carry_out(first.changes)
    second = plan(KEY, cluster.current, many(1), PackPolicy(), wish=WISH)
    assert second.changes.summary == "2 to create"


def test_without_a_service_and_a_wish_for_it_there_is_a_refusal() -> None:
    cluster = Cluster()
    cluster.service = None
    planned = plan(KEY, cluster.current, many(1), PackPolicy())
    assert [refused.code for refused in planned.refusals] == ["NoService"]
    assert planned.changes.is_empty


def test_a_refused_service_starts_nothing_and_stops_nothing() -> None:
    foreign = Service(metadata=ObjectMeta(name="orders", namespace="default", uid="1"), spec=ServiceSpec())
    assert plan(KEY, Cluster(foreign).current, many(1), PackPolicy(), wish=WISH).changes.is_empty
    running = Cluster(stored())
    running.carry_out(plan(KEY, running.current, many(1), PackPolicy(), wish=WISH).changes)
    running.service = relabelled(stored(), {})
    planned = plan(KEY, running.current, many(2), PackPolicy(), wish=WISH)
    assert [refused.code for refused in planned.refusals] == ["ServiceNotOurs"]
    assert planned.changes.summary == "2 to update"


def test_slices_with_other_ports_wait_until_the_service_has_these() -> None:
    old = ServiceWish(KEY, ports=(PortSpec("db", 3306),))
    cluster = Cluster(stored(old))
    renamed = (endpoint("10.0.0.1", ports=(PortValue("mysql", 3306),)),)
    first = plan(KEY, cluster.current, renamed, PackPolicy(), wish=WISH)
    assert first.changes.summary == "1 to apply"
    assert [note.code for note in first.notes] == ["WaitingForService"]
    cluster.carry_out(first.changes)
    assert plan(KEY, cluster.current, renamed, PackPolicy(), wish=WISH).changes.summary == "2 to create"


def test_an_apply_that_changes_no_port_holds_nothing_up() -> None:
    cluster = Cluster(stored(traffic_distribution=None))
    assert plan(KEY, cluster.current, many(1), PackPolicy(), wish=WISH).changes.summary == "1 to apply, 2 to create"


def test_a_preview_is_the_service_without_a_uid() -> None:
    made = preview(WISH)
    assert made.metadata.uid is None
    assert made.spec.traffic_distribution == "PreferSameZone"
    assert plan(KEY, Cluster(made).current, many(1), PackPolicy()).changes.summary == "2 to create"


def test_a_service_that_its_manifest_keeps_no_more_loses_the_marks_and_nothing_else() -> None:
    current = stored()
    change = release_change(current, "default")
    assert change is not None
    assert change.body["metadata"]["labels"] == {"app": "orders"}
    assert change.body["metadata"]["annotations"] == {"description": "Orders"}
    assert change.body["spec"] == msgspec.to_builtins(current.spec)
    assert plan(KEY, Current(service=current), (), PackPolicy()).changes.applies == (change,)


def test_a_service_that_is_not_ours_is_not_released() -> None:
    assert release_change(stored(), "another") is None
    assert release_change(stored(managers=({"manager": "kubectl"},)), "default") is None
