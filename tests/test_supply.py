"""What is shipped: an image that runs as nobody in particular, and a deployment in which it can write nowhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
HADOLINT = Path(sys.executable).with_name("hadolint")
LAST_STAGE = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]


def instruction(name: str) -> str:
    """The only one of that name in the last stage of the image."""
    [found] = re.findall(rf"^{name} (.*)$", LAST_STAGE, re.MULTILINE)
    return str(found)


def test_the_image_runs_as_a_user_by_number_who_is_not_root() -> None:
    user, _, group = instruction("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_image_starts_the_command_itself_without_a_shell() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["extsync"]
    assert "RUN" not in re.findall(
        r"^[A-Z]+", LAST_STAGE, re.MULTILINE
    )  # nothing is made in it, and nothing left behind


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    told = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold=style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_every_base_image_is_pinned_to_a_release() -> None:
    text = (ROOT / "Dockerfile").read_text()
    [base] = re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", base)
    assert {image.split()[0] for image in re.findall(r"^FROM (.*)$", text, re.MULTILINE)} == {"${BASE}"}


def test_the_image_says_whether_it_is_healthy() -> None:
    """Where extsync serves by default; what runs once has ended before it is asked."""
    [command] = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", LAST_STAGE, re.MULTILINE)
    assert "http://127.0.0.1:9440/healthz" in json.loads(command)[-1]


@pytest.fixture
def pod() -> dict[str, Any]:
    """The specification of the pods that are deployed."""
    deployment = yaml.safe_load((ROOT / "deploy" / "kustomize" / "base" / "deployment.yaml").read_text())
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_the_deployment_takes_every_right_that_is_not_needed(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(instruction("USER").partition(":")[0])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_nothing_is_mounted_that_can_be_written_to(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    assert [mount["name"] for mount in container["volumeMounts"] if mount.get("readOnly") is not True] == []
    assert [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume or "hostPath" in volume] == []
