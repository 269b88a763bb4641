"""The names of Leases, and the names that replicas go by in them. Pure.

Owner ids are label values, which may hold capitals, ``_`` and ``.``; a Lease's name is a DNS subdomain. What is a DNS
label already stays as it is. Anything else is lowered and gets a hash after a dot, which no label contains. Parts
follow after another dot and contain a ``-``, which no hash does. So no two owners, and no owner and part of another,
share a name.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from extsync.seams import Random

PREFIX: Final = "extsync-"
LONGEST_HOST: Final = 63
"""Characters of a host name that an identity keeps: what a Pod's name has as a host name."""

_GROUP: Final = re.compile(r"[0-9]+-shards")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def leader_lease(owner: str) -> str:
    """The Lease of whoever keeps the Services of ``owner``; with shards, of all replicas with that number of shards."""
    return f"{PREFIX}{_encoded(owner)}"


def group_identity(shards: int) -> str:
    """The name by which all replicas with that number of shards hold the leader Lease; no ``new_identity`` is so."""
    return f"{shards}-shards"


def is_group(identity: str) -> bool:
    """Whether ``identity`` is one that ``group_identity`` gives."""
    return _GROUP.fullmatch(identity) is not None


def shard_lease(owner: str, shard: int, shards: int) -> str:
    """The Lease of whoever keeps one of so many shards of the Services of ``owner``."""
    return f"{leader_lease(owner)}.shard-{shard}-of-{shards}"


def member_lease(owner: str, identity: str) -> str:
    """The Lease by which a replica shows that it is alive."""
    return f"{leader_lease(owner)}.member-{_encoded(identity)}"


def new_identity(host: str, random: Random) -> str:
    """A name for this process, unlike that of any other: a Pod whose container restarts keeps its host name."""
    suffix = "".join(f"{int(random.random() * (1 << 32)):08x}" for _ in range(2))
    return f"{host[:LONGEST_HOST].rstrip('-.') or 'extsync'}-{suffix}"


def _encoded(text: str) -> str:
    """``text`` as one DNS label or, where it is none, as a label and its hash."""
    if _LABEL.fullmatch(text):
        return text
    readable = re.sub(r"[^-a-z0-9]", "-", text.lower())[:LONGEST_HOST].strip("-") or "x"
    return f"{readable}.{blake2b(text.encode(), digest_size=5).hexdigest()}"
