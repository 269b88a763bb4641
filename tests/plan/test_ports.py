from __future__ import annotations

import pytest

from extsync.model import Backend, PortSet, PortValue
from extsync.objects import ObjectMeta, Service, ServicePort, ServiceSpec
from extsync.plan.ports import PortSets, PortSpec, ports_of

ONE = (PortSpec("", 3306),)
TWO = (PortSpec("http", 80, 8080), PortSpec("admin", 9000, app_protocol="http"))


def resolve(backend: Backend, ports: tuple[PortSpec, ...] = TWO, port_name: str | None = None) -> dict[str, int]:
    return {port.name: port.port for port in PortSets(ports, port_name, {}).of(backend)}


def test_a_backend_without_ports_takes_the_target_ports() -> None:
    assert resolve(Backend("10.0.0.1")) == {"http": 8080, "admin": 9000}


def test_a_discovered_port_belongs_to_the_only_port() -> None:
    assert resolve(Backend("10.0.0.1", port=3307), ONE) == {"": 3307}


def test_a_discovered_port_belongs_to_the_port_that_its_source_names() -> None:
    assert resolve(Backend("10.0.0.1", port=8081), port_name="http") == {"http": 8081, "admin": 9000}


def test_a_port_named_by_the_backend_wins_over_its_discovered_port() -> None:
    backend = Backend("10.0.0.1", port=8081, ports=(("http", 8082),))
    assert resolve(backend, port_name="http") == {"http": 8082, "admin": 9000}


def test_ports_keep_the_order_protocol_and_app_protocol_of_the_service() -> None:
    ports = PortSets((PortSpec("b", 1, protocol="UDP"), PortSpec("a", 2, app_protocol="h2c")), None, {})
    assert ports.of(Backend("10.0.0.1")) == (PortValue("b", 1, "UDP"), PortValue("a", 2, "TCP", "h2c"))


def test_equal_port_sets_of_two_sources_are_one_object() -> None:
    interned: dict[PortSet, PortSet] = {}
    one = PortSets(TWO, "http", interned).of(Backend("10.0.0.1", port=8080))
    other = PortSets(TWO, None, interned).of(Backend("10.0.0.2", ports=(("http", 8080),)))
    assert one is other


@pytest.mark.parametrize(
    ("backend", "port_name", "reason"),
    [
        (Backend("10.0.0.1", port=8081), None, "say with portName"),
        (Backend("10.0.0.1", port=8081), "web", "portName 'web' is no port"),
        (Backend("10.0.0.1", port=0), "http", "0 is not a port"),
        (Backend("10.0.0.1", ports=(("http", 70000),)), None, "70000 is not a port"),
        (Backend("10.0.0.1", ports=(("http", -1),)), None, "-1 is not a port"),
        (Backend("10.0.0.1", ports=(("https", 443),)), None, "has a port 'https' that is none here"),
        (Backend("10.0.0.1", ports=(("http", 1), ("http", 2))), None, "names a port twice"),
    ],
)
def test_a_port_that_does_not_fit_is_refused_with_the_reason(
    backend: Backend, port_name: str | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        resolve(backend, port_name=port_name)


def test_the_ports_of_an_existing_service_are_taken_with_numeric_target_ports_only() -> None:
    ports = (
        ServicePort(name="http", port=80, protocol="TCP", target_port="web"),
        ServicePort(name="db", port=3306, target_port=3307, app_protocol="mysql"),
    )
    spec = ServiceSpec(ports=ports)
    assert ports_of(Service(metadata=ObjectMeta(name="s"), spec=spec)) == (
        PortSpec("http", 80),
        PortSpec("db", 3306, 3307, "TCP", "mysql"),
    )
