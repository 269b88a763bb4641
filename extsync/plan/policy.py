"""What a plan is told to do, and what it says besides its changes."""

from __future__ import annotations

import msgspec

from extsync.objects import KubeObject

MOST_ENDPOINTS_PER_SLICE = 1000
"""The API's limit."""


class PackPolicy(msgspec.Struct, frozen=True):
    """How one service is published.

    ``owner`` is the owner id. ``labels`` and ``annotations`` are the manifest's; they go onto every object.
    ``slices`` and ``endpoints`` say which kinds are published: at least one of them. ``adopt``: slices and Endpoints
    that nobody keeps are taken over.
    """

    owner: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    max_endpoints_per_slice: int = 100
    slices: bool = True
    endpoints: bool = True
    adopt: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_endpoints_per_slice <= MOST_ENDPOINTS_PER_SLICE:
            raise ValueError(f"max_endpoints_per_slice must be 1 to {MOST_ENDPOINTS_PER_SLICE}")
        if not (self.slices or self.endpoints):
            raise ValueError("slices, endpoints or both must be published")


class Refusal(msgspec.Struct, frozen=True):
    """Something that the plan does not do although the manifest asks for it.

    ``code`` is a word for events and tests; ``reason`` says why, ``cure`` what a person can do. ``about`` is the kind
    of the object that is in the way, where one of somebody else is.
    """

    code: str
    reason: str
    cure: str
    about: type[KubeObject] | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.cure}"


class Notice(msgspec.Struct, frozen=True):
    """Something that a person should know: a warning, or what the plan waits for. ``code`` is a word for events."""

    code: str
    text: str

    def __str__(self) -> str:
        return self.text
