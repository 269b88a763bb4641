"""The process: as a user without a name, with nothing that can be written to; what it opens, and what it tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.confined import confined
from tests.api.extsync_command import COMMAND, Cluster, manifest, write
from tests.cluster.control_plane import TOKENS, ControlPlane
from tests.cluster.processes import free_ports
from tests.cluster.waiting import wait_for
from tests.kube.certificates import CERTIFICATE, KEY
from tests.networks import require_networks

SECRET = "sesame-open-7b1f"
"""What a source has for a token."""
SECRETS = [SECRET, *TOKENS.values(), *KEY.splitlines()[1:-1]]


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    require_networks()  # where there may be those, there may be namespaces of mounts
    return Cluster(control_plane.kubectl, namespace)


def plugin(folder: Path) -> dict[str, Any]:
    """A user whose credentials, a token and a certificate with its key, come from an exec plugin."""
    issued = {"token": TOKENS["extsync"], "clientCertificateData": CERTIFICATE, "clientKeyData": KEY}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": issued}
    script = folder / "plugin"
    script.write_text(f"#!/bin/sh\ncat {folder / 'credential'}\n")
    script.chmod(0o755)
    (folder / "credential").write_text(json.dumps(answer))
    return {"exec": {"apiVersion": answer["apiVersion"], "command": str(script), "interactiveMode": "Never"}}


def data() -> dict[str, Any]:
    """A user whose certificate and key stand in the kubeconfig; the token is what counts with the server."""
    encoded = {"client-certificate-data": CERTIFICATE, "client-key-data": KEY}
    return {"token": TOKENS["extsync"], **{key: b64encode(text.encode()).decode() for key, text in encoded.items()}}


@pytest.fixture(params=["plugin", "data"])
def kubeconfig(
    request: pytest.FixtureRequest, control_plane: ControlPlane, extsync_kubeconfig: Path, tmp_path: Path
) -> Path:
    content = json.loads(extsync_kubeconfig.read_text())
    authority = b64encode(control_plane.ca_file.read_bytes()).decode()
    content["clusters"][0]["cluster"] = {"server": control_plane.url, "certificate-authority-data": authority}
    content["users"][0]["user"] = plugin(tmp_path) if request.param == "plugin" else data()
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


def asking(namespace: str, port: int) -> dict[str, Any]:
    """A manifest with a static source, and one that shows a token to a server that nobody runs."""
    client = {"url": f"http://127.0.0.1:{port}/", "authorization": {"credentials": "${SOURCE_TOKEN}"}}
    one = manifest(namespace, [{"address": "192.0.2.1", "probe": {"host": "127.0.0.1"}}], check={})
    one["spec"]["sources"].append({"name": "inventory", "http": client})
    return one


def test_apply_needs_nothing_that_can_be_written_to(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [{"address": "192.0.2.1"}]))
    command, environment = confined(tmp_path, COMMAND, "apply", "-f", path, "--kubeconfig", kubeconfig, "-vv")
    before = files(tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert cluster.ready() == {"192.0.2.1": True}
    assert [line for line in done.stderr.splitlines() if line.startswith("WRITES")] == []
    assert files(tmp_path) == before
    assert [secret for secret in SECRETS if secret in done.stdout + done.stderr] == []


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@contextmanager
def running(folder: Path, *arguments: str | Path, **variables: str) -> Iterator[tuple[int, Path]]:
    """``extsync run``, confined; its process id and its log. It has to end well."""
    command, environment = confined(folder, COMMAND, "run", "-vv", *arguments)
    log = folder / "run.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**environment, **variables}, stdout=output, stderr=output)
    try:
        yield process.pid, log
    finally:
        process.terminate()
        assert process.wait(timeout=50) == 0, log.read_text()


@pytest.mark.parametrize("kubeconfig", ["plugin"], indirect=True)
@pytest.mark.parametrize("listens", [True, False])
def test_run_writes_nothing_listens_where_it_is_told_and_tells_no_secret(
    cluster: Cluster, kubeconfig: Path, tmp_path: Path, listens: bool
) -> None:
    port, nobody = free_ports(2)
    path = write(tmp_path / "m.yaml", asking(cluster.namespace, nobody))
    listen = f"127.0.0.1:{port}" if listens else "none"
    arguments = ("-f", path, "--kubeconfig", kubeconfig, "--probe-workers", "1", "--listen", listen)
    with running(tmp_path, *arguments, SOURCE_TOKEN=SECRET) as (process, log):
        wait_for(lambda: cluster.ready() == {"192.0.2.1": False}, "endpoints")
        wait_for(lambda: "inventory" in log.read_text(), "word of the source that fails")
        family = [process, *children(process)]
        assert len(family) > 1
        assert [capabilities(one) for one in family] == [0] * len(family)
        assert [found for one in family for found in listening(one)] == ([f"127.0.0.1:{port}"] if listens else [])
        assert {found for one in family for found in open_for_writing(one)} <= {str(log), "/dev/null"}
        told = [Path(f"/proc/{one}/cmdline").read_text() for one in family]
        assert [secret for secret in SECRETS if any(secret in text for text in told)] == []
    said = log.read_text()
    assert [line for line in said.splitlines() if line.startswith("WRITES")] == []
    assert [secret for secret in SECRETS if secret in said] == []


def children(process: int) -> list[int]:
    """The processes that it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process:
            found.append(int(path.parent.name))
    return found


def capabilities(process: int) -> int:
    [line] = re.findall(r"^CapEff:\t(.*)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return int(line, 16)


def descriptors(process: int) -> Iterator[tuple[str, str]]:
    """Number and target of each open file."""
    for path in Path(f"/proc/{process}/fd").iterdir():
        try:
            yield path.name, str(path.readlink())
        except OSError:
            continue  # closed meanwhile


def open_for_writing(process: int) -> Iterator[str]:
    """The files that it may write to; pipes, sockets and the like are none."""
    for number, target in descriptors(process):
        if target.startswith("/"):
            info = Path(f"/proc/{process}/fdinfo/{number}").read_text()
            [flags] = re.findall(r"^flags:\t0*([0-7]+)$", info, re.MULTILINE)
            if int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
                yield target


def listening(process: int) -> Iterator[str]:
    """Where it accepts connections or datagrams from anybody."""
    own = {target for _, target in descriptors(process)}
    for name, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] in states and f"socket:[{fields[9]}]" in own:
                host, _, port = fields[1].partition(":")
                dotted = ".".join(str(byte) for byte in reversed(bytes.fromhex(host))) if len(host) == 8 else host
                yield f"{dotted}:{int(port, 16)}"
