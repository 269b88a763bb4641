"""The table of faults in README.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"(\S+\.py)::(test_\w+)", (HERE / "README.md").read_text())
    assert len(named) > 40
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in (HERE / file).read_text()] == []


def test_every_test_here_is_in_the_table() -> None:
    table = (HERE / "README.md").read_text()
    for module in HERE.glob("test_*.py"):
        if module.name != Path(__file__).name:
            for test in re.findall(r"def (test_\w+)\(", module.read_text()):
                assert f"{module.name}::{test} " in table.replace(",", " "), f"{module.name}::{test}"
