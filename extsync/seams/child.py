"""Child processes that are talked to over a socket of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Protocol, TypeAlias

Channel: TypeAlias = socket.socket
"""One end of the socket between a process and its child."""


class Child(Protocol):
    """A process that was started, and this side's end of the socket that leads to it."""

    @property
    def pid(self) -> int: ...

    @property
    def sock(self) -> Channel: ...

    def kill(self) -> None:
        """Ends the process at once, whatever it is doing; nothing happens where it has ended."""
        ...

    def status(self) -> int | None:
        """The exit status once it has ended, negative where that was by a signal; None before.

        Asking is what removes an ended process from the process table.
        """
        ...


class Launcher(Protocol):
    """Starts a Python module as a child process."""

    def __call__(self, module: str, /) -> Child:
        """Runs ``module`` with the number of its socket's descriptor as the only argument.

        Raises OSError where there is no memory, process or descriptor left for it; then nothing remains of it.
        """
        ...


class SystemChild:
    """A process of the operating system."""

    def __init__(self, process: subprocess.Popen[bytes], ours: Channel) -> None:
        self._process = process
        self._sock = ours

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def sock(self) -> Channel:
        return self._sock

    def kill(self) -> None:
        self._process.kill()

    def status(self) -> int | None:
        return self._process.poll()


def launch(module: str, /) -> SystemChild:
    """Starts a fresh interpreter, which has nothing of this process but the socket and standard error.

    A fork would copy the state of an event loop and of threads that do not exist in the copy. The search path for
    modules is this process's, so that what is pickled here is found there.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        number = theirs.fileno()
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(number)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
                env={**os.environ, "PYTHONPATH": path},
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return SystemChild(process, ours)


def inherited(descriptor: int) -> Channel:
    """In the child: its end of the socket."""
    return socket.socket(fileno=descriptor)
