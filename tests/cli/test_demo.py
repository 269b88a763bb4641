"""``extsync demo`` on real sockets, as a user runs it."""

from __future__ import annotations

import io
import signal
import subprocess
import urllib.request
from itertools import islice

import pytest

from extsync.cli.demo import MANIFESTS
from extsync.config.durations import Duration
from extsync.config.loader import load
from tests.cli.command import COMMAND, extsync

pytestmark = pytest.mark.sockets


def test_one_round_shows_failure_and_recovery_and_ends_with_0() -> None:
    done = extsync("demo", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    _, up, down, back = done.stdout.split("\n== ")
    assert up.startswith("all backends are up")
    assert "ready: 192.0.2.11, 192.0.2.12, 192.0.2.13; not ready: none" in up
    assert "ready: 192.0.2.11, 192.0.2.13; not ready: 192.0.2.12" in down
    assert "connection refused" in down
    assert "ready: 203.0.113.21; not ready: 198.51.100.21" in down
    assert "ready: 192.0.2.11, 192.0.2.12, 192.0.2.13; not ready: none" in back
    assert "ready: 198.51.100.21; not ready: none" in back
    assert "\x1b" not in done.stdout  # nobody watches: no terminal codes


def test_it_can_go_on_for_long_since_what_flaps_in_it_is_not_held_back() -> None:
    result = load(["-"], stdin=io.BytesIO(MANIFESTS.format(*range(1, 6)).encode()))
    assert [one.manifest.spec.policy.damping.max for one in result.manifests] == [Duration(0)] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_0_when_it_is_stopped(number: signal.Signals) -> None:
    with subprocess.Popen([COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("== "):
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


def test_it_shows_the_page_while_it_goes_on() -> None:
    with subprocess.Popen([COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        [url] = [line.removeprefix("The page: ").strip() for line in islice(process.stdout, 4) if "The page: " in line]
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"<title>extsync</title>" in answer.read()
        with urllib.request.urlopen(f"{url}api/v1/services", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
