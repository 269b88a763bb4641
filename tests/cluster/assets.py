"""Where the binaries of the real control plane are, and how they get there.

``KUBEBUILDER_ASSETS`` is used where it is set. Otherwise they are built with Go into the user's cache, in a folder
named by the Kubernetes version and the content of go.mod, so that a changed go.mod leads to a new build.

Only the standard library is used: ``python3 -m tests.cluster.assets build`` runs before there is a virtual environment.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


@dataclass(frozen=True)
class Ready:
    """The binaries are in ``directory``."""

    directory: Path


@dataclass(frozen=True)
class Buildable:
    """The binaries are not there; ``build`` makes them in ``directory``."""

    directory: Path

    @property
    def log(self) -> Path:
        """Where a build in the background writes its output."""
        return self.directory.with_name(self.directory.name + ".log")


@dataclass(frozen=True)
class Unavailable:
    """The binaries are not there and cannot be built; ``reason`` is one line for a person."""

    reason: str


State = Ready | Buildable | Unavailable


def state() -> State:
    """Say whether a control plane can be started from here, without changing anything."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        return _named_by_environment(Path(named))
    directory = cache_directory()
    if not missing_from(directory):
        return Ready(directory)
    problem = go_problem(HERE)
    return Unavailable(problem) if problem else Buildable(directory)


def build(directory: Path) -> None:
    """Build what is missing in ``directory``; of several builds at once the first works and the others wait for it.

    Raises:
        subprocess.CalledProcessError: the build failed; its output went to standard error.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if missing_from(directory):
            # The fast tests run beside it, on as few as two cores.
            subprocess.run(["nice", "-n", "10", str(HERE / "build.sh"), str(directory)], check=True)


def cache_directory() -> Path:
    """The folder that belongs to this go.mod in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = (HERE / "go.mod").read_bytes()
    version = re.search(rb"^\tk8s\.io/kubernetes (v\S+)", content, re.MULTILINE)
    if version is None:
        raise ValueError(f"{HERE / 'go.mod'} does not require k8s.io/kubernetes")
    return cache / "extsync-cluster" / f"{version[1].decode()}-{hashlib.sha256(content).hexdigest()[:12]}"


def missing_from(directory: Path) -> list[str]:
    """The names of the binaries that are not in ``directory``."""
    return [name for name in BINARIES if not os.access(directory / name, os.X_OK)]


def _named_by_environment(directory: Path) -> State:
    missing = missing_from(directory)
    if not missing:
        return Ready(directory)
    return Unavailable(
        f"KUBEBUILDER_ASSETS={directory} lacks {', '.join(missing)}; kube-controller-manager is needed beside the "
        "others. Add what is missing, or unset the variable to have all of them built with Go"
    )


def go_problem(module: Path) -> str | None:
    """Why the Go here cannot build what the go.mod in the folder ``module`` names, or None."""
    if shutil.which("go") is None:
        return "neither Go nor KUBEBUILDER_ASSETS is there to get a control plane from"
    # Any command that loads go.mod fetches the Go version that it names or, where that is not allowed, refuses.
    answer = subprocess.run(["go", "list", "-m"], cwd=module, capture_output=True, text=True, timeout=300, check=False)
    if answer.returncode:
        return f"this Go cannot build what {module / 'go.mod'} names: {answer.stderr.strip().splitlines()[-1]}"
    return None


def main(arguments: list[str]) -> int:
    """``build``: make the binaries if they are not there and print their folder; 0 there, 1 not possible, 2 usage."""
    if arguments != ["build"]:
        print("usage: python -m tests.cluster.assets build", file=sys.stderr)
        return 2
    found = state()
    if isinstance(found, Unavailable):
        print(found.reason, file=sys.stderr)
        return 1
    if isinstance(found, Buildable):
        try:
            build(found.directory)
        except subprocess.CalledProcessError:
            print("the control plane could not be built; see above", file=sys.stderr)
            return 1
    print(found.directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
