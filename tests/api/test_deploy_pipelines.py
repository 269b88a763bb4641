"""The accounts that deploy/pipelines has for pipelines: enough for what the pipelines do, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.api.extsync_command import extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.deploy.chart import KUSTOMIZE

RIGHTS = KUSTOMIZE.parent / "pipelines" / "rights.yaml"
UNSEEN = {("create", "services"), ("update", "services/finalizers")}
"""Asked for by the API server itself: see test_deploy_rights.py."""


@dataclass(frozen=True)
class Pipelines:
    control_plane: ControlPlane
    namespace: str
    folder: Path

    def account(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    def extsync(self, account: str, command: str, *manifests: dict[str, Any]) -> CompletedProcess[str]:
        """What a pipeline runs with the token of ``account``."""
        content = json.loads(self.control_plane.kubeconfig("guest").read_text())
        token = self.control_plane.kubectl("-n", self.namespace, "create", "token", account).strip()
        content["users"][0]["user"] = {"token": token}
        kubeconfig = self.folder / account
        kubeconfig.write_text(json.dumps(content))
        path = write(self.folder / "all.yaml", *manifests)
        arguments = ["-n", self.namespace, "--owner", "pipeline", "--no-probe", "-f", str(path)]
        if command == "apply":
            arguments.append("--prune")
        return extsync(command, *arguments, kubeconfig=kubeconfig)


@pytest.fixture
def pipelines(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Pipelines]:
    """With the accounts of rights.yaml, in the namespace of the test."""
    objects = RIGHTS.read_text().replace("namespace: shop", f"namespace: {namespace}")
    control_plane.kubectl("create", "--validate=strict", "-f", "-", stdin=objects)
    yield Pipelines(control_plane, namespace, tmp_path)
    control_plane.kubectl("delete", "-f", "-", stdin=objects)


def granted(*roles: str) -> set[tuple[str, str]]:
    objects = yaml.safe_load_all(RIGHTS.read_text())
    rules = [rule for obj in objects if obj["metadata"]["name"] in roles for rule in obj.get("rules", ())]
    return {(verb, resource) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_apply_gets_by_with_its_account_and_every_right_of_it_is_used(pipelines: Pipelines) -> None:
    orders = manifest(pipelines.namespace, [{"address": "192.0.2.1"}])
    gone = manifest(pipelines.namespace, [{"address": "192.0.2.2"}], name="gone")
    moved = manifest(pipelines.namespace, [{"address": "192.0.2.3"}])
    for manifests in ([orders, gone], [moved], [moved]):
        done = pipelines.extsync("extsync-apply", "apply", *manifests)
        assert done.returncode == 0, done.stderr
    used = pipelines.control_plane.asked_by(pipelines.account("extsync-apply"))
    rights = granted("extsync-diff", "extsync-apply", "extsync-pipeline")
    assert sorted(used - rights) == []
    assert sorted(rights - used) == sorted(UNSEEN)


def test_diff_gets_by_with_an_account_that_may_only_read(pipelines: Pipelines) -> None:
    orders = manifest(pipelines.namespace, [{"address": "192.0.2.1"}])
    assert pipelines.extsync("extsync-apply", "apply", orders).returncode == 0
    moved = manifest(pipelines.namespace, [{"address": "192.0.2.3"}])
    done = pipelines.extsync("extsync-diff", "diff", moved)
    assert (done.returncode, done.stderr) == (1, "")
    assert "192.0.2.3" in done.stdout
    used = pipelines.control_plane.asked_by(pipelines.account("extsync-diff"))
    assert used == granted("extsync-diff", "extsync-pipeline")


def test_the_account_of_what_is_proposed_cannot_write(pipelines: Pipelines) -> None:
    done = pipelines.extsync("extsync-diff", "apply", manifest(pipelines.namespace, [{"address": "192.0.2.1"}]))
    assert done.returncode == 1
    assert pipelines.control_plane.kubectl("-n", pipelines.namespace, "get", "services", "-o", "name") == ""
