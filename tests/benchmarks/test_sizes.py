"""The parts of the benchmark that take minutes, done small: they work, whatever the figures."""

from __future__ import annotations

import math

import pytest

from benchmarks import balancers, kept, page, restart, scale, status, sync
from benchmarks.probes import Load
from benchmarks.scale import Size

LOAD = Load(endpoints=100, period=0.5, window=0.3, rounds=1)


@pytest.mark.sockets
@pytest.mark.usefixtures("nginx_programs", "haproxy_programs", "blackbox_programs")
def test_both_kinds_of_check_are_compared_with_every_other_prober() -> None:
    rows = balancers.rows(LOAD)
    others = ["HAProxy", "blackbox_exporter", "raw"]
    assert [row.reference_is.split()[0] for row in rows] == ["HAProxy", *others, *others]
    assert ["httpGet" in row.what for row in rows] == [False] * 4 + [True] * 3
    assert ["rst" in row.what for row in rows] == [True] + [False] * 6
    assert [row.goal is None for row in rows] == [False, True] + [False] * 5
    assert all(row.figure > 0 and row.reference > 0 for row in rows)


@pytest.mark.sockets
@pytest.mark.usefixtures("nginx_programs")
def test_kept_connections_are_compared_with_plain_http() -> None:
    rows = kept.rows(LOAD)
    assert [row.what.split(" on ")[0] for row in rows] == ["CPU of a check by HTTPS", "CPU of a check by grpc"]
    assert all(0 < row.figure < math.inf and row.reference > 0 for row in rows)


@pytest.mark.sockets
@pytest.mark.usefixtures("nginx_programs")
def test_a_run_of_the_full_size_finds_each_failing_endpoint_and_no_other() -> None:
    size = Size(endpoints=100, failing=20, listeners=2, period=0.5, seconds=8.0, timeout=10.0)
    figures = {row.what.partition(": ")[2].split(",")[0]: row.figure for row in scale.rows(size)}
    assert figures["failing endpoints not found down"] == 0
    assert figures["healthy endpoints found down"] == 0
    assert 0 < figures["memory"] < math.inf


@pytest.mark.sockets
def test_questions_to_the_status_port_are_measured_beside_probing() -> None:
    rows = status.rows(status.Size(20, 5, scrapes=1, layout=(4, 5), watchers=1, pause=0.1, window=0.5, rounds=1))
    assert [row.goal for row in rows] == [0.1, None, 1.0, 1.0, 1.05]
    assert all(0 < row.figure < math.inf and row.reference > 0 for row in rows)


@pytest.mark.sockets
@pytest.mark.usefixtures("chromium_programs")
def test_the_page_is_painted_and_follows_what_changes() -> None:
    rows = page.rows(page.Size(services=100, rounds=1, rate=50, seconds=1.0))
    assert [row.what.partition(", ")[2].split(",")[0] for row in rows[:3]] == [
        "first paint",
        "first rows",
        "all of them known",
    ]
    assert all(0 < row.figure < math.inf for row in rows)


def test_the_delay_of_a_verdict_counts_from_when_the_deciding_probe_belongs() -> None:
    """One listener closes at 103; the endpoint's probes belong at 101, 111, 121, ...: the third failing one at 131."""
    size = Size(listeners=1, period=10.0)
    measured = {"closed": [103.0], "firsts": {"0": 101.0}, "down": {"0": 131.25}}
    assert scale.delays(size, measured) == [0.25]


@pytest.mark.api
@pytest.mark.timeout(180)
def test_a_full_sync_is_compared_with_the_mirroring_controller() -> None:
    rows = sync.rows(sync.Size(services=5, each=2, rounds=1))
    assert [row.goal for row in rows] == [1.1, None, None]
    assert all(0 < row.figure < math.inf and row.reference > 0 for row in rows)


@pytest.mark.api
@pytest.mark.timeout(180)
def test_a_restart_and_a_failover_in_which_nothing_changed_write_nothing() -> None:
    written, in_step, failed_over = restart.rows(restart.Size(services=4, each=2, period=1))
    assert (written.figure, failed_over.figure) == (0, 0)
    assert in_step.figure > 0
