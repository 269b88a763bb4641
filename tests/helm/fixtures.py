"""The fixture ``helm``, which runs it. Where it is not to be had its tests are skipped; under ``CI=true`` they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.assets import Buildable, Unavailable
from tests.cluster.plugin import Wanted
from tests.helm import program

WANTED = Wanted(
    name="helm",
    tests="tests of the chart",
    concerns=lambda item: "helm" in getattr(item, "fixturenames", ()),
    state=program.state,
    module=("tests.helm.program", "build"),
    notice="building helm in the background, once (2 to 5 minutes)",
    minutes=20,
    may_lack_it=True,
)

Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs helm with some arguments to its end, whatever that is; it knows nothing of whoever runs the tests."""
    found = program.state()
    if isinstance(found, Unavailable):
        pytest.fail(found.reason)
    if isinstance(found, Buildable):
        log = found.log.read_text(errors="replace") if found.log.exists() else ""
        pytest.fail(f"helm could not be built. The end of {found.log}:\n{log[-2000:]}")
    home = str(tmp_path_factory.mktemp("helm"))

    def run(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found.directory / "helm", *map(str, arguments)],
            env={"PATH": os.environ["PATH"], "HOME": home},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run
