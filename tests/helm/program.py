"""Where helm is, and how it gets there: built with Go, at the version of the go.mod here, into the user's cache.

A helm in PATH is not used: what `helm lint` and `helm template` say should not depend on the machine. Only the standard
library is used: ``python3 -m tests.helm.program build`` runs before there is a virtual environment.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.cluster.assets import Buildable, Ready, State, Unavailable, go_problem

HERE = Path(__file__).resolve().parent
MODULE = "helm.sh/helm/v4"


def state() -> State:
    """Say whether helm is there, without changing anything."""
    directory = cache_directory()
    if _is_in(directory):
        return Ready(directory)
    problem = go_problem(HERE)
    return Unavailable(problem) if problem else Buildable(directory)


def build(directory: Path) -> None:
    """Build helm in ``directory``; of several builds at once the first works and the others wait for it.

    Raises:
        subprocess.CalledProcessError: the build failed; its output went to standard error.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_in(directory):
            draft = directory / ".helm"
            flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w")
            # The fast tests run beside it, on as few as two cores.
            subprocess.run(
                ["nice", "-n", "10", "go", "build", *flags, "-o", str(draft), f"{MODULE}/cmd/helm"],
                cwd=HERE,
                env={**os.environ, "CGO_ENABLED": "0"},
                check=True,
            )
            draft.rename(directory / "helm")  # whole or not at all


def cache_directory() -> Path:
    """The folder that belongs to this go.mod in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = (HERE / "go.mod").read_bytes()
    version = re.search(rf"^\t{re.escape(MODULE)} (v\S+)".encode(), content, re.MULTILINE)
    if version is None:
        raise ValueError(f"{HERE / 'go.mod'} does not require {MODULE}")
    return cache / "extsync-helm" / f"{version[1].decode()}-{hashlib.sha256(content).hexdigest()[:12]}"


def _is_in(directory: Path) -> bool:
    return os.access(directory / "helm", os.X_OK)


def main(arguments: list[str]) -> int:
    """``build``: make helm if it is not there and print where it is; 0 there, 1 not possible, 2 usage."""
    if arguments != ["build"]:
        print("usage: python -m tests.helm.program build", file=sys.stderr)
        return 2
    found = state()
    if isinstance(found, Unavailable):
        print(found.reason, file=sys.stderr)
        return 1
    if isinstance(found, Buildable):
        try:
            build(found.directory)
        except subprocess.CalledProcessError:
            print("helm could not be built; see above", file=sys.stderr)
            return 1
    print(found.directory / "helm")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
