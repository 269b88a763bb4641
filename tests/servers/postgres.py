"""A real PostgreSQL server on loopback; it refuses to run as root, and runs as ``nobody`` then."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import Component, free_ports
from tests.servers.programs import Programs

START_SECONDS = 20.0
NOBODY = "nobody"

_UP = ("ready to accept connections", "entering standby mode")


class Postgres:
    """A database, which runs inside the ``with`` block.

    Attributes:
        port: Where it listens at 127.0.0.1.
        directory: A folder of its own, which is removed at the end.
    """

    def __init__(
        self,
        programs: Programs,
        *access: str,
        settings: tuple[str, ...] = (),
        tls: tuple[Path, Path] | None = None,
        standby: bool = False,
    ) -> None:
        """``access`` are the lines of its ``pg_hba.conf``; ``settings`` are further ones, written ``name=value``.

        ``tls`` is a certificate and its key. A ``standby`` waits for a primary that it has not been told of.
        """
        (self.port,) = free_ports(1)
        self._user = NOBODY if os.geteuid() == 0 else None
        self._programs = programs
        self._access = access
        self._tls = tls
        self._standby = standby
        self._settings = ("fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1", *settings)
        if tls:
            self._settings += ("ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key")
        self.directory = Path()
        self._server: Component | None = None

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="extsync-postgres-"))
        try:
            self._install()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._remove()

    @property
    def log(self) -> str:
        """What it has said so far."""
        assert self._server is not None
        return self._server.log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, knowing what it knew, and wait until it accepts connections or, as a standby, waits itself."""
        assert self._server is not None
        before = self._server.log.stat().st_size if self._server.log.exists() else 0
        self._server.start(lambda: self._is_up(before), seconds=START_SECONDS)

    def kill(self) -> None:
        """End it at once: connections break and its port refuses."""
        if self._server is not None:
            self._server.kill(signal.SIGQUIT)  # after SIGKILL its shared memory would stay

    def _install(self) -> None:
        programs = self._reachable()
        data = self.directory / "data"
        self._own(self.directory)
        with (self.directory / "initdb.log").open("wb") as log:
            subprocess.run(
                [str(programs["initdb"]), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"],
                env=dict(self._programs.environment),
                cwd=self.directory,
                stdout=log,
                stderr=log,
                timeout=START_SECONDS,
                user=self._user,
                extra_groups=None if self._user is None else (),
                check=True,
            )
        (data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in self._access))
        if self._standby:
            (data / "standby.signal").touch()
        for file, name in zip(self._tls or (), ("server.pem", "server.key"), strict=False):
            shutil.copyfile(file, data / name)
            (data / name).chmod(0o600)
            self._own(data / name)
        settings = (word for setting in self._settings for word in ("-c", setting))
        self._server = Component(
            programs["postgres"],
            ["-D", str(data), "-p", str(self.port), *settings],
            directory=self.directory,
            environment=self._programs.environment,
            user=self._user,
        )

    def _reachable(self) -> dict[str, Path]:
        """The programs, copied to where another user can run them if need be."""
        program = self._programs.paths["postgres"].resolve()
        folders = program.parents[1:]
        if self._user is None or all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders):
            return dict(self._programs.paths)
        root = next(folder.parent for folder in folders if folder.name == "usr")
        copy = self.directory / "programs"
        shutil.copytree(root, copy, symlinks=True)
        self._programs = Programs(
            {name: copy / path.relative_to(root) for name, path in self._programs.paths.items()},
            {name: value.replace(str(root), str(copy)) for name, value in self._programs.environment.items()},
        )
        return dict(self._programs.paths)

    def _own(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user)

    def _is_up(self, since: int) -> bool:
        return any(words in self.log.encode()[since:].decode(errors="replace") for words in _UP)

    def _remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
