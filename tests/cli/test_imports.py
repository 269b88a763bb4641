"""What a command imports: the price of its start. Counted in modules, because times depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.command import EXAMPLES

REPORT = """
import contextlib, io, sys
from extsync.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(sys.argv[1:])
print(*sys.modules)
"""
DATABASE = str(EXAMPLES / "external-database.yaml")
HEAVY = {"aiohttp", "asyncio", "kubernetes_asyncio", "pydantic_settings", "rich", "tenacity"}


@pytest.mark.parametrize(
    ("arguments", "spared"),
    [
        (["--help"], HEAVY | {"msgspec", "pydantic", "yaml", "json", "importlib.metadata"}),
        (["apply", "--help"], HEAVY | {"msgspec", "pydantic", "yaml"}),
        (["--version"], HEAVY | {"msgspec", "pydantic", "yaml"}),
        (["validate", "-f", DATABASE], HEAVY),
        (["schema"], HEAVY),
        (["render", "-f", DATABASE], {"kubernetes_asyncio", "rich"}),
        (["demo", "--help"], HEAVY | {"msgspec", "pydantic", "yaml"}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_command_does_not_import(arguments: list[str], spared: set[str]) -> None:
    command = [sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    imported = set(done.stdout.split())
    assert "extsync.cli.main" in imported
    assert sorted(imported & spared) == []
