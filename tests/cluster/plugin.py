"""A pytest plugin: builds the control plane's binaries in the background while the other tiers run.

The build starts only when tests of the api tier are among those selected, and their first one waits for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress

import pytest

from tests.cluster import assets

BUILD_MINUTES = 45


class BackgroundBuild:
    """Starts the build, waits for it before the first test that needs it, and ends it with the session.

    Where a control plane is not to be had the api tier is skipped with the reason, or is an error if it ``must_run``.
    """

    def __init__(self, config: pytest.Config, *, must_run: bool) -> None:
        self._config = config
        self._must_run = must_run
        self._build: subprocess.Popen[bytes] | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        items = [item for item in session.items if item.get_closest_marker("api")]
        if not items or session.config.option.collectonly:
            return
        found = assets.state()
        if isinstance(found, assets.Unavailable):
            self._do_without(items, found.reason)
        elif isinstance(found, assets.Buildable):
            self._start(found)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of the test's own time-out
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if self._build is not None and item.get_closest_marker("api"):
            self._wait(self._build)
            self._build = None
        return (yield)

    def pytest_sessionfinish(self) -> None:
        if self._build is not None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(self._build.pid, signal.SIGTERM)
            self._build.wait(timeout=10)

    def _do_without(self, items: list[pytest.Item], reason: str) -> None:
        if self._must_run:
            raise pytest.UsageError(f"the api tier must run under CI=true: {reason}")
        self._say(f"api tier skipped: {reason}")
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))

    def _start(self, wanted: assets.Buildable) -> None:
        wanted.log.parent.mkdir(parents=True, exist_ok=True)
        with wanted.log.open("wb") as log:
            self._build = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.assets", "build"],
                cwd=self._config.rootpath,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._say(
            "building a control plane for the api tier in the background, once (5 to 10 minutes, 1 with Go's caches); "
            f"the other tiers run meanwhile. Log: {wanted.log}"
        )

    def _wait(self, build: subprocess.Popen[bytes]) -> None:
        for minute in range(BUILD_MINUTES):
            try:
                build.wait(timeout=60 if minute else 0.1)
                return
            except subprocess.TimeoutExpired:
                self._say(f"waiting for the build of the control plane ({minute} min)")
        raise pytest.UsageError(f"the control plane was not built within {BUILD_MINUTES} minutes")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)
