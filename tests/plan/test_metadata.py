from __future__ import annotations

import re

import pytest

from extsync.plan.metadata import families_of, is_headless, trigger_time
from tests.plan.cluster import service


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_800_000_000.0, "2027-01-15T08:00:00.000000000Z"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250000000Z"),
        (0.0, "1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_a_trigger_time_is_rfc_3339_in_utc_with_nanoseconds(seconds: float, text: str) -> None:
    assert trigger_time(seconds) == text


def test_a_trigger_time_never_rounds_up_to_a_second_that_does_not_exist() -> None:
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{9}Z", trigger_time(1_799_999_999.999_999_9))


@pytest.mark.parametrize(("cluster_ip", "headless"), [("None", True), ("", True), (None, True), ("10.96.0.7", False)])
def test_a_service_without_an_address_of_its_own_is_headless(cluster_ip: str | None, headless: bool) -> None:
    assert is_headless(service(cluster_ip=cluster_ip)) is headless


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ip_families": ("IPv6", "IPv4")}, ("IPv6", "IPv4")),
        ({"ip_families": None}, ("IPv4",)),
        ({"ip_families": None, "cluster_ip": "fd00::7"}, ("IPv6",)),
        ({"ip_families": None, "cluster_ip": "None"}, ("IPv4",)),
    ],
)
def test_the_families_of_a_service_are_told_even_where_the_server_did_not_fill_them_in(
    spec: dict[str, object], families: tuple[str, ...]
) -> None:
    assert families_of(service(**spec)) == families
