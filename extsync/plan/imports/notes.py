"""What there is to say of an import, so that nothing is lost without a word."""

from __future__ import annotations

import msgspec

MOST_PLACES = 3
"""Places that are named one by one where the same is to be said of many."""


class Note(msgspec.Struct, frozen=True):
    """One thing that a manifest says otherwise than the objects. ``places`` are where it was found, the first few.

    ``changes``: it would change what is published; else it is good to know.
    """

    text: str
    places: tuple[str, ...]
    number: int
    changes: bool

    def __str__(self) -> str:
        more = f" and {self.number - len(self.places)} more" if self.number > len(self.places) else ""
        return f"{', '.join(self.places)}{more}: {self.text}"


class Notes:
    """Collects notes; what is said of many places becomes one note."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, bool], list[str]] = {}

    def say(self, place: str, text: str) -> None:
        """Something that is good to know."""
        self._places.setdefault((text, False), []).append(place)

    def change(self, place: str, text: str) -> None:
        """Something that would change what is published."""
        self._places.setdefault((text, True), []).append(place)

    def all(self) -> tuple[Note, ...]:
        """Every note, changes first."""
        notes = (
            Note(text, tuple(places[:MOST_PLACES]), len(places), changes)
            for (text, changes), places in self._places.items()
        )
        return tuple(sorted(notes, key=lambda note: not note.changes))
