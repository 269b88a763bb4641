"""The Service, what is published, and whose it is: a row for each way in which it can be wrong."""

from __future__ import annotations

import pytest

from extsync.doctor.checks import owners, pods, ports, publication, services
from extsync.doctor.facts import ServiceFacts, Unread
from extsync.doctor.kinds import Container, ContainerPort, FullPodStatus, Pod, PodSpec
from extsync.objects import (
    HEADLESS_LABEL,
    MIRRORING_CONTROLLER,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    SKIP_MIRROR_LABEL,
    SLICE_CONTROLLER,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectMeta,
    OwnerReference,
    PodCondition,
    ServicePort,
    SlicePort,
)
from extsync.plan.unmanaged import ENDPOINTS_MANAGED_BY_LABEL
from tests.doctor.making import A, B, C, cluster, codes, endpoint, facts, service, slice_of

EARLIER = OwnerReference(api_version="v1", kind="Service", name="orders", uid="u0", controller=True)
SELECTING = service(selector={"app": "orders"})
NO = Unread("get Service shop/orders: no", forbidden=True)


def endpoints(
    *addresses: str,
    not_ready: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    ports: tuple[str, ...] = ("sql",),
) -> Endpoints:
    subset = EndpointSubset(
        addresses=tuple(EndpointAddress(ip=one) for one in addresses),
        not_ready_addresses=tuple(EndpointAddress(ip=one) for one in not_ready),
        ports=tuple(EndpointPort(name=name, port=3306) for name in ports),
    )
    return Endpoints(metadata=ObjectMeta(name="orders", namespace="shop", labels=labels), subsets=(subset,))


def pod(name: str, *, ready: bool = True, address: str = A, port: str = "sql", phase: str = "Running") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace="shop"),
        spec=PodSpec(containers=(Container("app", ports=(ContainerPort(3306, port),)),)),
        status=FullPodStatus(
            pod_ip=address, phase=phase, conditions=(PodCondition(type="Ready", status="True" if ready else "False"),)
        ),
    )


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(service=None), {"ServiceMissing"}),
        (facts(service=NO), {"ServiceUnread"}),
        (facts(service=service(type="ExternalName", external_name="db.example")), {"ExternalNameWithSlices"}),
        (
            facts(service=service(type="ExternalName", external_name="192.0.2.1"), slices=()),
            {"ExternalNameIsAddress"},
        ),
        (
            facts(service=SELECTING, endpoints=endpoints(A, labels={OWNER_LABEL: "default"})),
            {"EndpointsOverwritten"},
        ),
        (facts(service=SELECTING), set()),
    ],
)
def test_the_service(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*services.check(about, cluster())]) == found


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(slices=()), {"NothingPublished"}),
        (facts(slice_of()), {"NoEndpoints"}),
        (facts(slice_of(endpoint(A, ready=False))), {"NoneReady"}),
        (facts(slice_of(endpoint(A, ready=None))), set()),
        (facts(slice_of(endpoint(A, ready=False), B)), set()),
        (facts(slices=(), endpoints=endpoints(A, labels={SKIP_MIRROR_LABEL: "true"})), {"EndpointsNotMirrored"}),
        (facts(slices=(), endpoints=endpoints(A, ports=("sql", "sql"))), {"EndpointsNotMirrored"}),
        (facts(slices=NO, endpoints=NO), {"SlicesUnread", "EndpointsUnread"}),
        (facts(service=None, slices=()), set()),
    ],
)
def test_what_is_published(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*publication.check(about, cluster())]) == found


def test_why_endpoints_are_not_mirrored_is_said() -> None:
    for written, why in (
        (endpoints(A, labels={SKIP_MIRROR_LABEL: "true"}), "label"),
        (endpoints(A, ports=("sql", "sql")), "port names sql, sql"),
        (endpoints(A), "nothing in the object"),
    ):
        [found] = publication.check(facts(slices=(), endpoints=written), cluster())
        assert why in found.evidence[0]


MIRROR = slice_of(A, B, by=MIRRORING_CONTROLLER, name="orders-m")


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(slice_of(A), MIRROR, endpoints=endpoints(A, B)), {"PublishedTwice"}),
        (
            facts(slice_of(endpoint(A, ready=False)), MIRROR, endpoints=endpoints(A, B)),
            {"PublishedTwiceDiffering"},
        ),
        (facts(slice_of(C), MIRROR, endpoints=endpoints(A, B)), set()),
        (facts(slice_of(C), MIRROR), {"MirrorWithoutEndpoints"}),
        (facts(MIRROR, endpoints=endpoints(A, not_ready=(B,))), {"MirrorStale"}),
        (facts(endpoints=endpoints(A, labels={SKIP_MIRROR_LABEL: "true"})), {"EndpointsDiffer"}),
        (facts(endpoints=endpoints(A, B, labels={SKIP_MIRROR_LABEL: "True"})), {"SkipMirrorLabel"}),
        (facts(slice_of(A, by=SLICE_CONTROLLER)), {"LeftBehind"}),
        (facts(slice_of(A, by=SLICE_CONTROLLER), service=SELECTING), set()),
        (
            facts(endpoints=endpoints(A, B, labels={ENDPOINTS_MANAGED_BY_LABEL: "endpoint-controller"})),
            {"LeftBehind"},
        ),
        (facts(slice_of(A, owners=(EARLIER,))), {"OfEarlierService"}),
        (facts(slice_of(A, owners=None)), {"WithoutOwner"}),
        (facts(slice_of(A, labels={OWNER_LABEL: "lab"})), {"OtherOwner"}),
        (facts(slice_of(A, labels={HEADLESS_LABEL: ""})), {"HeadlessLabel"}),
        (facts(slice_of(A, labels={HEADLESS_LABEL: ""}), service=service(cluster_ip="None")), set()),
        (facts(slice_of("db.example", family="FQDN", by="staff")), {"NamesIgnored"}),
        (facts(strays=(slice_of(C, labels={SERVICE_NAME_LABEL: "order"}),)), {"ServiceNameLabel"}),
    ],
)
def test_whose_it_is(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*owners.check(about, cluster())]) == found


def test_endpoints_at_different_ports_are_not_the_same() -> None:
    other = slice_of(A, name="orders-2", ports=[SlicePort(name="web", port=80)])
    assert codes([*owners.check(facts(slice_of(A), other), cluster())]) == set()


def test_a_stray_is_an_error_only_where_nothing_else_is_published() -> None:
    stray = slice_of(C, name="orders-x", labels={SERVICE_NAME_LABEL: "order"})
    severities = [
        next(iter(owners.check(about, cluster()))).severity.value
        for about in (facts(strays=(stray,)), facts(slices=(), strays=(stray,)))
    ]
    assert severities == ["warning", "error"]


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(slice_of(A, ports=[SlicePort(name="mysql", port=3306)])), {"PortNotServed", "PortWithoutService"}),
        (
            facts(slice_of(A, ports=[SlicePort(name="sql", port=3306, protocol="UDP")])),
            {"PortNotServed", "PortWithoutService"},
        ),
        (facts(slice_of(A, ports=[SlicePort(name="sql", port=70000)])), {"PortNumber"}),
        (facts(slice_of(A, ports=[SlicePort(name="sql")])), {"PortNumber"}),
        (facts(slice_of(A, ports=[SlicePort(port=80)]), service=service(ports=[ServicePort(port=80)])), set()),
        (
            facts(service=service(ports=[ServicePort(name="sql", port=3306), ServicePort(name="web", port=80)])),
            {"PortNotServed"},
        ),
        (facts(slices=()), set()),
    ],
)
def test_ports(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*ports.check(about, cluster())]) == found


def test_what_a_wrong_port_needs_is_said() -> None:
    for port, cure in (
        (SlicePort(name="mysql", port=3306), "name the port 'sql'"),
        (SlicePort(name="sql", port=3306, protocol="UDP"), "give both the same protocol"),
    ):
        found = {one.code: one for one in ports.check(facts(slice_of(A, ports=[port])), cluster())}
        assert found["PortNotServed"].cure.startswith(cure)


def test_a_target_port_of_a_service_without_selector_is_told_to_be_ignored() -> None:
    for selector, told in ((None, True), ({"app": "orders"}, False)):
        about = facts(service=service(ports=[ServicePort(name="sql", port=3306, target_port=13306)], selector=selector))
        assert ("TargetPortIgnored" in {one.code for one in ports.check(about, cluster())}) is told


@pytest.mark.parametrize(
    ("about", "found"),
    [
        (facts(), set()),
        (facts(service=SELECTING, pods=(pod("web-0"),)), set()),
        (facts(service=SELECTING, pods=()), {"SelectorMatchesNothing"}),
        (facts(service=SELECTING, pods=NO), set()),
        (facts(service=SELECTING, pods=(pod("web-0", ready=False),)), {"NoPodReady"}),
        (facts(service=SELECTING, pods=(pod("web-0"), pod("web-1", ready=False))), {"PodsNotReady"}),
        (facts(service=SELECTING, pods=(pod("web-0", address=C),)), {"PodNotPublished"}),
        (facts(service=SELECTING, pods=(pod("web-0"), pod("job-1", ready=False, phase="Succeeded"))), set()),
        (facts(service=SELECTING, pods=(pod("job-1", ready=False, phase="Failed"),)), {"NoPodReady"}),
        (
            facts(
                service=service(selector={"app": "a"}, ports=[ServicePort(name="sql", port=1, target_port="db")]),
                pods=(pod("web-0"),),
            ),
            {"TargetPortUnknown"},
        ),
    ],
)
def test_pods(about: ServiceFacts, found: set[str]) -> None:
    assert codes([*pods.check(about, cluster())]) == found


def test_a_selector_without_pods_is_an_error_where_nothing_else_is_ready() -> None:
    for about, severity in (
        (facts(service=SELECTING, pods=()), "warning"),
        (facts(slice_of(), service=SELECTING, pods=()), "error"),
    ):
        [found] = pods.check(about, cluster())
        assert found.severity.value == severity
