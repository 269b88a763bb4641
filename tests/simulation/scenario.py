"""The scripted world of a simulation: which services there are, what belongs into them, and what is up.

Four services show four ways of publishing: "rack" is static and checked, and publishes slices and Endpoints; "fleet"
comes from two discovered sources, one of which has nothing and may say nothing, is checked and published in small
slices; "legacy" comes from a discovered source, is not checked and published as Endpoints alone, which the mirroring
controller makes slices of, and adopts what is nobody's; "guest" comes and goes as a whole, and its check has a secret;
"estate" comes from a discovered source that is guarded by the usual times; "ledger" comes from a server that wants
secrets. The routers are static and checked, and never down: there has to be something to compare when the network of
extsync itself fails. Another installation, with an owner id of its own, keeps "annex", and names "rack" as well.
"""

from __future__ import annotations

import errno
from typing import Any

from extsync.address_policy import AddressRules, Lists
from extsync.limits import Limits
from extsync.seams import Clock
from extsync.seams.virtual_net import Behaviour, Failing, Listening, ScriptedProbeIO
from extsync.sources import registry
from extsync.sources.base import Source, SourceContext
from extsync.sources.client import Client
from extsync.sources.http import HttpSource
from extsync.sources.offload import inline
from tests.simulation.feeds import Feed
from tests.simulation.lists import ListServer
from tests.simulation.manifests import Disk

NAMESPACE = "sim"
LEASES = "leases"
"""The namespace of the Leases."""
ROUTERS = {f"router-{number}": (f"192.0.2.{250 + number}",) for number in range(1, 4)}
SERVICES = ("rack", "fleet", "legacy", "guest", "estate", "ledger", *ROUTERS)
PORT = 80
PERIOD, THRESHOLD, TIMEOUT = 3, 2, 1
SLICE_LIMITS = (3, 2)
"""What the manifest of "fleet" says in turn; a lowered limit splits slices."""
SECRET = "tok-5b1f9c0e77"
CREDENTIALS = "crd-91c2d07f3a"
TOKEN = "key-e04f6ab8c1"
SECRETS = (SECRET, CREDENTIALS, TOKEN)
"""Nobody is ever shown these: of a check, and of the headers and the URL of a source."""

RACK = tuple(f"192.0.2.{number}" for number in range(1, 6))
FLEET = tuple(f"198.51.100.{number}" for number in range(1, 11))
LEGACY = tuple(f"203.0.113.{number}" for number in range(1, 6))
GUEST = ("192.0.2.101", "192.0.2.102")
ESTATE = tuple(f"198.18.1.{number}" for number in range(1, 13))
LEDGER = ("198.18.2.1", "198.18.2.2")
ANNEX = ("198.18.3.1",)
DENIED = ("169.254.169.254", "198.18.66.1")
"""Nobody may publish these: one by the usual rules, one by a setting."""
LIMITS = Limits(AddressRules(published=Lists(denied=("198.18.66.0/24",))))
FIXED = {"rack": RACK, "guest": GUEST, **ROUTERS}
STATIC = {**FIXED, "ledger": LEDGER}
RESTLESS = ("fleet", "legacy", "silent")
"""The sources that name others now and then."""
MORTAL = (*RACK, *FLEET, *GUEST)
"""Backends that go up and down."""
CHECKED = (*MORTAL, *(address for addresses in ROUTERS.values() for address in addresses))
SLICES_ONLY = ("fleet", "estate", "ledger")
ENDPOINTS_ONLY = ("legacy",)

_TIMES = f"periodSeconds: {PERIOD}, failureThreshold: {THRESHOLD}, timeoutSeconds: {TIMEOUT}"
_CHECK = f"checks: [{{tcpSocket: {{port: {PORT}}}, {_TIMES}}}]"
_SECRET_CHECK = (
    f"checks: [{{httpGet: {{port: {PORT}, httpHeaders: [{{name: Authorization, value: Bearer {SECRET}}}]}}, {_TIMES}}}]"
)
_DAMPING = "damping: {max: 30s}"
WITHHELD = 15
"""Seconds for which the guard withholds a removal that looks like an accident: so short that it is over when things are
quiet."""
GUARD_WINDOW = 600.0
"""The usual time, which is that of "estate"."""
_GUARD = f"guard: {{window: {WITHHELD}s, confirmAfter: {WITHHELD}s}}"


def _document(name: str, *lines: str) -> str:
    head = (
        "apiVersion: extsync.dev/v1alpha1",
        "kind: ExternalService",
        f"metadata: {{name: {name}, namespace: {NAMESPACE}}}",
        "spec:",
        "  service: {}",
        f"  ports: [{{port: {PORT}}}]",
    )
    return "\n".join((*head, *(f"  {line}" for line in lines), ""))


def _static(name: str) -> str:
    return _named(name, FIXED[name])


def _named(name: str, addresses: tuple[str, ...]) -> str:
    backends = ", ".join(f"{{address: {address}}}" for address in addresses)
    return f"sources: [{{name: {name}, static: {{backends: [{backends}]}}}}]"


def fleet(limit: int) -> str:
    """The manifest of "fleet", with that many endpoints in a slice at most."""
    return _document(
        "fleet",
        "sources:",
        "- {name: fleet, hold: {nodata: 30s}, file: {files: [fleet]}}",
        "- {name: silent, file: {files: [silent]}}",
        _CHECK,
        "publish: [EndpointSlice]",
        f"policy: {{maxEndpointsPerSlice: {limit}, {_DAMPING}, {_GUARD}}}",
    )


DOCUMENTS = {
    "rack": _document("rack", _static("rack"), _CHECK, f"policy: {{{_DAMPING}}}"),
    "fleet": fleet(SLICE_LIMITS[0]),
    "legacy": _document(
        "legacy",
        "sources: [{name: legacy, file: {files: [legacy]}}]",
        "publish: [Endpoints]",
        f"policy: {{adopt: IfUnmanaged, {_GUARD}}}",
    ),
    "estate": _document("estate", "sources: [{name: estate, file: {files: [estate]}}]", "publish: [EndpointSlice]"),
    "ledger": _document(
        "ledger",
        "sources:",
        f"- {{name: ledger, http: {{url: 'http://192.0.2.200/list?token={TOKEN}', refreshInterval: 10s,",
        f"   authorization: {{credentials: {CREDENTIALS}}}}}}}",
        "publish: [EndpointSlice]",
    ),
    "guest": _document("guest", _static("guest"), _SECRET_CHECK, f"policy: {{{_DAMPING}}}"),
    **{name: _document(name, _static(name), _CHECK) for name in ROUTERS},
}

OF_THE_OTHER = {
    "annex": _document("annex", _named("annex", ANNEX)),
    "rack": _document("rack", _named("rack", ANNEX)),
}
"""The manifests of the other installation."""

_NO_PORT = Failing(errno.EADDRNOTAVAIL, latency=None)
_OK = Listening(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", closes=True)


class World:
    """What is true. ``up`` tells of each checked backend whether it answers."""

    def __init__(self, clock: Clock) -> None:
        members = {"fleet": FLEET, "legacy": LEGACY, "silent": (), "estate": ESTATE}
        self.feeds = {name: Feed(addresses, clock) for name, addresses in members.items()}
        self.server = ListServer(LEDGER)
        self.up = dict.fromkeys(CHECKED, True)
        self.disk = Disk(DOCUMENTS, clock)
        self.slice_limit = SLICE_LIMITS[0]
        self.without_port: set[str] = set()
        """The backends towards which no local port is left, on any machine."""
        self._since = dict.fromkeys(CHECKED, 0.0)
        self._down: dict[str, Behaviour] = {}
        self._networks: list[tuple[ScriptedProbeIO, list[Behaviour]]] = []
        self._clock = clock

    def network(self, io: ScriptedProbeIO) -> list[Behaviour]:
        """The network of one replica; what is put into the list is in the way of all its probes, see ``rewire``."""
        cuts: list[Behaviour] = []
        self._networks.append((io, cuts))
        self.rewire()
        return cuts

    def rewire(self) -> None:
        """Something is in the way of a replica's probes, or no more."""
        for address in CHECKED:
            self._script(address)

    def set_up(self, address: str, up: bool, *, down: Behaviour | None = None) -> None:
        """Starts or stops a backend; one that is down refuses, or does what is given."""
        if up != self.up[address]:
            self._since[address] = self._clock.monotonic()
        self.up[address] = up
        self._down[address] = down or Failing()
        self._script(address)

    def set_limit(self, limit: int) -> None:
        """Somebody changes the limit of the slices of "fleet"."""
        self.slice_limit = limit
        self.disk.documents["fleet"] = fleet(limit)
        self.disk.changed()

    def _script(self, address: str) -> None:
        for io, cuts in self._networks:
            state = (_OK if address in GUEST else Listening()) if self.up[address] else self._down[address]
            if address in self.without_port:
                state = _NO_PORT
            io.script(address, PORT, cuts[-1] if cuts else state)

    def create_source(self, kind: str, config: Any, context: SourceContext) -> Source:
        """Stands for ``sources.registry.create``: a ``file`` source here says what its feed says, and there are no
        threads."""
        if kind == "file":
            return self.feeds[context.name]
        if kind == "http":
            client = Client(config, context, max_body=config.max_body_bytes, offload=inline)
            return HttpSource(config, context, client=client, offload=inline)
        return registry.create(kind, config, context)

    def desired(self, service: str) -> frozenset[str]:
        """The addresses that belong into a service."""
        return frozenset(STATIC[service]) if service in STATIC else self.feeds[service].good

    def named_for(self, service: str, address: str) -> float:
        """The seconds for which ``address`` has belonged into a service without a break; 0 where it does not."""
        now = self._clock.monotonic()
        return now if service in STATIC else now - self.feeds[service].named_since.get(address, now)

    def up_for(self, address: str) -> float:
        """The seconds for which a backend has been up; for ever, where nothing checks it, and 0 where it is not."""
        if address not in self.up:
            return float("inf")
        return self._clock.monotonic() - self._since[address] if self.up[address] else 0.0

    def show_what_is_down(self) -> None:
        """What went down while nobody could look begins to show now."""
        now = self._clock.monotonic()
        self._since.update((address, now) for address, is_up in self.up.items() if not is_up)

    def down_for(self, address: str) -> float:
        """The seconds for which a backend has been down and could be seen to be, 0 where it is not."""
        return 0.0 if self.up.get(address, True) else self._clock.monotonic() - self._since[address]
