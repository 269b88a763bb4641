"""What validation finds wrong with an object."""

from __future__ import annotations

from extsync.errors import Invalid


class Problems:
    """Collects (field, message) pairs, so that one answer names everything that is wrong."""

    def __init__(self) -> None:
        self._causes: list[tuple[str, str]] = []

    def add(self, field: str, message: str) -> None:
        """Notes ``message`` for ``field``; "" is no problem."""
        if message:
            self._causes.append((field, message))

    @property
    def text(self) -> str:
        """All that was noted, for a person; "" where nothing was."""
        return "; ".join(f"{field}: {message}" for field, message in self._causes)

    def raise_if_any(self, what: str) -> None:
        """Raises Invalid with all that was noted about ``what``."""
        if self._causes:
            raise Invalid(f"{what} is invalid: {self.text}", tuple(self._causes))
