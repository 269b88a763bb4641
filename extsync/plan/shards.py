"""Shards: which one a service belongs to, which replica prefers it, and when its holder hands it over. Pure.

A service belongs to one of a fixed number of shards, by a hash of its key. Each shard has a Lease, and only its holder
writes for it; everything here is about who should be that holder, so a mistake costs a detour and never two writers.

Which replica a shard prefers is decided by rendezvous hashing (Thaler and Ravishankar, 1998): every pair of a shard and
a replica has a weight, and the heaviest wins. When a replica comes, only the shards that now prefer it move; when one
goes, only those that it had; nothing has to be remembered or agreed upon but who is alive.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from extsync.model import ServiceKey

_MOST_DOUBLINGS: Final = 6


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long things have to have been so before a shard moves, in seconds.

    ``join``: a replica has been alive before a shard is handed over to it; one that starts, fails and starts again gets
    none. ``keep``: a shard has been held before it is handed over; doubled for each time in a row that it was handed
    over in vain, to a replica that lives and does not take it. ``next_in_line``: what each replica leaves to those that
    a free shard prefers to it.
    """

    join: float = 15.0
    keep: float = 30.0
    next_in_line: float = 5.0


USUAL: Final = Patience()


class Stance(enum.Enum):
    """What a replica does about a shard."""

    STAND = "stand"
    """Hold its Lease, or try to."""
    WAIT = "wait"
    """Leave it alone for now."""
    YIELD = "yield"
    """Write no more for it, and release its Lease once the last write has ended."""


def shard_of(key: ServiceKey, shards: int) -> int:
    """The shard of a service, from 0 to ``shards`` - 1: the same in every process and every version."""
    return _hash(str(key)) % shards


def preferred(shard: int, members: Iterable[str]) -> str | None:
    """Which of ``members`` (identities) a shard prefers; None where there are none."""
    return next(iter(ranking(shard, members)), None)


def ranking(shard: int, members: Iterable[str]) -> list[str]:
    """``members`` in the order in which a shard prefers them."""
    return sorted(members, key=lambda member: (_hash(f"{shard}/{member}"), member), reverse=True)


def stance(
    shard: int,
    me: str,
    alive: Mapping[str, float],
    *,
    now: float,
    changed_at: float,
    holds: bool,
    in_vain: int = 0,
    patience: Patience = USUAL,
) -> Stance:
    """What the replica ``me`` does about a shard now.

    Args:
        alive: The replicas that are alive and willing to write, and since when each of them has been so without a gap,
            as this replica saw it (monotonic seconds). One in self-doubt is not willing. ``me`` is in it unless it
            is the one in doubt.
        changed_at: When this replica got the shard (where it ``holds`` it), or when the shard's Lease became free or
            will be if its holder stays silent.
        in_vain: How many times in a row it handed the shard over and got it back.
    """
    if me not in alive:
        return Stance.YIELD if holds else Stance.WAIT
    if not holds:
        ahead = ranking(shard, alive).index(me)
        is_next = ahead == 0 or now - changed_at >= ahead * patience.next_in_line
        return Stance.STAND if is_next else Stance.WAIT
    if now - changed_at < patience.keep * 2 ** min(in_vain, _MOST_DOUBLINGS):
        return Stance.STAND
    settled = [member for member, since in alive.items() if member == me or now - since >= patience.join]
    return Stance.STAND if preferred(shard, settled) == me else Stance.YIELD


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
