"""A pytest plugin: what some tests need, and is not there yet, is made in the background while other tests run.

It is started only when tests that need it are among those selected, and the first of them waits for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.cluster import assets


@dataclass(frozen=True)
class Wanted:
    """Something that tests need.

    ``name`` is what it is and ``tests`` what they are, in a few words. ``concerns`` tells them from others. ``state``
    returns Unavailable, Buildable or, if it is there, anything else. ``module`` with its arguments, run by this
    Python, makes it within ``minutes``; ``notice`` is what a person reads meanwhile. If that fails, the tests fail too,
    or are skipped where they ``may_lack_it``.
    """

    name: str
    tests: str
    concerns: Callable[[pytest.Item], bool]
    state: Callable[[], object]
    module: tuple[str, ...]
    notice: str
    minutes: int
    may_lack_it: bool = False


CONTROL_PLANE = Wanted(
    name="control plane",
    tests="api tier",
    concerns=lambda item: item.get_closest_marker("api") is not None,
    state=assets.state,
    module=("tests.cluster.assets", "build"),
    notice="building a control plane for the api tier in the background, once (5 to 10 minutes, 1 with Go's caches); "
    "the other tiers run meanwhile",
    minutes=45,
)


class BackgroundBuild:
    """Starts the build, waits for it before the first test that needs it, and ends it with the session.

    Where it is not to be had its tests are skipped with the reason, or that is an error if they ``must_run``.
    """

    def __init__(self, config: pytest.Config, wanted: Wanted, *, must_run: bool) -> None:
        self._config = config
        self._wanted = wanted
        self._must_run = must_run
        self._items: list[pytest.Item] = []
        self._build: subprocess.Popen[bytes] | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._items = [item for item in session.items if self._wanted.concerns(item)]
        if not self._items or session.config.option.collectonly:
            return
        found = self._wanted.state()
        if isinstance(found, assets.Unavailable):
            self._do_without(found.reason)
        elif isinstance(found, assets.Buildable):
            self._start(found)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of the test's own time-out
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if self._build is not None and self._wanted.concerns(item):
            self._wait(self._build)
            self._build = None
            self._see_what_came_of_it()
        return (yield)

    def pytest_sessionfinish(self) -> None:
        if self._build is not None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(self._build.pid, signal.SIGTERM)
            self._build.wait(timeout=50)

    def _do_without(self, reason: str) -> None:
        if self._must_run:
            raise pytest.UsageError(
                f"under CI=true nothing is skipped, but the {self._wanted.tests} lack this: {reason}"
            )
        self._say(f"{self._wanted.tests} skipped: {reason}")
        for item in self._items:
            item.add_marker(pytest.mark.skip(reason=reason))

    def _see_what_came_of_it(self) -> None:
        found = self._wanted.state()
        if isinstance(found, assets.Buildable) and self._wanted.may_lack_it and not self._must_run:
            self._do_without(f"the {self._wanted.name} could not be had; see {found.log}")

    def _start(self, place: assets.Buildable) -> None:
        place.log.parent.mkdir(parents=True, exist_ok=True)
        with place.log.open("wb") as log:
            self._build = subprocess.Popen(
                [sys.executable, "-m", *self._wanted.module],
                cwd=self._config.rootpath,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self._say(f"{self._wanted.notice}. Log: {place.log}")

    def _wait(self, build: subprocess.Popen[bytes]) -> None:
        for minute in range(self._wanted.minutes):
            try:
                build.wait(timeout=60 if minute else 0.1)
                return
            except subprocess.TimeoutExpired:
                self._say(f"waiting for the {self._wanted.name} ({minute} min)")
        raise pytest.UsageError(f"the {self._wanted.name} was not there within {self._wanted.minutes} minutes")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)
