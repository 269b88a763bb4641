"""What is written into a Lease, and when it may be taken."""

from __future__ import annotations

import pytest

from extsync.kube.lease_record import held, is_released, released, runs_for, vacant
from extsync.objects import LeaseSpec

WALL = 1_800_000_000.25
HELD = held(LeaseSpec(lease_transitions=3), "a", 15.0, wall=WALL)


def test_taking_it_counts_a_transition_and_starts_its_time() -> None:
    assert (
        LeaseSpec(
            holder_identity="a",
            lease_duration_seconds=15,
            acquire_time="2027-01-15T08:00:00.250000Z",
            renew_time="2027-01-15T08:00:00.250000Z",
            lease_transitions=4,
        )
        == HELD
    )


def test_renewing_it_changes_its_renew_time_alone() -> None:
    renewed = held(HELD, "a", 15.0, wall=WALL + 2)
    assert renewed.renew_time == "2027-01-15T08:00:02.250000Z"
    assert (renewed.acquire_time, renewed.lease_transitions) == (HELD.acquire_time, 4)


@pytest.mark.parametrize("wall", [WALL, WALL - 86400.0])
def test_a_renewal_is_a_change_whatever_the_wall_clock_does(wall: float) -> None:
    assert held(HELD, "a", 15.0, wall=wall) != HELD


def test_a_duration_is_rounded_up() -> None:
    assert held(LeaseSpec(), "a", 2.2, wall=WALL).lease_duration_seconds == 3


def test_a_released_lease_is_free_at_once() -> None:
    assert is_released(released(HELD, wall=WALL))
    assert runs_for(released(HELD, wall=WALL), 15.0) == 0.0
    assert released(HELD, wall=WALL).lease_transitions == 4


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        (HELD, 15.0),
        (LeaseSpec(holder_identity="a", lease_duration_seconds=1), 15.0),
        (LeaseSpec(holder_identity="a", lease_duration_seconds=60), 60.0),
        (LeaseSpec(holder_identity="", lease_duration_seconds=15), 15.0),
        (LeaseSpec(), 15.0),
        (vacant(15.0), 15.0),
        (vacant(1.5), 15.0),
    ],
)
def test_everything_else_has_to_be_waited_for(spec: LeaseSpec, seconds: float) -> None:
    assert runs_for(spec, 15.0) == seconds
