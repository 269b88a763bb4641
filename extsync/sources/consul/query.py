"""Questions to Consul, above all to its health endpoint, and what a reply says. Pure.

https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from extsync.errors import ReadFailed
from extsync.sources.consul.pace import LONGEST_WAIT

_LONGEST_TOLD: Final = 200
_NOT_CONSUL: Final = "is this Consul's API? A proxy in front of it may need pathPrefix"
_CURES: Final[Mapping[int, str]] = {
    400: "check filter, tags and the other keys that choose instances",
    403: "the token needs service:read on the service and node:read on its nodes",
    429: "the servers limit the rate of requests: wait, or raise their limits",
    500: "look into the log of the agent",
}
_CURES_BY_WORDS: Final[Mapping[str, str]] = {
    "ACL not found": "there is no such token, or no longer",
    "expression": "check filter",  # with status 500 before Consul 1.10
    "No cluster leader": "the servers have to elect a leader first: look at `consul operator raft list-peers`",
    "No path to datacenter": "check datacenter: the agent's servers must know it (`consul catalog datacenters`)",
}


class Choice(Protocol):
    """The keys of a ``consul`` block that say where instances are and which of them are meant."""

    @property
    def server(self) -> str: ...
    @property
    def path_prefix(self) -> str | None: ...
    @property
    def datacenter(self) -> str | None: ...
    @property
    def namespace(self) -> str | None: ...
    @property
    def partition(self) -> str | None: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def node_meta(self) -> Mapping[str, str]: ...
    @property
    def filter(self) -> str | None: ...
    @property
    def allow_stale(self) -> bool: ...
    @property
    def wait(self) -> float: ...


class Api:
    """Where Consul's API is, and whose catalog is meant."""

    def __init__(self, choice: Choice) -> None:
        prefix = (choice.path_prefix or "").strip("/")
        self._base = choice.server.rstrip("/") + (f"/{quote(prefix)}" if prefix else "")
        self._datacenter = _given(dc=choice.datacenter)
        self.place = self._datacenter + _given(ns=choice.namespace, partition=choice.partition)
        """The parameters that say whose catalog is meant."""
        self.whose: Mapping[str, str] = dict(_given(Namespace=choice.namespace, Partition=choice.partition))
        """The same within a datacenter, as bodies of questions say it."""

    def url(
        self, path: str, narrow: Iterable[tuple[str, str]] = (), *, whole: bool = False, consistent: bool = True
    ) -> str:
        """The URL of a question with the parameters ``narrow``; ``whole``: on the datacenter as a whole."""
        parameters = [*(self._datacenter if whole else self.place), *narrow]
        if consistent:
            parameters.append(("consistent", ""))
        return self.path(path) + (f"?{urlencode(parameters)}" if parameters else "")

    def path(self, path: str) -> str:
        """The URL without parameters."""
        return self._base + path

    def shown(self, path: str) -> str:
        """The URL as messages show it."""
        return self.path(path) + (f"?{urlencode(self.place)}" if self.place else "")


class Query:
    """Everything that is asked about one service. ``wait`` is how long Consul may wait for a change, in seconds."""

    def __init__(self, choice: Choice, service: str) -> None:
        api = Api(choice)
        path = f"/v1/health/service/{quote(service, safe='')}"
        self.wait = min(choice.wait, LONGEST_WAIT)
        self.service = service
        self.shown = api.shown(path)
        """The URL as messages show it."""
        self._path = api.path(path)
        self._place = api.place
        self._narrow = [("tag", tag) for tag in choice.tags]
        self._narrow += [("node-meta", f"{key}:{value}") for key, value in sorted(choice.node_meta.items())]
        self._narrow += _given(filter=choice.filter)
        self._allow_stale = choice.allow_stale

    @property
    def question(self) -> str:
        """What makes two of them the same question: how it is answered, and how long that may take, do not count."""
        return self.url(index=None, consistent=True)

    @property
    def is_narrowed(self) -> bool:
        """Whether the answer may be empty although the service exists."""
        return bool(self._narrow)

    def url(self, *, index: int | None, consistent: bool) -> str:
        """The URL to get: Consul waits for an index above ``index``, or answers at once.

        A consistent query should not wait: newer agents answer those that do from a stream of their own.
        """
        parameters = self._place + self._narrow
        if consistent:
            parameters.append(("consistent", ""))
        elif self._allow_stale:
            parameters.append(("stale", ""))
        if index is not None:
            parameters += [("index", str(index)), ("wait", f"{round(self.wait * 1000)}ms")]
        return f"{self._path}?{urlencode(parameters)}" if parameters else self._path


class Heading(msgspec.Struct, frozen=True):
    """What the headers of an answer say of it; ``last_contact`` is in seconds."""

    index: int
    known_leader: bool
    last_contact: float
    filtered: bool


def read_heading(status: int, headers: Mapping[str, str], body: bytes) -> Heading:
    """The heading of an answer with instances; raises ReadFailed with the reason and the cure where it is none."""
    if status != 200:
        text = _text(body)
        told = f" ({text})" if text else ""
        raise ReadFailed(f"has status {status}{told}: {_cure(status, text)}")
    index = headers.get("X-Consul-Index", "")
    if not index.isdecimal():
        raise ReadFailed(f"has no X-Consul-Index: {_NOT_CONSUL}")
    contact = headers.get("X-Consul-LastContact", "0")
    return Heading(
        index=int(index),
        known_leader=headers.get("X-Consul-KnownLeader", "true").lower() != "false",
        last_contact=int(contact) / 1000 if contact.isdecimal() else 0.0,
        filtered=headers.get("X-Consul-Results-Filtered-By-ACLs", "false").lower() == "true",
    )


def _given(**parameters: str | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters.items() if value]


def _cure(status: int, text: str) -> str:
    by_words = (cure for words, cure in _CURES_BY_WORDS.items() if words in text)
    return next(by_words, _CURES.get(min(status, 500), _NOT_CONSUL))


def _text(body: bytes) -> str:
    """The text of an error, on one line. Consul writes plain text; a page of HTML, as proxies do, tells nothing."""
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", body[: 4 * _LONGEST_TOLD].decode(errors="replace")).split())
    if text.startswith("<"):
        return ""
    return text if len(text) <= _LONGEST_TOLD else text[:_LONGEST_TOLD] + "..."
