from __future__ import annotations

import resource

import pytest

from extsync.health.limits import affordable, raise_descriptor_limit


def test_the_descriptor_limit_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_raising_is_refused_the_limit_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, limits: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (512, 1 << 20))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == 512


def test_no_limit_at_all_is_taken_for_a_high_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: None)
    assert raise_descriptor_limit() == 1 << 20


@pytest.mark.parametrize(
    ("wanted", "descriptors", "expected"),
    [(10_000, 1 << 20, 10_000), (10_000, 10_000, 9744), (10_000, 1024, 768), (100, 1024, 100), (10, 1, 1)],
)
def test_some_descriptors_are_left_for_everything_else(wanted: int, descriptors: int, expected: int) -> None:
    assert affordable(wanted, descriptors) == expected
