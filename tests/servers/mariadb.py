"""A real MariaDB server on loopback, with no accounts but root's and those that a test makes."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import Component, free_ports
from tests.servers.programs import Programs

START_SECONDS = 20.0
COMMAND_SECONDS = 20.0

_SYSTEM_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


class MariaDbCommandError(Exception):
    """The server refused a statement; the message has what it said."""


class MariaDb:
    """A database, which runs inside the ``with`` block.

    It tells everything it logs (``log_warnings=9``) and does not count on its disk. Who connects from 127.0.0.1 is
    exempt from its host cache; an address such as 127.0.0.2 is another host to it.

    Attributes:
        port: Where it listens, on all addresses of loopback.
    """

    def __init__(
        self, programs: Programs, directory: Path, *settings: str, tls: tuple[Path, Path] | None = None
    ) -> None:
        """``settings`` are further arguments of ``mariadbd``; ``tls`` is a certificate and its key.

        ``directory`` is an empty folder.
        """
        (self.port,) = free_ports(1)
        self._programs = programs
        self._directory = directory
        program = programs.paths["mariadbd"]
        share = program.parent.parent / "share" / "mysql"
        as_root = ("--user=root",) if os.geteuid() == 0 else ()
        common = (
            *("--no-defaults", f"--basedir={program.parent.parent}", f"--lc-messages-dir={share}", *as_root),
            *(f"--datadir={directory / 'data'}", "--innodb-log-file-size=4M", "--innodb-flush-log-at-trx-commit=0"),
        )
        certified = (f"--ssl-cert={tls[0]}", f"--ssl-key={tls[1]}") if tls else ()
        arguments = (
            *(*common, f"--port={self.port}", "--bind-address=0.0.0.0", "--socket=here.sock", "--log-warnings=9"),
            *("--performance-schema=ON", *certified, *settings),
        )
        self._server = Component(program, arguments, directory=directory, environment=programs.environment)
        (directory / "data").mkdir()
        self._install(program, share, common)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._server.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, knowing what it knew, and wait until it answers."""
        self._server.start(self._answers, seconds=START_SECONDS)

    def kill(self) -> None:
        """End it at once: connections break and its port refuses."""
        self._server.kill()

    def rows(self, statement: str) -> list[list[str]]:
        """What it answers to a statement of root's.

        Raises:
            MariaDbCommandError: it refused.
        """
        connection = ("--host=127.0.0.1", f"--port={self.port}", "--user=root")
        done = subprocess.run(
            [str(self._programs.paths["mariadb"]), "--no-defaults", *connection, "--batch", "--skip-column-names"],
            input=statement,
            env=dict(self._programs.environment),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise MariaDbCommandError(f"{statement}: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def status(self, *names: str) -> dict[str, int]:
        """Its counters, by name; those of some names only."""
        return {name: int(value) for name, value in self.rows("SHOW GLOBAL STATUS") if name in names}

    def _install(self, program: Path, share: Path, common: tuple[str, ...]) -> None:
        begin = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        tables = begin + "".join((share / name).read_text() for name in _SYSTEM_TABLES)
        with self._server.log.open("ab") as log:
            subprocess.run(
                [str(program), *common, "--bootstrap", "--silent-startup"],
                input=tables.encode(),
                env=dict(self._programs.environment),
                stdout=log,
                stderr=log,
                timeout=START_SECONDS,
                check=True,
            )

    def _answers(self) -> bool:
        try:
            return self.rows("SELECT 1") == [["1"]]
        except MariaDbCommandError:
            return False
