"""From a manifest to what the stages take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extsync.engine.prepare import HURRY, Hurry, Prepared, prepare
from tests.engine.support import CHECK, A, loaded, manifest, rack


def made(*, owner: str = "default", hurry: Hurry | None = None, **spec: Any) -> Prepared:
    (one,) = loaded(manifest("orders", rack(A), **spec)).manifests
    return prepare(one.manifest, Path("/base"), owner=owner, hurry=hurry)


def test_timings_are_those_of_the_manifest() -> None:
    check = {**CHECK, "initialDelaySeconds": 5, "successThreshold": 2, "transitionPeriodSeconds": 3, "close": "rst"}
    timing = made(checks=[check]).rules[0].timing
    assert (timing.initial_delay, timing.period, timing.timeout, timing.transition_period) == (5.0, 10.0, 1.0, 3.0)
    assert (timing.success_threshold, timing.failure_threshold, timing.close) == (2, 3, "rst")


def test_in_a_hurry_there_is_no_delay_and_a_second_between_probes() -> None:
    check = {**CHECK, "initialDelaySeconds": 5, "transitionPeriodSeconds": 3}
    timing = made(checks=[check], hurry=HURRY).rules[0].timing
    assert (timing.initial_delay, timing.period, timing.transition_period) == (0.0, 1.0, None)
    assert (timing.timeout, timing.failure_threshold) == (1.0, 3)


@pytest.mark.parametrize(("host", "expected"), [("10.9.0.7", "10.9.0.7"), ("db.example.com", None)])
def test_a_host_that_is_an_address_is_connected_to_and_a_name_only_asked_for(host: str, expected: str | None) -> None:
    (rule,) = made(checks=[{"httpGet": {"port": 80, "host": host}}]).rules
    assert rule.host == expected


def test_what_is_published_follows_the_manifest() -> None:
    prepared = made(owner="team-a", publish=["EndpointSlice"], policy={"maxEndpointsPerSlice": 7, "minReady": 2})
    assert (prepared.pack_policy.slices, prepared.pack_policy.endpoints) == (True, False)
    assert prepared.pack_policy.max_endpoints_per_slice == 7
    assert prepared.pack_policy.owner == "team-a"
    assert prepared.tier_policy.min_ready == 2


def test_a_service_is_wished_for_only_where_the_manifest_keeps_it() -> None:
    assert made(service=None).wish is None
    wish = made(service={"trafficDistribution": "PreferSameZone"}).wish
    assert wish is not None
    assert wish.fields["trafficDistribution"] == "PreferSameZone"


def test_ports_are_left_to_the_service_where_the_manifest_has_none() -> None:
    assert made(service=None, ports=None).ports is None
