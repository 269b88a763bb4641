"""Fixtures of the api tier: one real control plane for all its tests, and a namespace for each."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import assets
from tests.cluster.control_plane import ControlPlane

MEASURED = pytest.StashKey[list[str]]()
SHIPPED_ROLE = Path(__file__).parents[2] / "deploy" / "kustomize" / "base" / "clusterrole.yaml"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The control plane, started at its first use. A test that stops its API server starts it again."""
    found = assets.state()
    if isinstance(found, assets.Unavailable):
        pytest.fail(found.reason)
    if isinstance(found, assets.Buildable):
        log = found.log.read_text(errors="replace") if found.log.exists() else ""
        pytest.fail(f"the control plane could not be built. The end of {found.log}:\n{log[-2000:]}")
    with ControlPlane(found.directory) as running:
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of a namespace of the test's own, deleted with all that is in it after the test."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    control_plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    """A kubeconfig of the user ``admin``, who may do everything."""
    return control_plane.kubeconfig("admin")


@pytest.fixture(scope="session")
def extsync_kubeconfig(control_plane: ControlPlane) -> Path:
    """A kubeconfig of the user ``extsync``, who has the role that deploy/ ships, in all namespaces, and no more."""
    role = SHIPPED_ROLE.read_text().replace("name: extsync\n", "name: shipped\n")
    control_plane.kubectl("create", "-f", "-", stdin=role)
    control_plane.kubectl("create", "clusterrolebinding", "shipped", "--clusterrole=shipped", "--user=extsync")
    return control_plane.kubeconfig("extsync")


@pytest.fixture
def guest_kubeconfig(control_plane: ControlPlane) -> Path:
    """A kubeconfig of the user ``guest``, who may do nothing."""
    return control_plane.kubeconfig("guest")


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Callable[[str, float, float], None]:
    """Notes what was measured, in seconds, and what is promised, for the end of the run. Nothing depends on it."""
    lines = pytestconfig.stash.setdefault(MEASURED, [])

    def note(what: str, took: float, promised: float) -> None:
        lines.append(f"{took:5.2f} s of {promised:g} s  {what}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured, of what is promised")
        for line in lines:
            terminalreporter.write_line(line)
