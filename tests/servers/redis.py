"""A real Redis server on loopback, with everything in memory."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import Component, free_ports
from tests.servers.programs import Programs

START_SECONDS = 10.0
COMMAND_SECONDS = 10.0


class Redis:
    """A server, which runs inside the ``with`` block.

    Attributes:
        port: Where it listens at 127.0.0.1.
        tls_port: Where it does so with TLS, for which ``settings`` name a certificate; otherwise nobody listens there.
    """

    def __init__(self, programs: Programs, directory: Path, *settings: str) -> None:
        """``settings`` are further arguments of ``redis-server``; ``directory`` is an empty folder."""
        self.port, self.tls_port = free_ports(2)
        secure = ("--tls-port", str(self.tls_port)) if any("tls" in setting for setting in settings) else ()
        arguments = ("--port", str(self.port), *secure, "--bind", "127.0.0.1", "--save", "", *settings)
        self._server = Component(
            programs.paths["redis-server"], arguments, directory=directory, environment=programs.environment
        )

    def __enter__(self) -> Self:
        self._server.start(self._answers, seconds=START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.kill()

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._server.log.read_text(errors="replace")

    def ask(self, *commands: str) -> str:
        """What it answers to commands, all of it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=COMMAND_SECONDS) as connection:
            connection.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.decode(errors="replace")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except OSError:
            return False
