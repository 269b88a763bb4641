"""What manifests and sources may make extsync do: which addresses, files and environment variables they may name."""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec

from extsync.address_policy import AddressPolicy, AddressRules, ClusterRanges
from extsync.file_roots import FileRoots
from extsync.variables import Variables


class Limits(msgspec.Struct, frozen=True):
    """The settings of a process that limit what its inputs may ask for.

    ``ranges`` are those of the cluster as far as settings name them.
    """

    rules: AddressRules = AddressRules()
    ranges: ClusterRanges = ClusterRanges()
    roots: FileRoots = FileRoots()
    variables: Variables = Variables()

    @property
    def policy(self) -> AddressPolicy:
        """The policy of these rules and ranges; the same object each time."""
        return _policy(self.rules, self.ranges)


@cache
def _policy(rules: AddressRules, ranges: ClusterRanges) -> AddressPolicy:
    return AddressPolicy(rules, ranges)


USUAL: Final = Limits()
"""The limits of settings that say nothing."""
