from __future__ import annotations

from extsync.model import PortValue, State
from extsync.plan.retain import retain
from tests.plan.cluster import MYSQL, endpoint

BOTH = (*MYSQL, PortValue("metrics", 9104))


def test_endpoints_that_would_leave_stay_as_they_are_published() -> None:
    wanted, leaving = endpoint("10.0.0.1"), endpoint("10.0.0.2", State.NOT_READY)
    assert retain((wanted,), (endpoint("10.0.0.1"), leaving)) == (wanted, leaving)


def test_the_readiness_of_those_that_stay_anyway_changes() -> None:
    wanted = endpoint("10.0.0.1", State.NOT_READY)
    assert retain((wanted,), (endpoint("10.0.0.1", State.READY),)) == (wanted,)


def test_an_endpoint_whose_ports_changed_in_part_is_not_published_twice() -> None:
    wanted = endpoint("10.0.0.1", ports=BOTH)
    assert retain((wanted,), (endpoint("10.0.0.1"),)) == (wanted,)


def test_an_endpoint_whose_ports_changed_altogether_stays_beside_the_new() -> None:
    wanted, old = endpoint("10.0.0.1", ports=(PortValue("mysql", 3307),)), endpoint("10.0.0.1")
    assert retain((wanted,), (old,)) == (wanted, old)


def test_endpoints_without_ports_are_known_by_their_address() -> None:
    wanted = endpoint("10.0.0.1", ports=())
    assert retain((wanted,), (endpoint("10.0.0.1", ports=()),)) == (wanted,)
