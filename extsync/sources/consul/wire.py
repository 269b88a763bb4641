"""The parts of Consul's health answer that count here, as Consul names them. Everything else in it is skipped.

Any of them may be missing or null: old and new versions, Enterprise and external registrations differ in what they say.
https://developer.hashicorp.com/consul/api-docs/health#list-service-instances-for-service
"""

from __future__ import annotations

import msgspec


def _consul_name(field: str) -> str:
    return "".join("ID" if word == "id" else word.capitalize() for word in field.split("_"))


class _Part(msgspec.Struct, frozen=True, gc=False, rename=_consul_name):
    """A part of an element of the answer."""


class Node(_Part, frozen=True, gc=False):
    """The machine, or what an external service was registered under."""

    node: str | None = None
    address: str | None = None
    datacenter: str | None = None
    tagged_addresses: dict[str, str | None] | None = None
    meta: dict[str, str | None] | None = None


class TaggedAddress(_Part, frozen=True, gc=False):
    """A further address of an instance, with a port of its own."""

    address: str | None = None
    port: int | None = None


class Weights(_Part, frozen=True, gc=False):
    """The shares of traffic that an instance wants while its checks pass, and while one warns."""

    passing: int | None = None
    warning: int | None = None


class Service(_Part, frozen=True, gc=False):
    """The instance."""

    id: str | None = None
    address: str | None = None
    port: int | None = None
    tags: list[str] | None = None
    meta: dict[str, str | None] | None = None
    tagged_addresses: dict[str, TaggedAddress] | None = None
    weights: Weights | None = None
    namespace: str | None = None
    partition: str | None = None


class Check(_Part, frozen=True, gc=False):
    """One check of the instance or of its node."""

    check_id: str | None = None
    status: str | None = None


class Entry(_Part, frozen=True, gc=False):
    """One element of the answer."""

    node: Node
    service: Service
    checks: list[Check] | None = None


class ServerNode(_Part, frozen=True, gc=False):
    """The node of a server of the cluster. Before Consul 0.7.3 nodes have no ID."""

    node: str = ""
    id: str = ""
    modify_index: int = 0


class ServerService(_Part, frozen=True, gc=False):
    """The service ``consul`` on it."""

    modify_index: int = 0


class ServerEntry(_Part, frozen=True, gc=False):
    """One element of the answer on the service ``consul``, of which other parts count: who the servers are."""

    node: ServerNode
    service: ServerService
