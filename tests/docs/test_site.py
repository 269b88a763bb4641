"""The documentation builds as a site, strictly: every page has its place, and every link leads somewhere.

What the README shows of the demo is what the demo says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT, blocks


def test_the_readme_shows_what_the_demo_says() -> None:
    [shown] = [block.text for block in blocks(ROOT / "README.md") if block.language == "text"]
    heading = shown.splitlines()[0].removeprefix("== ")
    assert f'"{heading}"' in (ROOT / "extsync" / "cli" / "demo.py").read_text()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).with_name("mkdocs")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "site" / "tutorial" / "external-database.html").is_file()
