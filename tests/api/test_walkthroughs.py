"""The tutorials and how-tos, done as their readers do them: each file written, each command run, each answer compared.

extsync and kubectl run in a network of their own, from which the addresses that the pages name are reached. Output that
a page shows must come, but for what is another one each time; ``...`` stands for anything. What only looks is asked
again until it does.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.api.apart import Apart
from tests.cluster.control_plane import ControlPlane
from tests.docs.blocks import ROOT, Block, blocks
from tests.networks import require_networks
from tests.servers.programs import Programs

PAGES = sorted([*(ROOT / "docs" / "tutorial").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")])
ADDRESSES = re.compile(r"\b(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d+\b")
PORTS = (80, 443, 3306, 5432, 8080)
LOOKS = re.compile(r"(?:kubectl get|extsync (?:status|explain|diff|doctor))\b")
PATIENCE = 30.0
"""Seconds until what looks must have seen it; no test is right because of it."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(
    page: Path, control_plane: ControlPlane, consul_programs: Programs, tmp_path: Path
) -> None:
    require_networks("nsenter")
    reader = list(blocks(page))
    with tidied(control_plane), Walk.begun(page, control_plane, consul_programs, tmp_path) as walk:
        for block, answer in zip(reader, [*reader[1:], None], strict=True):
            walk.do(block, answer if answer is not None and answer.language == "text" else None)


class Walk:
    """One reader, who has a folder, a network and a namespace."""

    def __init__(self, folder: Path, networks: Apart, environment: dict[str, str], running: ExitStack) -> None:
        self._folder = folder
        self._networks = networks
        self._environment = environment
        self._running = running

    @classmethod
    @contextmanager
    def begun(cls, page: Path, control_plane: ControlPlane, consul: Programs, folder: Path) -> Iterator[Walk]:
        (folder / "work").mkdir()
        (folder / "bin").mkdir()
        _write_launcher(folder / "bin" / "consul", consul.paths["consul"], consul.environment)
        programs = [Path(sys.executable).parent, control_plane.kubectl_path.parent, folder / "bin"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXTSYNC_")}
        environment = inherited | {
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "HOME": str(folder),
            "KUBECONFIG": str(control_plane.kubeconfig("admin")),
        }
        api_port = urlsplit(control_plane.url).port or 443
        addresses = sorted(set(ADDRESSES.findall(page.read_text())))
        with ExitStack() as running:
            networks = running.enter_context(Apart(addresses, api_port=api_port, folder=folder, ports=PORTS))
            yield cls(folder / "work", networks, environment, running)

    def do(self, block: Block, answer: Block | None) -> None:
        """What a reader does at a block, of which ``answer`` is what the page shows."""
        act, *details = block.directive.split() or [""]
        if act in ("down", "up"):
            for address in details:
                self._networks.far(f"addr {'del' if act == 'down' else 'add'} {address}/32 dev lo")
        elif act == "elsewhere":
            return
        elif block.title:
            (self._folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (self._folder / block.title).write_text(block.text)
        elif block.language == "sh" and act == "background":
            self._running.enter_context(self._in_the_background(block))
        elif block.language == "sh":
            self._run(block, answer, fails=act == "fails")

    def _run(self, block: Block, answer: Block | None, *, fails: bool) -> None:
        until = time.monotonic() + PATIENCE
        lines = [line for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
        only_looks = all(LOOKS.match(line) for line in lines)
        while True:
            done = subprocess.run(
                self._command(block.text),
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE * 2,
                check=False,
            )
            said = done.stdout
            if (done.returncode != 0) == fails and (answer is None or shows(said, answer.text)):
                return
            if not only_looks or time.monotonic() > until:
                expected = f", and should print:\n{answer.text}" if answer else ""
                pytest.fail(f"{block.place}\n{block.text}ended with {done.returncode}, printed:\n{said}{expected}")
            time.sleep(0.2)

    @contextmanager
    def _in_the_background(self, block: Block) -> Iterator[None]:
        log = self._folder.parent / "background.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command(f"exec {block.text.strip().removesuffix('&')}"),
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield
        except BaseException as error:
            error.add_note(log.read_text()[-4000:])
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=50)

    def _command(self, script: str) -> list[str]:
        return [*self._networks.command, "bash", "-euo", "pipefail", "-c", script]


def _write_launcher(path: Path, program: Path, environment: Mapping[str, str]) -> None:
    """Makes ``path`` run ``program`` with what it needs in its environment, and nobody else does."""
    needed = [f"{name}={value}" for name, value in environment.items() if os.environ.get(name) != value]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(["env", *needed, str(program)])} "$@"\n')
    path.chmod(0o755)


@contextmanager
def tidied(control_plane: ControlPlane) -> Iterator[None]:
    """Readers use the namespace ``default``: nothing that they made is left there."""
    try:
        yield
    finally:
        kinds = "services,endpoints,endpointslices,pods,deployments"
        not_its_own = "component!=apiserver,provider!=kubernetes,kubernetes.io/service-name!=kubernetes"
        control_plane.kubectl("delete", kinds, "--namespace=default", f"--selector={not_its_own}", "--wait=false")


VARIES: Final = {
    "time": r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    "age": r"\b\d+(?:\.\d+)?(?:ms|s|m|h)\b",
    "hash": r"(?<=-)[0-9a-f]{10}(?=-)",  # slices are named after what their Service is
    "service": r"\b10\.96\.\d+\.\d+",
    "number": r"\b\d+\.\d(?= ms)",
    "anything": r"\.\.\.",
}
"""What is not the same each time, and may be different from what a page shows."""


def shows(said: str, wanted: str) -> bool:
    """Whether the words that are wanted come in this order, whatever the space between them."""
    varies = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in VARIES.items()))
    pattern, at, wanted = "", 0, " ".join(wanted.split())
    for match in varies.finditer(wanted):
        allowed = r"[\s\S]*?" if match.lastgroup == "anything" else VARIES[match.lastgroup or ""]
        pattern += re.escape(wanted[at : match.start()]) + f"(?:{allowed})"
        at = match.end()
    return re.search(pattern + re.escape(wanted[at:]), " ".join(said.split())) is not None
