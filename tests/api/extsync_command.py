"""extsync as a user runs it: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

COMMAND = Path(sys.executable).with_name("extsync")


def extsync(*arguments: str | Path, kubeconfig: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={**_environment(), "KUBECONFIG": str(kubeconfig)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


class Running:
    """``extsync run`` inside a ``with`` block; at its end it is stopped by SIGTERM, and must end well."""

    def __init__(self, *arguments: str | Path, kubeconfig: Path, log: Path, within: Sequence[str] = ()) -> None:
        """``within``: a command that runs the one behind it somewhere else."""
        self.log = log
        self._killed = False
        with log.open("a") as output:
            self._process = subprocess.Popen(
                [*within, COMMAND, "run", *map(str, arguments)],
                env={**_environment(), "KUBECONFIG": str(kubeconfig)},
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """Ends it without a farewell."""
        self._killed = True
        self._process.kill()
        self._process.wait(timeout=50)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Waits for its end and returns its exit status."""
        return self._process.wait(timeout=50)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._killed:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=50)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=50)
            raise
        if error is None:
            assert status == 0, self.log.read_text()
        else:
            error.add_note(self.log.read_text()[-4000:])


def _environment() -> dict[str, str]:
    """No port that all of them would want."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("EXTSYNC_")}
    return {**ours, "EXTSYNC_LISTEN": "none"}


def manifest(
    namespace: str,
    backends: list[dict[str, Any]],
    *,
    name: str = "orders",
    service: dict[str, Any] | None = {},  # noqa: B006 - never changed; None means: no spec.service
    ports: list[dict[str, Any]] | None = None,
    check: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A manifest with static backends; ``check`` are the fields of a tcpSocket check beside its port."""
    content: dict[str, Any] = {
        "ports": ports or [{"port": 80}],
        "sources": [{"name": "rack", "static": {"backends": backends}}],
        **spec,
    }
    if service is not None:
        content["service"] = service
    if check is not None:
        content["checks"] = [{"tcpSocket": {"port": 80}, **check}]
    return {
        "apiVersion": "extsync.dev/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": content,
    }


def write(path: Path, *manifests: dict[str, Any]) -> Path:
    """Writes manifests into one file, at once as an editor would."""
    draft = path.with_suffix(".draft")
    draft.write_text(yaml.safe_dump_all(manifests))
    return draft.rename(path)


class Cluster:
    """What one namespace has, read by kubectl."""

    def __init__(self, kubectl: Any, namespace: str) -> None:
        self._kubectl = kubectl
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return str(self._kubectl("-n", self.namespace, *arguments, stdin=stdin))

    def slices(self, service: str = "orders") -> list[dict[str, Any]]:
        """The slices of a service, by name."""
        return self._items("endpointslices", "-l", f"kubernetes.io/service-name={service}")

    def endpoints(self, name: str = "orders") -> dict[str, Any] | None:
        """The Endpoints object, None where there is none."""
        return next((obj for obj in self._items("endpoints") if obj["metadata"]["name"] == name), None)

    def ready(self, service: str = "orders") -> dict[str, bool]:
        """Whether each address in the slices of a service is ready."""
        return {
            endpoint["addresses"][0]: endpoint["conditions"]["ready"]
            for slice_ in self.slices(service)
            for endpoint in slice_["endpoints"] or ()
        }

    def split(self, name: str = "orders") -> tuple[set[str], set[str]]:
        """The addresses and the notReadyAddresses of the Endpoints object."""
        subsets = (self.endpoints(name) or {}).get("subsets") or ()
        return (
            {address["ip"] for subset in subsets for address in subset.get("addresses") or ()},
            {address["ip"] for subset in subsets for address in subset.get("notReadyAddresses") or ()},
        )

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every Service, slice and Endpoints object."""
        objects = self._items("services,endpoints,endpointslices")
        return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"]["resourceVersion"] for o in objects}

    def _items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items
