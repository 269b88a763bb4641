"""Versions of resources compare as numbers, or not at all, and the memory of our writes is bounded."""

from __future__ import annotations

import pytest

from extsync.kube import own_writes
from extsync.kube.own_writes import OwnWrites, is_older
from extsync.seams.virtual import VirtualClock, virtual_time
from tests.kube.scripted_store import obj


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("9", "10", True),
        ("10", "9", False),
        ("10", "10", False),
        ("a", "a", False),
        ("a", "b", None),
        ("1", "b", None),
        (None, "1", None),
        ("1", None, None),
        ("-1", "1", None),
        ("²", "1", None),
    ],
)
def test_versions_compare_as_numbers_or_not_at_all(version: str | None, than: str | None, older: bool | None) -> None:
    assert is_older(version, than) is older


@virtual_time
async def test_beyond_the_limit_the_oldest_write_is_given_up() -> None:
    writes = OwnWrites(clock=VirtualClock())
    for number in range(own_writes.LIMIT + 1):
        writes.written(obj(f"a-{number}", 100))
    writes.written(obj("a-1", 101))  # which makes it the youngest
    assert not writes.is_stale(obj("a-0", 1))
    assert writes.is_stale(obj("a-1", 100))
    assert writes.is_stale(obj("a-2", 1))
