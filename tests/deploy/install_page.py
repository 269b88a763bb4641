"""The YAML that docs/install.md shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "install.md"


def blocks() -> list[str]:
    """Every block of YAML, without the indentation of a list."""
    found = re.findall(r"^( *)```yaml\n(.*?)^ *```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indentation}", "", text, flags=re.MULTILINE) for indentation, text in found]


def shown(file: str) -> str:
    """The block whose first line names ``file``."""
    [found] = [text for text in blocks() if text.startswith(f"# {file}\n")]
    return found
