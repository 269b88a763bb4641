"""Import: the manifest publishes what the objects publish, and says what it cannot."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from extsync.config.dump import to_text
from extsync.model import State, TargetRef
from extsync.objects import (
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    SLICE_CONTROLLER,
    EndpointHints,
    EndpointPort,
    Endpoints,
    EndpointSlice,
    HintFor,
    OwnerReference,
    ServicePort,
)
from extsync.plan.imports.found import NotImported
from extsync.plan.unmanaged import LEADER_ANNOTATION
from tests.plan.cluster import UID, service
from tests.plan.imports.byhand import Served, address, endpoints, entry, imported, published_by, slice_of, subset, told

A, B, C, V6 = "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"
MYSQL = (("mysql", 3306),)
CONTROLLER = OwnerReference(api_version="apps/v1", kind="Database", name="orders", uid="other", controller=True)


def served(ip: str, state: State = State.READY, ports: tuple[tuple[str, int], ...] = MYSQL, **more: str) -> Served:
    return Served(ip, ports, state, more.get("hostname"), more.get("node_name"), more.get("zone"))


def test_endpoints_become_a_manifest_that_reads_like_a_hand_written_one() -> None:
    ref = TargetRef(kind="Pod", namespace="default", name="x")
    written = endpoints(
        subset([address(A, hostname="db-1", node_name="edge-1"), B], [C], metrics=9104, mysql=3307),
        subset([address("192.0.2.9", target_ref=ref)], metrics=9104, mysql=3308),
        labels={"app": "db", "team": "a"},
        annotations={"description": "Orders database"},
    )
    ports = (ServicePort(name="mysql", port=3306), ServicePort(name="metrics", port=9104))
    assert (
        to_text(imported(service(ports=ports), written).manifest)
        == """\
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata:
  name: orders
  namespace: default
  labels:
    team: a
  annotations:
    description: Orders database
spec:
  ports:
  - {name: metrics, port: 9104}
  - {name: mysql, port: 3306, targetPort: 3307}
  sources:
  - name: imported
    static:
      backends:
      - {address: 192.0.2.1, hostname: db-1, nodeName: edge-1}
      - {address: 192.0.2.2}
      - {address: 192.0.2.3, ready: false}
      - {address: 192.0.2.9, ports: {mysql: 3308}, targetRef: {kind: Pod, namespace: default, name: x}}
  publish: [Endpoints]
  policy:
    adopt: IfUnmanaged
"""
    )


def test_every_endpoint_keeps_its_ports_readiness_and_names() -> None:
    one = subset([address(A, hostname="db-1", node_name="edge-1"), V6], [B], mysql=3306)
    other = subset([A, C], mysql=3307)
    result = imported(service(ip_families=("IPv4", "IPv6")), endpoints(one, other))
    assert published_by(result, service(ip_families=("IPv4", "IPv6"))) == {
        served(A, hostname="db-1", node_name="edge-1"),
        served(V6),
        served(B, State.NOT_READY),
        served(A, ports=(("mysql", 3307),)),
        served(C, ports=(("mysql", 3307),)),
    }
    assert result.notes == ()


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ((None, None, None), State.READY),
        ((True, True, False), State.READY),
        ((True, False, False), State.READY),
        ((True, True, True), State.READY),
        ((False, None, None), State.NOT_READY),
        ((False, True, False), State.NOT_READY),
        ((False, True, True), State.DRAINING),
        ((False, False, True), State.NOT_READY),
    ],
)
def test_a_slices_conditions_become_what_kube_proxy_makes_of_them(
    conditions: tuple[bool | None, ...], state: State
) -> None:
    result = imported(service(), slice_of(entry(A, *conditions, zone="dc-1", hostname="db-1")))
    assert published_by(result, service()) == {served(A, state, zone="dc-1", hostname="db-1")}
    assert not result.changes


def test_what_is_published_stays_what_it_is() -> None:
    by_hand = slice_of(entry(A))
    both = imported(service(), by_hand, endpoints(subset([A], mysql=3306)))
    assert imported(service(), by_hand).manifest.spec.publish == ("EndpointSlice",)
    assert imported(service(), endpoints(subset([A], mysql=3306))).manifest.spec.publish == ("Endpoints",)
    assert both.manifest.spec.publish == ("EndpointSlice", "Endpoints")
    assert both.notes == ()
    assert both.manifest.spec.service is None
    assert both.manifest.spec.checks == ()


def test_the_slices_that_kubernetes_makes_of_endpoints_are_not_read_a_second_time() -> None:
    mirrored = slice_of(entry(A), name="orders-x", labels={MANAGED_BY_LABEL: MIRRORING_CONTROLLER})
    result = imported(service(), endpoints(subset([A], mysql=3306)), mirrored)
    assert result.manifest.spec.publish == ("Endpoints",)
    assert result.notes == ()


def test_a_slice_of_people_is_imported() -> None:
    result = imported(service(), slice_of(entry(A), labels={MANAGED_BY_LABEL: "cluster-admins"}))
    assert published_by(result, service()) == {served(A)}
    assert result.notes == ()


def test_a_slice_of_another_manager_is_named_and_left() -> None:
    other = slice_of(entry(B), name="theirs", labels={MANAGED_BY_LABEL: "gateway.example.com"})
    controlled = slice_of(entry(C), name="operated", owner_references=(CONTROLLER,))
    result = imported(service(), slice_of(entry(A)), other, controlled)
    assert published_by(result, service()) == {served(A)}
    said = " ".join(told(result, changes=False))
    assert "EndpointSlice theirs: it stays as it is, and is not in the manifest: it is kept by gateway.example" in said
    assert "EndpointSlice operated: it stays as it is, and is not in the manifest: it is kept by its controller" in said


def test_names_are_left_since_kube_proxy_ignores_them() -> None:
    names = slice_of(entry("db.example.com"), name="names", address_type="FQDN")
    result = imported(service(), slice_of(entry(A)), names)
    assert published_by(result, service()) == {served(A)}
    assert "names, which kube-proxy ignores" in told(result, changes=False)[0]


def test_what_a_removed_selector_left_behind_is_imported_and_told_of() -> None:
    stale = slice_of(entry(A, node_name="n1"), name="orders-abc", labels={MANAGED_BY_LABEL: SLICE_CONTROLLER})
    left = endpoints(subset([A], mysql=3306), labels={"endpoints.kubernetes.io/managed-by": "endpoint-controller"})
    result = imported(service(), left, stale)
    assert published_by(result, service()) == {served(A, node_name="n1")}
    assert all("left behind by a selector" in text for text in told(result, changes=False))


def test_slices_beside_a_selector_are_imported_alone() -> None:
    of_pods = endpoints(subset([B], mysql=3306))
    pods = slice_of(entry(B), name="orders-abc", labels={MANAGED_BY_LABEL: SLICE_CONTROLLER})
    result = imported(service(selector={"app": "orders"}), slice_of(entry(A)), pods, of_pods)
    assert result.manifest.spec.publish == ("EndpointSlice",)
    assert published_by(result, service()) == {served(A)}


def test_an_unnamed_port_and_other_protocols_stay() -> None:
    dns = EndpointPort(port=5353, protocol="UDP", app_protocol="example.com/dns")
    one = msgspec.structs.replace(subset([A, B]), ports=(dns,))
    other = msgspec.structs.replace(subset([C]), ports=(msgspec.structs.replace(dns, port=53),))
    result = imported(service(ports=(ServicePort(port=53, protocol="UDP"),)), endpoints(one, other))
    [port] = result.manifest.spec.ports
    assert (port.name, port.port, port.target_port, port.protocol, port.app_protocol) == (
        (None, 53, 5353, "UDP", "example.com/dns")
    )
    [source] = result.manifest.spec.sources
    assert source.static is not None
    assert [backend.port for backend in source.static.backends] == [None, None, 53]


def test_a_headless_service_without_ports_has_endpoints_without_ports() -> None:
    headless = service(cluster_ip="None", ports=None)
    result = imported(headless, endpoints(subset([address(A, hostname="a")])))
    assert published_by(result, headless) == {served(A, ports=(), hostname="a")}
    assert not result.changes


def test_a_port_that_the_service_has_not_stays_on_the_endpoints() -> None:
    result = imported(service(), endpoints(subset([A], metrics=9104)))
    assert published_by(result, service()) == {served(A, ports=(("metrics", 9104),))}


def test_large_slices_are_not_split() -> None:
    large = slice_of(*(entry(f"10.0.0.{number}") for number in range(1, 151)))
    assert imported(service(), large).manifest.spec.policy.max_endpoints_per_slice == 150


def test_endpoints_that_are_too_many_for_the_mirror_get_slices() -> None:
    many = [f"10.0.{number >> 8}.{number & 255}" for number in range(1001)]
    result = imported(service(), endpoints(subset(list(many), mysql=3306)))
    assert result.manifest.spec.publish == ("EndpointSlice", "Endpoints")
    assert "of which Kubernetes uses 1000" in told(result, changes=True)[0]
    assert len(published_by(result, service())) == 1001


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        pytest.param(
            [endpoints(subset([A, "224.0.1.1"], mysql=3306))],
            "Endpoints orders, subsets[0]: 224.0.1.1 is a multicast address: an endpoint is one machine: left out",
            id="an address that no endpoint can have",
        ),
        pytest.param(
            [endpoints(subset([A, "168.63.129.16"], mysql=3306))],
            "until then extsync publishes it no more",
            id="an address that extsync denies",
        ),
        pytest.param(
            [endpoints(subset([A, V6], mysql=3306))], "the Service has no IPv6 addresses", id="the wrong family"
        ),
        pytest.param(
            [slice_of(entry(A, zone="rack 7"))], "its zone 'rack 7' is not allowed", id="a zone that is no label"
        ),
        pytest.param(
            [slice_of(entry(A, hints=EndpointHints(for_zones=(HintFor("a"),))))], "its hints are left out", id="hints"
        ),
        pytest.param(
            [slice_of(entry(A)), slice_of(entry(C), name="b", ports={"mysql": 0})],
            "EndpointSlice b: it has port 0, which no endpoint can have: left out",
            id="a port that is none",
        ),
        pytest.param(
            [endpoints(subset([A], mysql=3306)), slice_of(entry(A), entry(B))],
            "EndpointSlice by-hand, 192.0.2.2:3306: it is in slices alone",
            id="in slices alone",
        ),
        pytest.param(
            [endpoints(subset([A, B], mysql=3306), labels={SKIP_MIRROR_LABEL: "true"}), slice_of(entry(A))],
            "subsets[0], 192.0.2.2:3306: nothing reaches it",
            id="in Endpoints alone that are not mirrored",
        ),
        pytest.param(
            [endpoints(subset([A], mysql=3306), labels={SKIP_MIRROR_LABEL: "true"})],
            "published by extsync it is reached",
            id="Endpoints that are not mirrored and no slices",
        ),
        pytest.param(
            [endpoints(subset([A], mysql=3306)), slice_of(entry(A, False))],
            "it is ready in one place and not in another",
            id="two minds",
        ),
        pytest.param(
            [endpoints(subset([A], [B], mysql=3306), subset([A, B], metrics=9104))],
            "Endpoints orders, subsets[1], 192.0.2.2:9104: it is ready in one place and not in another",
            id="ready at one of its ports",
        ),
        pytest.param(
            [slice_of(entry(A, hostname="a"), entry(A, hostname="b"))], "with different hostname", id="two names"
        ),
        pytest.param(
            [
                endpoints(
                    subset([A], mysql=3306, x=1),
                    subset([A], mysql=3306, x=2),
                )
            ],
            "another entry has one of its ports at the same address",
            id="half the same",
        ),
    ],
)
def test_what_would_change_is_told_with_its_place(objects: list[Endpoints | EndpointSlice], said: str) -> None:
    result = imported(service(), *objects)
    assert result.changes
    assert said in told(result, changes=True)[0]
    published_by(result, service())


def test_readiness_that_publish_not_ready_addresses_overrides_is_told() -> None:
    odd = service(publish_not_ready_addresses=True)
    result = imported(odd, endpoints(subset([A], [B], mysql=3306)))
    assert [text.split(": ")[0] for text in told(result, changes=True)] == ["Endpoints orders, subsets[0], 192.0.2.2"]
    both = imported(
        odd, slice_of(entry(A, True, True, False), entry(B, True, False, False), entry(C, True, True, True))
    )
    assert published_by(both, odd) == {served(A), served(B, State.NOT_READY), served(C, State.DRAINING)}
    assert not both.changes


def test_the_same_said_of_many_endpoints_is_one_line() -> None:
    many = slice_of(*(entry(f"10.0.0.{number}", zone="a b") for number in range(1, 101)))
    [text] = told(imported(service(), many), changes=True)
    assert "and 97 more: its zone 'a b' is not allowed" in text


def test_labels_and_annotations_of_every_object_are_kept_and_bookkeeping_is_not() -> None:
    slice_ = slice_of(entry(A), labels={"tier": "data"}, annotations={"owner": "b"})
    written = endpoints(
        subset([A], mysql=3306),
        labels={"app": "db", "endpointslice.kubernetes.io/odd": "x"},
        annotations={"owner": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    )
    result = imported(service(), written, slice_)
    assert result.manifest.metadata.labels == {"tier": "data"}
    assert result.manifest.metadata.annotations == {"owner": "a"}
    assert [text.split(" ")[0:4] for text in told(result, changes=False)] == [
        ["Endpoints", "orders:", "its", "label"],
        ["EndpointSlice", "by-hand:", "its", "annotation"],
    ]


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([service(selector={"a": "b"}), endpoints(subset([A], mysql=3306))], "it has a selector"),
        ([service(), endpoints(subset([A], mysql=1), labels={OWNER_LABEL: "team-a"})], "with owner id 'team-a'"),
        ([service(), slice_of(labels={MANAGED_BY_LABEL: MANAGED_BY, OWNER_LABEL: "x"})], "its EndpointSlice already"),
        ([service(), endpoints(labels={"app.kubernetes.io/managed-by": "Helm"})], "kept by Helm"),
        ([service(), endpoints(annotations={LEADER_ANNOTATION: "{}"})], "the lock of an election"),
        ([service(), endpoints(owner_references=(CONTROLLER,))], "kept by its controller Database/orders"),
        ([service(type="ExternalName")], "of type ExternalName"),
        ([service()], "neither Endpoints nor slices that nobody keeps"),
        (
            [service(), slice_of(entry(A), labels={MANAGED_BY_LABEL: "gw"})],
            "neither Endpoints nor slices that nobody keeps",
        ),
    ],
)
def test_what_somebody_keeps_is_refused_as_kept(objects: list[Any], why: str) -> None:
    with pytest.raises(NotImported, match=why) as error:
        imported(*objects)
    assert error.value.kept


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([None, endpoints(subset([A], mysql=1))], "there is no Service of that name"),
        (
            [service(), endpoints(subset([A], mysql=1), subset([B], web=2))],
            r"subsets\[0\] has mysql and .*subsets\[1\] has web",
        ),
        ([service(), endpoints(subset([A], mysql=1), subset([B]))], r"subsets\[1\] has no ports"),
        ([service(), endpoints(subset([A]))], "has no ports, and the Service has"),
        ([service(), endpoints(subset([A], a=80, b=80))], "have the same number 80"),
    ],
)
def test_what_no_manifest_can_say_is_refused_with_the_reason(objects: list[Any], why: str) -> None:
    with pytest.raises(NotImported, match=why) as error:
        imported(*objects)
    assert not error.value.kept


def test_ports_that_have_one_name_are_refused() -> None:
    twice = (EndpointPort(name="mysql", port=1), EndpointPort(name="mysql", port=2))
    with pytest.raises(NotImported, match="two ports named 'mysql'"):
        imported(service(), endpoints(msgspec.structs.replace(subset([A]), ports=twice)))


def test_the_api_servers_own_service_is_refused() -> None:
    metadata = msgspec.structs.replace(service().metadata, name="kubernetes", uid=UID)
    own = msgspec.structs.replace(service(), metadata=metadata)
    with pytest.raises(NotImported, match=r"EndpointSlice by-hand: .* it is kept by the API server"):
        imported(own, slice_of(entry(A), labels={SERVICE_NAME_LABEL: "kubernetes"}))
