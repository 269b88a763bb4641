"""The installed command in a process of its own, and manifests to give it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("extsync")
EXAMPLES = Path(__file__).parents[2] / "config" / "manifests"


def extsync(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; ``options`` are those of ``subprocess.run``."""
    given = {"capture_output": True, "text": True, "timeout": 50, "check": False, **options}
    return subprocess.run([COMMAND, *map(str, arguments)], **given)


def manifest(name: str = "orders", *, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """A sound manifest with one backend; ``spec`` replaces or adds keys."""
    sound = {
        "service": {},
        "ports": [{"name": "http", "port": 80}],
        "sources": [{"name": "rack", "static": {"backends": [{"address": "192.0.2.1"}]}}],
    }
    return {
        "apiVersion": "extsync.dev/v1alpha1",
        "kind": "ExternalService",
        "metadata": {"name": name},
        "spec": {**sound, **(spec or {})},
    }


def write(path: Path, *manifests: dict[str, Any]) -> Path:
    """Writes manifests as a stream of JSON documents, which are YAML too."""
    path.write_text("\n---\n".join(map(json.dumps, manifests)))
    return path


def kubeconfig(path: Path, server: str) -> Path:
    """A kubeconfig for ``server`` with the token "sesame-open"."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "sesame-open"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}],
        "current-context": "lab",
    }
    path.write_text(json.dumps(config))
    return path
