"""The tiers of the tests, in the order in which they run: fast, real sockets (``sockets``), control plane (``api``).

A fast test that would use the network fails: it belongs to the sockets tier, or should take a seam. The binaries of the
control plane and of other real servers are had in the background, if need be, while tests without them run
(``tests/cluster/plugin.py``).
"""

import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.cluster.plugin import CONTROL_PLANE, BackgroundBuild
from tests.helm import fixtures as helm_fixtures
from tests.servers import fixtures as server_fixtures

API_TESTS = Path(__file__).parent / "api"
IN_CI = os.environ.get("CI") == "true"

# Its tests are run by classes elsewhere that inherit them; pytest explains the assertions of test modules only.
pytest.register_assert_rewrite("tests.contract")

hypothesis.settings.register_profile("extsync", deadline=None, derandomize=IN_CI, print_blob=True)
hypothesis.settings.load_profile("extsync")


def pytest_configure(config: pytest.Config) -> None:
    for wanted in (CONTROL_PLANE, helm_fixtures.WANTED, *server_fixtures.WANTED):
        build = BackgroundBuild(config, wanted, must_run=IN_CI)
        config.pluginmanager.register(build, f"extsync-background-build of {wanted.name}")
    config.pluginmanager.register(server_fixtures, "extsync-servers")
    config.pluginmanager.register(helm_fixtures, "extsync-helm")
    config.pluginmanager.register(NoNetworkInFastTests(), "extsync-no-network")


@pytest.hookimpl(tryfirst=True)  # before ``-m`` selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(API_TESTS):
            item.add_marker(pytest.mark.api)
    items.sort(key=_tier)


def _tier(item: pytest.Item) -> int:
    if item.get_closest_marker("api"):
        return 2
    return 1 if item.get_closest_marker("sockets") else 0


class NoNetworkInFastTests:
    """Refuses Internet sockets to tests without a marker, and fails those that asked for one."""

    _EVENTS = frozenset({"socket.bind", "socket.connect", "socket.sendto"})
    _FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})

    def __init__(self) -> None:
        self._watching = False
        self._refused: list[str] = []
        sys.addaudithook(self._audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._watching = _tier(item) == 0
        self._refused.clear()
        try:
            return (yield)
        finally:
            self._watching = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        try:
            yield
        finally:
            if self._refused:
                pytest.fail(f"{self._refused[0]} in a test that is not marked with pytest.mark.sockets")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watching and event in self._EVENTS and arguments[0].family in self._FAMILIES:
            self._refused.append(f"{event} {arguments[1]}")
            raise PermissionError(self._refused[-1])
