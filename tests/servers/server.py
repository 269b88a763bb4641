"""A server that tests talk to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import Component


class Server(ABC):
    """One program; it runs inside a ``with`` block, where it can be killed and started again."""

    def __init__(self, component: Component) -> None:
        self._component = component

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> Path:
        return self._component.log

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers."""

    def kill(self) -> None:
        """End it at once: connections break and nobody answers at its ports any more."""
        self._component.kill()
