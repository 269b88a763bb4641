"""Text that other people's servers and programs said, made harmless to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` on one line and harmless: what comes from registries and manifests must not steer a terminal, turn the
    direction of writing, or be half of a character, which neither JSON nor Kubernetes takes."""
    if text.isprintable():  # nearly always, and a log line is made of it each time
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
