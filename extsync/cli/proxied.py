"""A running extsync asked through the Kubernetes API server's proxy: with the rights of the kubeconfig, and no port."""

from __future__ import annotations

import argparse
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from extsync.cli.answers import TIMEOUT, NotKept, document
from extsync.errors import ExtsyncError, Forbidden, NotFound, StoreError, Unauthorized, Unavailable, UsageError, cure
from extsync.kube.access import load_access
from extsync.kube.transport import Transport
from extsync.seams import SystemClock, SystemDialer
from extsync.web.documents import ProcessDocument

_FORM: Final = re.compile(
    r"(?P<namespace>[a-z0-9-]+)/(?:(?P<kind>services?|svc|pods?|po)/)?(?P<name>[a-z0-9.-]+)(?::(?P<port>[a-z0-9-]+))?"
)

_D = TypeVar("_D")


PORT: Final = "9440"
"""Where extsync listens, and its Service does, where nothing else is said. A Service's port has to be named: the API
server finds one without a name only for the port that has none."""


class Place(msgspec.Struct, frozen=True):
    """A Service or pod that answers. ``port`` is a number or, of a Service, a name."""

    namespace: str
    resource: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Reads ``NAMESPACE/SERVICE``, ``NAMESPACE/pods/POD``, both with ``:PORT`` or without; raises UsageError."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise UsageError(
                f"--via-cluster: {text!r} is no Service: write NAMESPACE/SERVICE, such as extsync/extsync, "
                "or NAMESPACE/pods/POD for one replica; behind that :PORT where it is not 9440"
            )
        resource = "pods" if (found["kind"] or "").startswith("po") else "services"
        return cls(found["namespace"], resource, found["name"], found["port"] or PORT)

    @property
    def path(self) -> str:
        """Where the API server passes requests on to it."""
        return f"/api/v1/namespaces/{self.namespace}/{self.resource}/{self.name}:{self.port}/proxy"

    def __str__(self) -> str:
        return f"{self.resource}/{self.name} of namespace {self.namespace}"


class Proxied:
    """A running extsync behind ``place``. Raises ExtsyncError where it cannot be asked."""

    def __init__(self, transport: Transport, place: Place) -> None:
        self._transport = transport
        self._place = place

    async def ask(self, *path: str, kind: type[_D], **query: str) -> _D:
        """The answer at ``path`` below /api/v1; raises NotKept where it does not know what it is asked for."""
        try:
            return await self._ask(path, kind, query)
        except NotFound as error:
            # The API server answers like that where there is no such Service, and so does extsync for what it does
            # not keep: one that tells of itself is there.
            if kind is not ProcessDocument:
                await self.ask("status", kind=ProcessDocument)
                raise NotKept(f"extsync does not keep {'/'.join(path[1:])}") from error
            raise ExtsyncError(f"{error}; is that the Service, or the pod, of an extsync?") from error
        except StoreError as error:
            raise ExtsyncError(f"{error}{self._cure(error)}") from error

    async def _ask(self, path: tuple[str, ...], kind: type[_D], query: dict[str, str]) -> _D:
        parts = "/".join(quote(part, safe="") for part in ("api", "v1", *path))
        what = f"get {self._place} by the API server's proxy"
        asked = {name: value for name, value in query.items() if value}
        body = await self._transport.call(
            "GET", f"{self._place.path}/{parts}", what=what, deadline=TIMEOUT, query=asked
        )
        return document(body, kind, place=str(self._place))

    def _cure(self, error: StoreError) -> str:
        match error:
            case Unauthorized():
                return cure(error)
            case Forbidden():
                return f"; that takes the verb get for {self._place.resource}/proxy in that namespace"
            case Unavailable() if "no service port" in str(error):
                return "; name its port behind it, by name or number: NAMESPACE/SERVICE:PORT"
            case Unavailable() if error.connected:
                return "; does it run, and does it listen on all addresses (listen: :9440), which in a pod it has to?"
        return cure(error)


@asynccontextmanager
async def proxied(args: argparse.Namespace) -> AsyncIterator[Proxied]:
    """What ``--via-cluster`` names, in the cluster of ``--kubeconfig`` and ``--context``."""
    place = Place.parse(args.via_cluster)
    clock = SystemClock()
    access = await load_access(clock=clock, kubeconfig_path=args.kubeconfig, context=args.context)
    transport = Transport(access, clock=clock, dialer=SystemDialer())
    try:
        yield Proxied(transport, place)
    finally:
        await transport.close()
