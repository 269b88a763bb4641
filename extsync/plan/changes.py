"""The changes of one plan, in order, and what a policy lets through of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from extsync.changes import ApplyService, Change, Create, Delete, Update

Policy: TypeAlias = Literal["sync", "upsert-only", "create-only"]


class Changes(msgspec.Struct, frozen=True):
    """Changes in the order in which they are made."""

    items: tuple[Change, ...] = ()

    def __iter__(self) -> Iterator[Change]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def is_empty(self) -> bool:
        return not self.items

    @property
    def creates(self) -> tuple[Create, ...]:
        return tuple(change for change in self.items if isinstance(change, Create))

    @property
    def updates(self) -> tuple[Update, ...]:
        return tuple(change for change in self.items if isinstance(change, Update))

    @property
    def deletes(self) -> tuple[Delete, ...]:
        return tuple(change for change in self.items if isinstance(change, Delete))

    @property
    def applies(self) -> tuple[ApplyService, ...]:
        return tuple(change for change in self.items if isinstance(change, ApplyService))

    @property
    def summary(self) -> str:
        """The numbers in words, such as "1 to create, 2 to update"; "no changes" where there are none."""
        counts = (
            (len(self.applies), "apply"),
            (len(self.creates), "create"),
            (len(self.updates), "update"),
            (len(self.deletes), "delete"),
        )
        return ", ".join(f"{number} to {word}" for number, word in counts if number) or "no changes"


def allowed(changes: Changes, policy: Policy, *, service_exists: bool) -> Changes:
    """What ``policy`` lets through.

    upsert-only: no object leaves; that no endpoint leaves either is seen to before packing, see ``plan.retain``.

    create-only: what is not there is made, and nothing that is there is touched. Slices are made only where no slice
    would have to change as well, since an endpoint may be on its way from one to the other.
    """
    if policy == "sync":
        return changes
    if policy == "upsert-only":
        return Changes(tuple(change for change in changes if not isinstance(change, Delete)))
    held = {type(change.obj) for change in changes.updates} | {change.kind for change in changes.deletes}
    return Changes(
        tuple(
            change
            for change in changes
            if (isinstance(change, Create) and type(change.obj) not in held)
            or (isinstance(change, ApplyService) and not service_exists)
        )
    )
