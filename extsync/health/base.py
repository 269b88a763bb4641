"""What a kind of check is.

A kind is a callable ``factory(config, context) -> Check``, registered under the entry-point group ``extsync.checks`` by
the key of its block in the manifest. ``config`` is the validated block (built-in kinds) or the ``config`` mapping of a
``plugin`` block (third parties), which the factory validates itself, raising ConfigError.

A check does no I/O. The prober connects, makes TLS where asked, sends what the check asks, receives and lets the check
judge what has come; so a kind is a few pure functions over bytes, and sockets, deadlines and thresholds are the same
for all of them. One check serves every endpoint of a service. It is an immutable value: checks made from equal
configurations are equal, and it can be pickled, since probes may run in another process. An attempt in which it raises
is skipped, and no evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from extsync.file_roots import ANYWHERE, FileRoots
from extsync.health.tls import Tls


class Request(msgspec.Struct, frozen=True, gc=False):
    """One connection of an attempt: where it goes at the probed address, and what is said on it.

    ``port`` is connected to, with TLS where ``tls`` is set (``preface`` goes before it in the clear); ``data`` is sent
    as soon as that stands. Where ``listens`` is False the attempt passes then, otherwise it goes on until the check has
    judged the answer. With ``datagram`` it goes by UDP: ``data`` is one datagram, and what is judged is each datagram
    that comes back, by itself. With ``session`` the connection has a state of its own, see Session.

    The rest is for the check alone. ``host`` and ``path`` are for kinds whose answers can refer to them: the name or
    address that the request is for, and what it asks for. ``stage`` is for kinds that say several things one after
    another (see Say): which of them this is.
    """

    port: int
    data: bytes = b""
    listens: bool = False
    tls: Tls | None = None
    server_name: str = ""
    host: str = ""
    path: str = ""
    stage: str = ""
    datagram: bool = False
    preface: bytes = b""
    session: Session | None = None


class Keep(Enum):
    """Whether a connection can serve the next attempt as well.

    LATER: once the rest of the answer has come, which the attempt need not wait for.
    """

    NO = 0
    LATER = 1
    YES = 2


class Passed(msgspec.Struct, frozen=True, gc=False):
    """The attempt succeeded; ``note`` is what a person should know nevertheless.

    With ``keep`` the next attempt may begin on the same connection, by saying ``data`` again; after a Follow or a Say
    it never does. While the rest of an answer is awaited (LATER), ``judge`` is called with what else comes, and what it
    returns then counts for ``keep`` alone.
    """

    note: str = ""
    keep: Keep = Keep.NO


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed; ``reason`` says why in words that follow "httpGet ...: "."""

    reason: str


class Follow(msgspec.Struct, frozen=True, gc=False):
    """The attempt goes on with another connection to the same address, within the same deadline."""

    request: Request


class Say(msgspec.Struct, frozen=True, gc=False):
    """The attempt goes on over the same connection, within the same deadline.

    What was received so far is done with. ``request`` takes the place of the one before it: its ``data`` is sent, and
    what comes then is judged as the answer to it, unless it does not listen. Its ``port`` means nothing, and its
    ``tls`` only where the connection is not secured yet: then TLS begins here, after ``preface`` and before ``data``.
    """

    request: Request


Result: TypeAlias = Passed | Failed | Follow | Say

PASSED: Final = Passed()


class Session(Protocol):
    """A check's state of one connection, for protocols that have one: compression, numbers of streams, windows.

    It lives as long as its connection, which may be several attempts. It stands for the check's ``judge`` and
    ``awaited`` and for the request's ``data``: all that comes is given to it, each byte once, and after any method
    ``outgoing`` hands over what is to be sent. It does no I/O either, and need not be comparable or picklable.
    """

    def begin(self) -> None:
        """Begins an attempt: the first one, or another one after a pass that kept the connection."""
        ...

    def receive(self, data: bytes, eof: bool) -> Result | None:
        """What follows from ``data`` and all that came before it; otherwise as ``judge``. It never returns Say."""
        ...

    def rest(self, data: bytes) -> bool:
        """Takes what comes between two attempts; returns whether the connection can still serve one."""
        ...

    def outgoing(self) -> bytes:
        """What is to be sent now."""
        ...

    @property
    def answered(self) -> bool:
        """Whether the server has dealt with this attempt at all.

        Until then whatever goes wrong on a kept connection is held against that, and the attempt begins anew.
        """
        ...

    def awaited(self) -> str:
        """As the check's."""
        ...


class Check(Protocol):
    """The rule by which endpoints are probed."""

    def request(self, host: str, port: int) -> Request:
        """How an attempt at the address ``host`` and ``port`` begins."""
        ...

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        """What follows from ``received``, everything that has come in answer to ``request``; None: read on.

        ``eof`` says that nothing more will come; then None counts as a failure. It is called again with more each
        time, so it must be cheap, and must decide before some tens of kilobytes.
        """
        ...

    def awaited(self, request: Request, received: bytes) -> str:
        """What an attempt was waiting for when it ended after ``received`` had come in answer to ``request``.

        In words that follow "timed out after 1 s waiting for ".
        """
        ...

    def describe(self, host: str, port: int) -> str:
        """The check of one endpoint in few words that a person recognises it by, without secrets."""
        ...


class CheckContext(msgspec.Struct, frozen=True):
    """What a check may know of its surroundings.

    ``base_dir`` is the folder that relative paths start from; ``environ`` has the variables that secrets name, and
    ``roots`` are the directories whose files may be read.
    """

    base_dir: Path
    environ: Mapping[str, str]
    roots: FileRoots = ANYWHERE


CheckFactory: TypeAlias = Callable[[Any, CheckContext], Check]


def host_port(host: str, port: int) -> str:
    """An address and a port as they are written together: 192.0.2.1:80, [2001:db8::1]:80."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
