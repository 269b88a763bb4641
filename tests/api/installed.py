"""extsync as deploy/ installs it, but for the container.

It has the ServiceAccount's own token and the arguments and variables of the Deployment, with the folders and the port
of the test in place of those of the pod.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.api.extsync_command import Running, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import free_ports

HASTE = {
    "EXTSYNC_LEASE_DURATION": "3s",
    "EXTSYNC_RENEW_DEADLINE": "2s",
    "EXTSYNC_RETRY_PERIOD": "500ms",
    "EXTSYNC_REMOVAL_DELAY": "1s",
    "EXTSYNC_MANIFEST_POLL_INTERVAL": "1s",
}
"""Settings by which nothing takes long that need not."""
ACCOUNT = "extsync:extsync"
"""The namespace and the name of the ServiceAccount."""


@dataclass(frozen=True)
class Installed:
    """``container`` is that of the Deployment or CronJob, ``folder`` is its /etc/extsync; it is served on ``port``."""

    container: dict[str, Any]
    kubeconfig: Path
    folder: Path
    port: int

    def manifests(self, *manifests: dict[str, Any]) -> None:
        """Makes these, and no others, the manifests that are mounted."""
        write(self.folder / "manifests" / "all.yaml", *manifests)

    @property
    def arguments(self) -> list[str]:
        """Those of the container."""
        return [self._here(argument) for argument in self.container["args"]]

    def mount(self, config_map: dict[str, Any]) -> None:
        """Mounts a ConfigMap for manifests as the kubelet does: files that lead through a link, which is swapped."""
        mounted = self.folder / "manifests"
        version = mounted / f"..{config_map['metadata']['resourceVersion']}"
        version.mkdir()
        for name, content in config_map["data"].items():
            (version / name).write_text(content)
            if not (mounted / name).is_symlink():
                (mounted / name).symlink_to(f"..data/{name}")
        (mounted / "..data_tmp").symlink_to(version.name)
        (mounted / "..data_tmp").rename(mounted / "..data")

    def run(self, *, within: Sequence[str] | None = None) -> Running:
        """``extsync run`` in ``HASTE``; ``within`` runs it in a network of its own, where it listens as in a pod."""
        command, *arguments = self.arguments
        assert command == "run"
        theirs = {variable["name"]: self._here(variable["value"]) for variable in self.container["env"]}
        assert theirs["EXTSYNC_LISTEN"] == ":9440"
        if within is None:
            theirs["EXTSYNC_LISTEN"] = f"127.0.0.1:{self.port}"
        return Running(
            *arguments,
            kubeconfig=self.kubeconfig,
            log=self.folder / "run.log",
            within=(*(within or ()), "env", *(f"{name}={value}" for name, value in {**theirs, **HASTE}.items())),
        )

    def _here(self, text: str) -> str:
        return str(text).replace("/etc/extsync", str(self.folder))


def install(control_plane: ControlPlane, kustomization: Path, folder: Path) -> Installed:
    """Applies what is in the folder ``kustomization``; ``folder`` is an empty one of the test's own."""
    control_plane.kubectl("apply", "--server-side", "-k", str(kustomization))
    objects = list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(kustomization))))
    [maker] = [obj["spec"] for obj in objects if obj["kind"] in ("Deployment", "CronJob")]
    maker = maker["jobTemplate"]["spec"] if "jobTemplate" in maker else maker
    [container] = maker["template"]["spec"]["containers"]
    token = control_plane.kubectl("-n", "extsync", "create", "token", "extsync").strip()
    content = json.loads(control_plane.kubeconfig("guest").read_text())
    content["users"][0]["user"] = {"token": token}
    content["contexts"][0]["context"]["namespace"] = "extsync"
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(content))
    (folder / "manifests").mkdir()
    return Installed(container, kubeconfig, folder, free_ports(1)[0])


def remove(control_plane: ControlPlane, kustomization: Path) -> None:
    """Deletes what is in the folder ``kustomization``, but for its namespace, whose end would take seconds."""
    objects = yaml.safe_load_all(control_plane.kubectl("kustomize", str(kustomization)))
    rest = yaml.safe_dump_all([obj for obj in objects if obj["kind"] != "Namespace"])
    control_plane.kubectl("delete", "--wait=false", "-f", "-", stdin=rest)
