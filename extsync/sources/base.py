"""What a source plugin is.

A plugin is a callable ``factory(config, context) -> Source``, registered under the entry-point group
``extsync.sources`` by the name of its block in the manifest. ``config`` is the validated block (built-in kinds) or the
``config`` mapping of a ``plugin`` block (third parties), which the factory validates itself, raising ConfigError.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from extsync.model import Observation
from extsync.seams import Clock, Dialer, Random

Emit: TypeAlias = Callable[[Observation], None]


class Source(Protocol):
    """Reports backends until it is cancelled."""

    async def run(self, emit: Emit) -> None:
        """Emits one full observation as soon as the first read has ended, then one after each change.

        A failed read emits an outcome (ERROR, SUSPECT) with its detail, never an empty set. It must not return and
        must not block the event loop; an exception that leaves it is reported as ERROR, and it is started again, on
        the same object. ``emit`` is called from the event loop only; it takes each report at once and never blocks.
        """
        ...


class SourceContext(msgspec.Struct, frozen=True):
    """What a source may know of its surroundings.

    ``name`` is the source's name in the manifest, ``base_dir`` the folder that relative paths start from.
    """

    name: str
    namespace: str
    base_dir: Path
    clock: Clock
    random: Random
    dialer: Dialer


SourceFactory: TypeAlias = Callable[[Any, SourceContext], Source]
