"""Services spread over shards and shards over replicas, and few of them move when a replica comes or goes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import ServiceKey
from extsync.plan.shards import Patience, Stance, preferred, ranking, shard_of, stance

SHARDS = 64
MEMBERS = ["extsync-7f-a", "extsync-7f-b", "extsync-7f-c"]
PATIENCE = Patience(join=15.0, keep=30.0, next_in_line=5.0)


def held_by(*members: str, shards: int = SHARDS) -> dict[int, str | None]:
    return {shard: preferred(shard, members) for shard in range(shards)}


class TestShardOf:
    def test_a_service_stays_in_its_shard_for_ever(self) -> None:
        """Another number here would mean that two versions of extsync disagree on who keeps what."""
        keys = [ServiceKey("default", "orders"), ServiceKey("default", "web"), ServiceKey("prod", "orders")]
        assert [shard_of(key, 64) for key in keys] == [63, 28, 41]

    def test_services_are_spread_evenly(self) -> None:
        sizes = Counter(shard_of(ServiceKey(f"team-{n % 20}", f"service-{n}"), 16) for n in range(16_000))
        assert set(sizes) == set(range(16))
        assert max(sizes.values()) <= 1.15 * 1000

    def test_with_one_shard_all_are_in_it(self) -> None:
        assert shard_of(ServiceKey("default", "orders"), 1) == 0


class TestPreferred:
    def test_nobody_is_preferred_where_nobody_lives(self) -> None:
        assert preferred(3, []) is None

    @given(st.permutations(MEMBERS), st.integers(0, 255))
    def test_the_order_of_the_members_does_not_matter(self, members: list[str], shard: int) -> None:
        assert ranking(shard, members) == ranking(shard, MEMBERS)

    @given(st.sets(st.text(min_size=1), min_size=1, max_size=8), st.text(min_size=1))
    def test_who_comes_takes_only_what_prefers_it(self, members: set[str], new: str) -> None:
        before, after = held_by(*members), held_by(*members, new)
        assert all(after[shard] in (before[shard], new) for shard in before)

    @given(st.sets(st.text(min_size=1), min_size=2, max_size=8))
    def test_when_one_goes_only_its_shards_move(self, members: set[str]) -> None:
        gone = min(members)
        before, after = held_by(*members), held_by(*(members - {gone}))
        assert all(after[shard] == before[shard] for shard in before if before[shard] != gone)

    def test_shards_are_spread_over_the_members(self) -> None:
        sizes = Counter(held_by(*MEMBERS, shards=256).values())
        assert set(sizes) == set(MEMBERS)
        assert max(sizes.values()) <= 1.3 * 256 / 3

    def test_a_fourth_member_takes_about_a_quarter(self) -> None:
        before, after = held_by(*MEMBERS, shards=256), held_by(*MEMBERS, "extsync-7f-d", shards=256)
        moved = [shard for shard in before if before[shard] != after[shard]]
        assert 0.7 * 64 <= len(moved) <= 1.3 * 64


SHARD = 5
FIRST, SECOND, THIRD = ranking(SHARD, MEMBERS)


def of(me: str, alive: dict[str, float], *, now: float, changed_at: float, holds: bool, in_vain: int = 0) -> Stance:
    return stance(SHARD, me, alive, now=now, changed_at=changed_at, holds=holds, in_vain=in_vain, patience=PATIENCE)


class TestFreeShards:
    ALIVE = dict.fromkeys(MEMBERS, 0.0)

    def test_whom_it_prefers_stands_at_once(self) -> None:
        assert of(FIRST, self.ALIVE, now=100.0, changed_at=100.0, holds=False) is Stance.STAND

    @pytest.mark.parametrize(("member", "turn"), [(SECOND, 5.0), (THIRD, 10.0)])
    def test_the_others_leave_it_to_those_before_them_for_a_while(self, member: str, turn: float) -> None:
        assert of(member, self.ALIVE, now=100.0 + turn - 0.1, changed_at=100.0, holds=False) is Stance.WAIT
        assert of(member, self.ALIVE, now=100.0 + turn, changed_at=100.0, holds=False) is Stance.STAND

    def test_the_next_one_moves_up_when_the_first_is_gone(self) -> None:
        alive = {SECOND: 0.0, THIRD: 0.0}
        assert of(SECOND, alive, now=100.0, changed_at=100.0, holds=False) is Stance.STAND

    def test_a_replica_in_doubt_takes_none(self) -> None:
        alive = {SECOND: 0.0, THIRD: 0.0}
        assert of(FIRST, alive, now=900.0, changed_at=0.0, holds=False) is Stance.WAIT


class TestHeldShards:
    def test_it_is_kept_while_nobody_is_preferred(self) -> None:
        alive = {FIRST: 0.0, SECOND: 0.0}
        assert of(FIRST, alive, now=900.0, changed_at=0.0, holds=True) is Stance.STAND

    def test_it_is_handed_over_to_whom_it_prefers_once_that_has_lived_for_a_while(self) -> None:
        alive = {FIRST: 100.0, SECOND: 0.0}
        assert of(SECOND, alive, now=114.9, changed_at=0.0, holds=True) is Stance.STAND
        assert of(SECOND, alive, now=115.0, changed_at=0.0, holds=True) is Stance.YIELD

    def test_it_does_not_move_twice_in_short_order(self) -> None:
        alive = {FIRST: 0.0, SECOND: 0.0}
        assert of(SECOND, alive, now=129.9, changed_at=100.0, holds=True) is Stance.STAND
        assert of(SECOND, alive, now=130.0, changed_at=100.0, holds=True) is Stance.YIELD

    def test_what_was_handed_over_in_vain_is_kept_longer_each_time(self) -> None:
        alive = {FIRST: 0.0, SECOND: 0.0}
        kept = []
        for in_vain in (0, 1, 2, 6, 7, 50):
            seconds = next(s for s in range(0, 4000, 10) if of(SECOND, alive, now=100.0 + s, changed_at=100.0,
                           holds=True, in_vain=in_vain) is Stance.YIELD)  # fmt: skip
            kept.append(seconds)
        assert kept == [30, 60, 120, 1920, 1920, 1920]

    def test_a_replica_in_doubt_yields_at_once(self) -> None:
        assert of(FIRST, {SECOND: 0.0}, now=100.0, changed_at=99.0, holds=True) is Stance.YIELD

    def test_in_a_quiet_installation_each_shard_ends_with_whom_it_prefers(self) -> None:
        alive = dict.fromkeys(MEMBERS, 0.0)
        for shard in range(SHARDS):
            stances = {
                me: stance(shard, me, alive, now=900.0, changed_at=0.0, holds=True, patience=PATIENCE) for me in MEMBERS
            }
            assert [me for me, what in stances.items() if what is Stance.STAND] == [preferred(shard, MEMBERS)]
