"""Which real servers the tests can be run against, and which browser, where their programs are, and how they get there.

Programs on this machine are used where they are new enough. Otherwise the Debian packages that have them are unpacked
into the user's cache, once. Only the standard library is used: ``python3 -m tests.servers.programs fetch`` runs before
there is a virtual environment.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.assets import Buildable, Unavailable
from tests.servers import debian

MORE_PLACES = ("/usr/local/sbin", "/usr/sbin")
"""Where servers are that are not in everybody's PATH."""

LIBRARIES = ("lib/*-linux-*", "usr/lib/*-linux-*", "usr/lib/*-linux-*/pulseaudio")
"""Where unpacked programs find their libraries; a package of Debian has some that only its own libraries know of."""


@dataclass(frozen=True)
class Server:
    """What the tests need of one server.

    ``version`` are the arguments by which the first of ``programs`` tells its version, ``least`` is the lowest that
    will do. ``suite`` is the release of Debian that has the ``packages`` where the present one has not. ``folders`` are
    patterns of those where its programs are, besides those for all programs.
    """

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    version: tuple[str, ...]
    least: tuple[int, int]
    suite: str | None = None
    folders: tuple[str, ...] = ()


SERVERS: Mapping[str, Server] = {
    "blackbox": Server(("prometheus-blackbox-exporter",), ("prometheus-blackbox-exporter",), ("--version",), (0, 19)),
    "busybox": Server(("busybox",), ("busybox",), ("--help",), (1, 30), folders=("bin",)),
    "chromium": Server(
        ("chromium-headless-shell", "fonts-inter", "fonts-dejavu-core"),
        ("chromium-headless-shell",),
        ("--version",),
        (120, 0),
        folders=("usr/lib/chromium",),
    ),
    "consul": Server(("consul",), ("consul",), ("version",), (1, 8), suite="bullseye"),
    "haproxy": Server(("haproxy",), ("haproxy",), ("-v",), (2, 4)),
    "knot": Server(("knot",), ("knotd", "knotc"), ("--version",), (3, 0)),
    "mariadb": Server(
        ("mariadb-server-core", "mariadb-client-core"), ("mariadbd", "mariadb"), ("--no-defaults", "--version"), (10, 5)
    ),
    "nginx": Server(("nginx-light",), ("nginx",), ("-v",), (1, 18)),
    "postgres": Server(
        ("postgresql",), ("postgres", "initdb"), ("--version",), (13, 0), folders=("usr/lib/postgresql/*/bin",)
    ),
    "prometheus": Server(("prometheus",), ("prometheus", "promtool"), ("--version",), (2, 40)),
    "redis": Server(("redis-server",), ("redis-server",), ("--version",), (6, 0)),
}


@dataclass(frozen=True)
class Programs:
    """The programs of a server by name, and the environment to run them in."""

    paths: Mapping[str, Path]
    environment: Mapping[str, str]


State = Programs | Buildable | Unavailable


def state(name: str) -> State:
    """Say whether a server can be started from here, without changing anything."""
    server = SERVERS[name]
    directory = cache_directory(name)
    found = _on_this_machine(server) or _unpacked(server, directory)
    if found is not None:
        return found
    problem = debian.problem()
    if problem:
        wanted = f"{' and '.join(server.programs)} {server.least[0]}.{server.least[1]} or newer"
        return Unavailable(f"{wanted} in PATH is needed, since {problem}")
    return Buildable(directory)


def fetch(name: str) -> None:
    """Unpack the packages of a server into the cache; of several calls at once the first works and the others wait.

    Raises:
        subprocess.SubprocessError: they could not be had; what apt said went to standard error.
    """
    server = SERVERS[name]
    directory = cache_directory(name)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with (directory.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _unpacked(server, directory) is None:
            debian.unpack(server.packages, directory, apt=directory.parent / "apt", suite=server.suite)


def cache_directory(name: str) -> Path:
    """The folder in the user's cache for a server's packages from the release of Debian that runs here."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    server = SERVERS[name]
    content = f"{platform.machine()} {server.packages} {server.suite}".encode()
    release = debian.codename() or "unnamed"
    return cache / "extsync-servers" / f"{name}-{release}-{hashlib.sha256(content).hexdigest()[:12]}"


def _on_this_machine(server: Server) -> Programs | None:
    places = (os.environ.get("PATH", os.defpath), *MORE_PLACES, *_folders(server, Path("/")))
    return _found(server, places, dict(os.environ))


def _unpacked(server: Server, directory: Path) -> Programs | None:
    folders = (folder for pattern in LIBRARIES for folder in sorted(directory.glob(pattern)))
    libraries = os.pathsep.join(map(str, folders))
    environment = {**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
    # What is in usr/bin may be a script that starts what is installed, not what is unpacked: it comes last.
    places = (*_folders(server, directory), *(str(directory / folder) for folder in ("usr/bin", "usr/sbin")))
    return _found(server, places, environment)


def _folders(server: Server, root: Path) -> list[str]:
    return [str(folder) for pattern in server.folders for folder in sorted(root.glob(pattern), reverse=True)]


def _found(server: Server, places: Sequence[str], environment: Mapping[str, str]) -> Programs | None:
    paths = {program: shutil.which(program, path=os.pathsep.join(places)) for program in server.programs}
    found = Programs({program: Path(path) for program, path in paths.items() if path}, environment)
    return found if len(found.paths) == len(server.programs) and _is_new_enough(server, found) else None


def _is_new_enough(server: Server, found: Programs) -> bool:
    """Also finds out whether it runs at all: a library may have left the machine since the packages were unpacked."""
    command = (str(found.paths[server.programs[0]]), *server.version)
    try:
        told = subprocess.run(
            command, env=found.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    version = re.search(rb"(\d+)\.(\d+)", told.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= server.least


def main(arguments: list[str]) -> int:
    """``fetch [NAME...]``: have the named servers, or all, if they are not there; 0 all there, 1 not all, 2 usage."""
    command, names = arguments[:1], arguments[1:] or list(SERVERS)
    if command != ["fetch"] or not set(names) <= set(SERVERS):
        print(f"usage: python -m tests.servers.programs fetch [{'|'.join(SERVERS)}]...", file=sys.stderr)
        return 2
    return max([_fetch_if_missing(name) for name in names])


def _fetch_if_missing(name: str) -> int:
    found = state(name)
    if isinstance(found, Unavailable):
        print(found.reason, file=sys.stderr)
        return 1
    if isinstance(found, Buildable):
        try:
            fetch(name)
        except subprocess.CalledProcessError as error:
            print(f"{name} could not be fetched: {error.cmd[0]} ended with status {error.returncode}", file=sys.stderr)
            return 1
        except subprocess.TimeoutExpired as error:
            print(f"{name} could not be fetched: {error.cmd[0]} took over {error.timeout:g} s", file=sys.stderr)
            return 1
        found = state(name)
        if not isinstance(found, Programs):
            print(f"{name} was unpacked and does not run", file=sys.stderr)
            return 1
    print(*found.paths.values(), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
