"""What the checks of an instance say of it."""

from __future__ import annotations

import pytest

from extsync.sources.consul.health import Health, judge
from extsync.sources.consul.wire import Check, Weights

PASSING, WARNING, CRITICAL = (Check("c", status) for status in ("passing", "warning", "critical"))
NODE_MAINTENANCE = Check("_node_maintenance", "critical")
SERVICE_MAINTENANCE = Check("_service_maintenance:orders-1", "critical")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (None, Health("passing", ready=True, drain=False)),
        ([], Health("passing", ready=True, drain=False)),
        ([PASSING, PASSING], Health("passing", ready=True, drain=False)),
        ([PASSING, WARNING], Health("warning", ready=True, drain=False)),
        ([CRITICAL, WARNING, PASSING], Health("critical", ready=False, drain=False)),
        ([PASSING, NODE_MAINTENANCE], Health("maintenance", ready=True, drain=True)),
        ([SERVICE_MAINTENANCE, PASSING], Health("maintenance", ready=True, drain=True)),
        ([SERVICE_MAINTENANCE, CRITICAL], Health("maintenance", ready=False, drain=True)),
        ([SERVICE_MAINTENANCE], Health("maintenance", ready=True, drain=True)),
        ([Check("c", "maintenance")], Health("maintenance", ready=True, drain=True)),
        ([Check("c", "overloaded"), PASSING], Health("passing", ready=True, drain=False)),
        ([Check("c", "overloaded"), CRITICAL], Health("critical", ready=False, drain=False)),
        ([Check(None, None)], Health("passing", ready=True, drain=False)),
    ],
)
def test_the_worst_check_counts_and_maintenance_drains(checks: list[Check] | None, expected: Health) -> None:
    assert judge(checks, None, warning_is_ready=True) == expected


def test_the_manifest_says_what_a_warning_is() -> None:
    assert not judge([WARNING], None, warning_is_ready=False).ready
    assert judge([PASSING], None, warning_is_ready=False).ready


@pytest.mark.parametrize(
    ("check", "weights", "drains"),
    [
        (PASSING, None, False),
        (PASSING, Weights(), False),
        (PASSING, Weights(1, 0), False),
        (PASSING, Weights(0, 1), True),
        (WARNING, Weights(1, 0), True),
        (WARNING, Weights(0, 1), False),
        (CRITICAL, Weights(0, 0), False),
    ],
)
def test_an_instance_that_wants_no_traffic_at_its_status_drains(
    check: Check, weights: Weights | None, drains: bool
) -> None:
    assert judge([check], weights, warning_is_ready=True).drain is drains
