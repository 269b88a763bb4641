"""extsync in a network of its own, from which a cable leads to the backends and a relay to the API server.

So the cable can be pulled out. Such networks (network_namespaces(7)) take no rights where users may have namespaces.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PORT: Final = 80
NETWORKS: Final = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
"""Those that RFC 5737 keeps for documentation."""
_LISTENER: Final = """
import socket, sys, threading
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=256)
def accept():
    while True:
        listener.accept()[0].close()
threading.Thread(target=accept, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


class Apart:
    """Two networks: ``near``, where extsync runs, and ``far``, where ``addresses`` accept connections on ``ports``."""

    def __init__(
        self, addresses: Sequence[str], *, api_port: int, folder: Path, ports: Sequence[int] = (PORT,)
    ) -> None:
        """``addresses`` are of ``NETWORKS``."""
        self._addresses = addresses
        self._ports = ports
        self._api_port = api_port
        self._socket = folder / "api.sock"
        self._running = ExitStack()
        self._near: list[str] = []
        self._far: list[str] = []

    def __enter__(self) -> Self:
        near = self._start("unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo; exec cat")
        self._near = self._entering(near)
        far = self._start(*self._near, "unshare", "--net", "sh", "-c", "echo; exec cat")
        self._far = self._entering(far)
        self.near("link set lo up")
        self.far("link set lo up")
        self.near(f"link add cable type veth peer name cable netns {far}")
        self.near("addr add 10.9.0.1/24 dev cable")
        self.far("addr add 10.9.0.2/24 dev cable")
        self.far("link set cable up")
        for address in self._addresses:
            self.far(f"addr add {address}/32 dev lo")
        self.plug_in()
        for port in self._ports:
            self._start(*self._far, sys.executable, "-c", _LISTENER, str(port))
        for prefix, side in (([], "far"), (self._near, "near")):
            self._start(*prefix, sys.executable, "-m", "tests.api.relay", str(self._socket), side, str(self._api_port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def command(self) -> list[str]:
        """What makes a command run in the near network."""
        return self._near

    def near(self, command: str) -> None:
        """Runs ``ip`` (iproute2) in the near network."""
        subprocess.run([*self._near, "ip", *command.split()], timeout=10, check=True)

    def far(self, command: str) -> None:
        """Runs ``ip`` in the far network."""
        subprocess.run([*self._far, "ip", *command.split()], timeout=10, check=True)

    def pull_out(self) -> None:
        """Takes the near network its cable."""
        self.near("link set cable down")

    def plug_in(self) -> None:
        """The cable is there, or there again."""
        self.near("link set cable up")
        for network in NETWORKS:
            self.near(f"route replace {network} via 10.9.0.2")

    def _entering(self, pid: int) -> list[str]:
        return ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]

    def _start(self, *command: str) -> int:
        """Starts what says a line when it is ready and ends with its standard input; returns its process id."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._running.callback(_stop, process)
        assert process.stdout is not None
        assert process.stdout.readline(), f"{command} did not start"
        return process.pid


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    try:
        process.wait(timeout=50)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=50)
