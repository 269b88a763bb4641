"""Tests in a process of their own, where they may use up what the process has, and in networks of their own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import os
import signal
import socket
import subprocess
import traceback
import warnings
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, Self

import pytest

from tests.networks import require_networks

P = ParamSpec("P")

SECONDS: Final = 45
"""How long such a process may live."""

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def in_own_process(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Runs a test in a fork of this process; the test fails with what it says there."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        _forked(lambda: test(*args, **kwargs))

    del wrapper.__wrapped__  # else it would be taken for a coroutine function
    return wrapper


def in_own_network(test: Callable[[Networks], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test in a process that has two networks to itself (network_namespaces(7)); no right is needed for that.

    Where the system does not allow it the test is skipped; with ``CI=true`` that is an error.
    """

    async def with_networks() -> None:
        with Networks() as networks:
            await test(networks)

    def wrapper() -> None:
        require_networks()
        _forked(with_networks)

    wrapper.__name__, wrapper.__doc__, wrapper.__module__ = test.__name__, test.__doc__, test.__module__
    return wrapper


class Networks:
    """This process's network, ``near``, with a cable to that of a router, ``far``, behind which 203.0.113.0/24 is."""

    ROUTER: Final = "10.9.0.2"

    def __init__(self) -> None:
        self._running = ExitStack()
        self._far = 0

    def __enter__(self) -> Self:
        _own_network()
        self.near("link set lo up")
        # A process that does nothing keeps the other network.
        keeper = self._running.enter_context(
            subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        assert keeper.stdout is not None
        keeper.stdout.readline()
        self._far = os.open(f"/proc/{keeper.pid}/ns/net", os.O_RDONLY)
        self._running.callback(os.close, self._far)
        self.near(f"link add cable type veth peer name cable netns {keeper.pid}")
        for command in ("link set lo up", f"addr add {self.ROUTER}/24 dev cable", "link set cable up"):
            self.far(command)
        self.near("addr add 10.9.0.1/24 dev cable")
        self.near("link set cable up")
        self.near(f"route add 203.0.113.0/24 via {self.ROUTER}")
        self._there(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        self._there(lambda: Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    def near(self, command: str) -> None:
        """Runs ``ip`` (iproute2) here."""
        subprocess.run(["ip", *command.split()], check=True)

    def far(self, command: str) -> None:
        """Runs ``ip`` on the router."""
        self._there(lambda: self.near(command))

    def listen(self, host: str) -> socket.socket:
        """A socket that listens on an address of the router."""
        listener = self._there(lambda: socket.create_server((host, 0)))
        assert isinstance(listener, socket.socket)
        return listener

    def limit_ports(self, first: int, last: int) -> None:
        """Leaves connections no other ports of their own than these."""
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"{first} {last}")

    def _there(self, action: Callable[[], Any]) -> Any:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _call(_LIBC.setns, self._far, _CLONE_NEWNET)
            try:
                return action()
            finally:
                _call(_LIBC.setns, here, _CLONE_NEWNET)
        finally:
            os.close(here)


def _own_network() -> None:
    try:
        _call(_LIBC.unshare, _CLONE_NEWNET)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        _call(_LIBC.unshare, _CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _call(function: Any, *arguments: int) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _forked(test: Callable[[], Awaitable[None]]) -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the child does not go near
        child = os.fork()
    if child == 0:
        _run_and_exit(test, writer)
    os.close(writer)
    with open(reader, errors="replace") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if told or status:
        pytest.fail(told or f"it ended with {os.waitstatus_to_exitcode(status)}", pytrace=False)


def _forget_inherited(kept: int) -> None:
    """Closes what is open in the process that this one was forked from: in these tests descriptors are counted."""
    gc.freeze()  # the objects that they belong to must not close them again
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _run_and_exit(test: Callable[[], Awaitable[None]], writer: int) -> None:
    _forget_inherited(writer)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)

    async def main() -> None:
        await test()

    try:
        asyncio.run(main())
    except BaseException:
        os.write(writer, traceback.format_exc().encode())
    finally:
        os._exit(0)
