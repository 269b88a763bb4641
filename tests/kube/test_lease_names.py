"""Names of Leases are DNS subdomains, readable, and no two things share one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.names import check_subdomain
from extsync.kube.lease_names import leader_lease, member_lease, new_identity, shard_lease
from extsync.seams.virtual import SeededRandom

OWNERS = st.from_regex(re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII), fullmatch=True)
NAMES: dict[str, Callable[[str], str]] = {
    "leader": leader_lease,
    "shard": lambda owner: shard_lease(owner, 7, 16),
    "member": lambda owner: member_lease(owner, "extsync-0-1f"),
}


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("default", "extsync-default"),
        ("team-a", "extsync-team-a"),
        ("Team_A", "extsync-team-a.eb0afb449f"),
        ("a.shard-7", "extsync-a-shard-7.7aaa9460bb"),
    ],
)
def test_a_name_can_be_read(owner: str, name: str) -> None:
    assert leader_lease(owner) == name


def test_parts_follow_after_a_dot() -> None:
    assert shard_lease("default", 7, 16) == "extsync-default.shard-7-of-16"
    assert member_lease("default", "extsync-0-1f") == "extsync-default.member-extsync-0-1f"


@given(OWNERS)
def test_every_owner_gives_a_name_that_kubernetes_takes(owner: str) -> None:
    for name in NAMES.values():
        check_subdomain(name(owner))


@given(OWNERS, OWNERS, st.sampled_from(sorted(NAMES)), st.sampled_from(sorted(NAMES)))
def test_no_two_share_a_name(one: str, other: str, of: str, of_other: str) -> None:
    if (one, of) != (other, of_other):
        assert NAMES[of](one) != NAMES[of_other](other)


@pytest.mark.parametrize("pair", [("team-a", "Team-A"), ("a-b", "a_b"), ("a.b", "a_b"), ("a", "A"), ("a.b", "a-b")])
def test_what_differs_only_in_what_is_lost_differs(pair: tuple[str, str]) -> None:
    assert leader_lease(pair[0]) != leader_lease(pair[1])


def test_an_owner_that_looks_like_a_shard_of_another_is_none() -> None:
    assert leader_lease("a.shard-7-of-16") != shard_lease("a", 7, 16)


def test_shards_of_another_number_have_other_names() -> None:
    assert shard_lease("a", 7, 16) != shard_lease("a", 7, 32)


@pytest.mark.parametrize("host", ["extsync-6f9c-x", "Node_1.example.com", "h" * 300, "", "host."])
def test_every_process_has_an_identity_of_its_own(host: str) -> None:
    random = SeededRandom(1)
    first, second = new_identity(host, random), new_identity(host, random)
    assert first != second
    assert len(first) <= 80
    check_subdomain(member_lease("default", first))
