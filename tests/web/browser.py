"""A real Chromium, driven by Playwright, with the fonts that come with it and nothing of the machine's own settings."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.servers.programs import Programs

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)

FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>{own}</dir>
  <cachedir>{cache}</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


@asynccontextmanager
async def chromium(programs: Programs) -> AsyncIterator[Browser]:
    """A browser with an empty profile."""
    program = programs.paths["chromium-headless-shell"]
    with tempfile.TemporaryDirectory(prefix="extsync-chromium-") as name:
        environment: dict[str, str | float | bool] = dict(programs.environment)
        environment["FONTCONFIG_FILE"] = str(_fonts(program, Path(name)))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=[*FLAGS], env=environment)
            try:
                yield browser
            finally:
                await browser.close()


def _fonts(program: Path, folder: Path) -> Path:
    """A configuration of fonts: those that were unpacked with the ``program``, and the machine's."""
    file = folder / "fonts.conf"
    file.write_text(FONTS.format(own=program.parents[2] / "share" / "fonts", cache=folder / "cache"))
    return file
