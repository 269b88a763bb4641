"""Exec plugins are run as kubectl runs them."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extsync.errors import ConfigError
from extsync.kube.exec_plugin import ExecPlugin, Issued

VERSION = "client.authentication.k8s.io/v1"
Plugin = Callable[..., ExecPlugin]


def credential(**status: Any) -> str:
    return json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status})


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Makes a plugin of a Python script in the directory of the kubeconfig."""

    def make(script: str, **block: Any) -> ExecPlugin:
        path = tmp_path / "bin" / "plugin"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        settings = {"apiVersion": VERSION, "command": "bin/plugin", **block}
        return ExecPlugin(settings, base=tmp_path, cluster={"server": "https://a"}, environ=dict(os.environ))

    return make


async def test_a_plugin_gets_its_arguments_and_variables_and_issues_a_token(plugin: Plugin) -> None:
    script = f"print({credential(token='T-')!r}.replace('T-', 'T-' + sys.argv[1] + os.environ['STAGE']))"
    issued = await plugin(script, args=["me@"], env=[{"name": "STAGE", "value": "test"}]).issue()
    assert issued.token == "T-me@test"
    assert issued.expires is None
    assert "T-me" not in repr(issued)


async def test_a_plugin_is_told_the_protocol_and_where_it_asks_for_it_the_cluster(plugin: Plugin) -> None:
    script = (
        "status = {'token': os.environ['KUBERNETES_EXEC_INFO']}\n"
        f"print(json.dumps({{'apiVersion': {VERSION!r}, 'kind': 'ExecCredential', 'status': status}}))"
    )
    without = json.loads((await plugin(script).issue()).token or "")
    assert without == {"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}
    told = json.loads((await plugin(script, provideClusterInfo=True).issue()).token or "")
    assert told["spec"]["cluster"] == {"server": "https://a"}


async def test_a_bare_command_is_looked_up_in_the_path_of_its_variables(plugin: Plugin, tmp_path: Path) -> None:
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = plugin(f"print({credential(token='T')!r})", command="plugin", env=[{"name": "PATH", "value": path}])
    assert (await found.issue()).token == "T"


@pytest.mark.parametrize(
    ("timestamp", "expires"),
    [("2027-01-15T08:00:00Z", 1_800_000_000.0), ("2027-01-15T09:00:00+01:00", 1_800_000_000.0)],
)
async def test_a_credential_has_its_expiry(plugin: Plugin, timestamp: str, expires: float) -> None:
    script = f"print({credential(token='T', expirationTimestamp=timestamp)!r})"
    assert (await plugin(script).issue()).expires == expires


async def test_a_command_that_is_not_there_is_answered_with_its_hint(tmp_path: Path) -> None:
    block = {"apiVersion": VERSION, "command": "no-such-plugin", "installHint": "pip install it\n"}
    missing = ExecPlugin(block, base=tmp_path, cluster={}, environ={"PATH": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"exec plugin 'no-such-plugin' is not installed.*: pip install it$"):
        await missing.issue()


async def test_a_plugin_that_fails_is_quoted(plugin: Plugin) -> None:
    with pytest.raises(ConfigError, match=r"'bin/plugin' failed with status 3: not logged in$"):
        await plugin("print('not\\nlogged in', file=sys.stderr); sys.exit(3)").issue()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("s3cret", "did not answer with an ExecCredential"),
        (json.dumps({"apiVersion": VERSION, "kind": "ExecCredential"}), "did not answer with an ExecCredential"),
        (credential(token=5), "did not answer with an ExecCredential"),
        (credential(token="s3cret").replace("/v1", "/v1beta1"), "another apiVersion or kind"),
        (credential(token="s3cret").replace("ExecCredential", "Secret"), "another apiVersion or kind"),
        (credential(), "neither a token nor a client certificate"),
        (credential(clientCertificateData="s3cret"), "neither a token nor a client certificate"),
    ],
)
async def test_an_answer_that_is_no_credential_is_refused_and_not_shown(
    plugin: Plugin, answer: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as error:
        await plugin(f"print({answer!r})").issue()
    assert "s3cret" not in str(error.value)


async def test_a_plugin_that_nobody_waits_for_any_more_is_ended(plugin: Plugin, tmp_path: Path) -> None:
    running = tmp_path / "running"
    os.mkfifo(running)
    script = f"open({str(running)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    asking = asyncio.ensure_future(plugin(script).issue())
    pid = int(await asyncio.to_thread(running.read_text))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_exec_block_without_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing required field `command`"):
        ExecPlugin({"apiVersion": VERSION}, base=tmp_path, cluster={}, environ={})


def test_what_was_issued_shows_no_secrets() -> None:
    assert repr(Issued(token="s3cret", client_key_data="s3cret")) == "Issued(...)"
