"""``extsync run`` as a user runs it, with an API server that is away: it waits, and stops when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, extsync, kubeconfig, manifest, write

pytestmark = pytest.mark.sockets


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig for a server on a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield kubeconfig(tmp_path / "config", f"http://127.0.0.1:{taken.getsockname()[1]}")


def run_until(*arguments: str | Path, says: tuple[str, ...], number: signal.Signals, stdin: str = "") -> str:
    """Runs until everything in ``says`` was logged, then sends the signal; returns the log."""
    command = [str(COMMAND), "run", *map(str, arguments)]
    pipe, environment = subprocess.PIPE, {"EXTSYNC_LISTEN": "none", **os.environ}
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(stdin)
        process.stdin.close()
        log: str = ""
        while not all(text in log for text in says):
            line = process.stderr.readline()
            assert line, f"it ended: {log}"
            log += line
        process.send_signal(number)
        log += process.stderr.read()
        process.wait(timeout=30)
        assert process.stdout is not None
        assert process.stdout.read() == ""  # results only; there are none
    assert process.returncode == 0, log
    return log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_also_while_the_server_is_away(
    number: signal.Signals, config: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.json", manifest())
    log = run_until("-f", path, "--kubeconfig", config, says=("default/orders: kept", "cannot connect"), number=number)
    assert "Traceback" not in log
    assert log.rstrip().endswith("stopping")
    assert "sesame-open" not in log


def test_a_wrong_manifest_never_stops_the_others(config: Path, tmp_path: Path) -> None:
    sound = write(tmp_path / "a.json", manifest("sound"))
    wrong = write(tmp_path / "b.json", manifest("wrong", spec={"ports": [{"port": 70000}]}))
    says = ("default/sound: kept", "spec.ports[0].port")
    run_until("-f", sound, wrong, "--kubeconfig", config, says=says, number=signal.SIGTERM)


def test_manifests_may_come_from_standard_input_and_logs_may_be_json(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTSYNC_LOG_FORMAT", "json")
    text = write(tmp_path / "m.json", manifest()).read_text()
    says = ('"message": "default/orders: kept from now on, as <stdin> says"',)
    run_until("-f", "-", "--kubeconfig", config, says=says, number=signal.SIGTERM, stdin=text)


def test_probe_workers_end_with_the_command(config: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest(spec={"checks": [{"tcpSocket": {"port": "http"}}]}))
    says = ("default/orders: kept", "probe worker 2 runs with process id")
    log = run_until("-f", path, "--kubeconfig", config, "--probe-workers", "2", "-v", says=says, number=signal.SIGTERM)
    assert "Traceback" not in log
    pids = [int(pid) for pid in re.findall(r"probe worker \d runs with process id (\d+)", log)]
    assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_wrong_number_of_probe_workers_is_refused(config: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    done = extsync("run", "-f", path, "--kubeconfig", config, "--probe-workers", "65")
    assert (done.returncode, done.stderr) == (1, "extsync: --probe-workers: must be at most 64\n")


def test_metrics_and_health_are_served_where_it_is_told(config: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    says = ("the page, status, health and metrics at http://127.0.0.1:",)
    run_until("-f", path, "--kubeconfig", config, "--listen", "127.0.0.1:0", says=says, number=signal.SIGTERM)


def test_an_address_that_is_taken_ends_it_with_what_to_do(config: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", manifest())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = extsync("run", "-f", path, "--kubeconfig", config, "--listen", address)
    said = f"extsync: listen: {address} cannot be listened on: "
    assert (done.returncode, done.stderr.splitlines()[-1][: len(said)]) == (1, said)
    assert "choose another address and port, or none" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("shards: 4", "shards: 4 shards are shared out by leader election: set leaderElection to true"),
        (
            "leaseDuration: 5s",
            "retryPeriod do not fit together: the lease duration (5 s)",
        ),
        (
            "retryPeriod: 9s",
            "retryPeriod do not fit together: the renew deadline (10 s)",
        ),
    ],
)
def test_settings_of_an_election_that_do_not_fit_together_are_refused(
    settings: str, said: str, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(settings)
    done = extsync("run", "-f", write(tmp_path / "m.json", manifest()), "--kubeconfig", config, "--config", file)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_manifest_of_another_namespace_than_that_of_the_command_line_is_not_kept(
    config: Path, tmp_path: Path
) -> None:
    one, other = (manifest(name) for name in ("inside", "outside"))
    one["metadata"]["namespace"], other["metadata"]["namespace"] = "shop", "elsewhere"
    paths = write(tmp_path / "a.json", one), write(tmp_path / "b.json", other)
    says = ("shop/inside: kept", "namespace 'elsewhere' is not that of --namespace shop")
    log = run_until("-f", *paths, "-n", "shop", "--kubeconfig", config, says=says, number=signal.SIGTERM)
    assert "elsewhere/outside" not in log
