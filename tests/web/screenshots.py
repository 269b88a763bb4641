"""The pictures of the page in the documentation. ``python -m tests.web.screenshots [FOLDER]``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser

from tests.servers import programs
from tests.servers.programs import Programs
from tests.web.browser import chromium
from tests.web.stage import town, trouble

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWS = {
    "services": "#/services",
    "service": "#/services/shop/search",
    "sources": "#/sources",
    "withheld": "#/withheld",
    "replica": "#/replica",
}


async def take(folder: Path, found: Programs) -> None:
    """Writes a picture of each view in each scheme."""
    stage = town()
    async with chromium(found) as browser, stage.running(), stage.serving() as url:
        await stage.settled(24)
        await stage.clock.sleep(5.0)
        await trouble(stage)
        pictures = [
            _picture(browser, f"{url}/{place}", folder / f"page-{name}-{scheme}.png", scheme)
            for scheme in SCHEMES
            for name, place in VIEWS.items()
        ]
        phone = _picture(browser, f"{url}/#/services", folder / "page-phone-light.png", "light", width=390, height=844)
        await asyncio.gather(*pictures, phone)


async def _picture(
    browser: Browser, url: str, path: Path, scheme: Literal["light", "dark"], *, width: int = 1280, height: int = 860
) -> None:
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    await page.goto(url)
    await page.get_by_text("Live", exact=True).wait_for()
    await page.wait_for_timeout(4000)
    await page.screenshot(path=path)
    await page.close()


if __name__ == "__main__":
    state = programs.state("chromium")
    if not isinstance(state, Programs):
        sys.exit("there is no Chromium here: python -m tests.servers.programs fetch chromium")
    asyncio.run(take(Path(sys.argv[1]) if sys.argv[1:] else FOLDER, state))
