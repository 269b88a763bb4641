"""What docs/install.md shows works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from extsync import __version__
from extsync.cli.main import main
from tests.deploy.chart import KUSTOMIZE, one, template
from tests.deploy.install_page import PAGE, blocks, shown
from tests.helm.fixtures import Helm


def test_every_block_is_yaml() -> None:
    assert len([list(yaml.safe_load_all(text)) for text in blocks()]) == 4


def test_the_image_that_is_built_is_the_one_that_is_deployed() -> None:
    make = ["make", "--dry-run", "--no-print-directory", "image"]
    alone = {"PATH": os.environ["PATH"]}  # and not what a make around the tests was given
    built = subprocess.check_output(make, cwd=KUSTOMIZE.parents[1], env=alone, text=True, timeout=30)
    assert built.split() == ["docker", "build", "--tag", f"extsync:{__version__}", "."]
    deployed = [path.read_text() for path in sorted(KUSTOMIZE.rglob("*.yaml"))]
    assert set(re.findall(r"image: (extsync:\S+)", "".join(deployed))) == {f"extsync:{__version__}"}
    assert f"extsync:{__version__}" in PAGE.read_text()


def test_the_values_that_it_shows_give_a_release_with_a_manifest_in_order(helm: Helm, tmp_path: Path) -> None:
    objects = template(helm, yaml.safe_load(shown("values.yaml")))
    assert {"ServiceMonitor", "PrometheusRule"} <= {obj["kind"] for obj in objects}
    for name, text in one(objects, "ConfigMap", "extsync-manifests")["data"].items():
        (tmp_path / name).write_text(text)
    assert main(["validate", "-f", str(tmp_path)]) == 0


def test_it_names_every_overlay_and_no_other() -> None:
    named = set(re.findall(r"^\| `([a-z]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert named == {path.name for path in (KUSTOMIZE / "overlays").iterdir()}


def test_the_examples_of_the_overlays_are_in_order() -> None:
    manifests = sorted(KUSTOMIZE.rglob("manifests/*.yaml"))
    assert len(manifests) == 2
    assert main(["validate", "-f", *map(str, manifests)]) == 0
