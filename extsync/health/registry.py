"""The kinds of checks by name: one table, filled from entry points, from which only what is asked for is imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from extsync.errors import ConfigError
from extsync.health.base import CheckFactory

GROUP: Final = "extsync.checks"


class CheckRegistry:
    """Finds the factory of a kind; a name that is registered twice raises ConfigError, since either could be meant."""

    def __init__(self, points: Iterable[EntryPoint] | None = None) -> None:
        self._points: dict[str, EntryPoint] = {}
        for point in entry_points(group=GROUP) if points is None else points:
            other = self._points.setdefault(point.name, point)
            if other is not point:
                raise ConfigError(f"two checks are registered as {point.name!r}: {other.value} and {point.value}")

    def kinds(self) -> tuple[str, ...]:
        """The names of all kinds, sorted."""
        return tuple(sorted(self._points))

    def factory(self, kind: str) -> CheckFactory:
        """The factory of ``kind``. Raises ConfigError where there is none, or it cannot be imported."""
        point = self._points.get(kind)
        if point is None:
            raise ConfigError(f"there is no check of type {kind!r}; there are: {', '.join(self.kinds())}")
        try:
            factory: CheckFactory = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"the check {kind!r} cannot be loaded from {point.value}: {error}") from error
        return factory
