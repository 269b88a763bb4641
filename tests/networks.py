"""What tests need for networks of their own (network_namespaces(7)): no right, where users may have namespaces."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest


def require_networks(*programs: str) -> None:
    """Skips the test where there can be none, or one of ``programs`` is missing; with ``CI=true`` that is an error."""
    lacking = _lacking(("ip", "unshare", *programs))
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(lacking)
    if lacking:
        pytest.skip(lacking)


@functools.cache
def _lacking(programs: tuple[str, ...]) -> str:
    """What is missing here; "" where nothing is."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} here (Debian's iproute2 and util-linux)"
    command = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", "cable", "type", "veth"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return f"no networks of one's own here: {done.stderr.strip()}" if done.returncode else ""
