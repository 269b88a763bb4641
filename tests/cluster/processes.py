"""Child processes that tests talk to: started with a log file each, ended with SIGKILL."""

import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.waiting import wait_for

# Below the ports that Linux and macOS give to outgoing connections, so that none of those takes one of ours meanwhile.
_PORTS = range(20000, 32000)
_LOG_LINES_SHOWN = 20


class ComponentFailedError(RuntimeError):
    """A component ended or was not ready in time; the message has the end of its log."""


class Component:
    """One program: its command, its log and, while it runs, its process."""

    def __init__(
        self,
        program: Path,
        arguments: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """``directory`` is where it works and has its log; ``environment`` None is that of the tests.

        ``user`` is whom it runs as, which only root can choose; None: as who runs the tests.
        """
        self.name = program.name
        self.log = directory / f"{self.name}.log"
        self._command = [*_ending_with_its_parent(), str(program), *arguments]
        self._directory = directory
        self._environment = environment
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Start it and wait until ``ready`` says that it answers.

        Raises:
            ComponentFailedError: it ended by itself or was not ready within ``seconds``; it does not run then.
        """
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C on a terminal is for the tests, which then end it
                user=self._user,
                extra_groups=None if self._user is None else (),
            )
        self._process = process

        def is_up() -> bool:
            if process.poll() is not None:
                raise self._failure(f"ended with status {process.returncode}")
            return ready()

        try:
            wait_for(is_up, f"answer from {self.name}", seconds=seconds)
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise self._failure(f"was not ready within {seconds:g} s") from error
            raise

    @property
    def pid(self) -> int | None:
        """The number of its process while it runs."""
        return None if self._process is None else self._process.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once if it runs: its data is thrown away, and a graceful stop takes over 10 s.

        ``number`` is of the signal by which it ends at once, where that is another one.
        """
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=50)
            self._process = None

    def send(self, number: int) -> None:
        """Send a signal that does not end it."""
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(number)

    def _failure(self, what: str) -> ComponentFailedError:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:])
        return ComponentFailedError(f"{self.name} {what}. The end of its log:\n{tail}")


def free_ports(count: int) -> list[int]:
    """``count`` different ports on which nothing listens at 127.0.0.1 and ::1, neither by TCP nor by UDP."""
    hosts = [host for host in ("127.0.0.1", "::1") if can_listen(host)]
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if _is_free(port, hosts):
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"fewer than {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def can_listen(host: str, port: int = 0, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether one may listen at an address of this machine; ``port`` 0 asks for any port at all."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


def _is_free(port: int, hosts: Sequence[str]) -> bool:
    return all(can_listen(host, port, kind=kind) for host in hosts for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


def _ending_with_its_parent() -> list[str]:
    """On Linux, a prefix by which the kernel ends the program when the tests are killed and cannot do it any more."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
