"""The page with 5,000 services in a real Chromium. ``python -m benchmarks.page``.

Browser, driver and status port share this machine. The services change in what the status port serves, not in an
engine that keeps them: what is measured is showing them. A browser that was just started opens the page anew for each
round, with nothing cached.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from dataclasses import dataclass

from playwright.async_api import Browser, Page

from benchmarks.figures import SHORT, Row, all_good, print_table
from extsync.seams import SystemClock
from extsync.web.server import serving
from tests.servers import programs
from tests.servers.programs import Programs
from tests.web.browser import chromium
from tests.web.crowd import Crowd

PART = "page"


@dataclass(frozen=True)
class Size:
    """``rate`` is how many services change a second, for ``seconds``."""

    services: int = 5_000
    rounds: int = 5
    rate: int = 400
    seconds: float = 10.0


SIZE = Size()
SHORT_SIZE = Size(services=200, rounds=1, rate=50, seconds=1.0)

PAINT_LIMIT = 500.0
ROWS_LIMIT = 1000.0
ALL_LIMIT = 3000.0
DRAW_LIMIT = 500.0
DELAY_LIMIT = 1000.0
FRAME_LIMIT = 100.0

WATCH = """
() => {
  const seen = window.seen = { rows: 0, all: 0, drawn: [], longest: 0 };
  const look = () => {
    if (!seen.rows && document.querySelector(".rows-body .row")) seen.rows = performance.now();
    const headline = document.querySelector("h1")?.textContent ?? "";
    if (!seen.all && headline.startsWith("WANTED")) seen.all = performance.now();
    seen.drawn.push(performance.now());
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
  let last = performance.now();
  const frame = (now) => {
    seen.longest = Math.max(seen.longest, now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
"""

PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def rows(size: Size | None = None) -> list[Row]:
    """Paint, updates and delays; none where no Chromium can be had here."""
    size = size or (SHORT_SIZE if SHORT else SIZE)
    found = programs.state("chromium")
    if not isinstance(found, Programs):
        print("without the page: python -m tests.servers.programs fetch chromium", file=sys.stderr)
        return []
    figures = asyncio.run(measure(found, size))
    many = f"page with {size.services:,} services"
    load = f"{many}, {size.rate} change a second"
    return [
        _row(f"{many}, first paint", figures["paint"], PAINT_LIMIT),
        _row(f"{many}, first rows", figures["rows"], ROWS_LIMIT),
        _row(f"{many}, all of them known", figures["all"], ALL_LIMIT),
        _row(f"{load}, from one drawing to the next", figures["draw"], DRAW_LIMIT),
        _row(f"{load}, change to shown, p95", figures["delay"], DELAY_LIMIT),
        _row(f"{load}, longest frame", figures["frame"], FRAME_LIMIT, goal=None),
    ]


def _row(what: str, figure: float, limit: float, *, goal: float | None = 1.0) -> Row:
    return Row(part=PART, what=what, figure=figure, unit="ms", reference=limit, reference_is="limit", goal=goal)


async def measure(found: Programs, size: Size) -> dict[str, float]:
    """Milliseconds: medians of rounds, and of one page that is looked at while services change."""
    crowd = Crowd(size.services)
    async with (
        chromium(found) as browser,
        serving(crowd, host="127.0.0.1", port=0, clock=SystemClock()) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        opened = [await _opened(browser, url, size) for _ in range(size.rounds)]
        figures = {name: statistics.median(one[name] for one in opened) for name in ("paint", "rows", "all")}
        return {**figures, **await _updates(browser, url, crowd, size)}


async def _page(browser: Browser, url: str, size: Size) -> Page:
    page = await browser.new_page(viewport={"width": 1280, "height": 860})
    await page.add_init_script(f"({WATCH.replace('WANTED', f'{size.services:,} services, all well')})()")
    await page.goto(url)
    await _until(page, "window.seen.all > 0")
    return page


async def _until(page: Page, condition: str) -> None:
    """Looks once a frame; the page's policy forbids what Playwright would do for it."""
    look = f"const look = () => ({condition}) ? done() : requestAnimationFrame(look)"
    await page.evaluate(f"() => new Promise((done) => {{ {look}; look(); }})")


async def _opened(browser: Browser, url: str, size: Size) -> dict[str, float]:
    page = await _page(browser, url, size)
    seen = await page.evaluate("({ ...window.seen, drawn: null })")
    paint = await page.evaluate(PAINTED)
    await page.close()
    return {"paint": paint, "rows": seen["rows"], "all": seen["all"]}


async def _updates(browser: Browser, url: str, crowd: Crowd, size: Size) -> dict[str, float]:
    """The page while ``rate`` services a second change, one of which is looked for."""
    page = await _page(browser, url, size)
    first = crowd.service_keys()[0]
    churn = asyncio.create_task(_churn(crowd, size))
    await page.evaluate("Object.assign(window.seen, { drawn: [], longest: 0 })")
    delays, began = [], time.monotonic()
    for number in itertools.count():
        word = ("None ready", "Degraded")[number % 2]
        shown = f"document.querySelector('a[href$=\"/{first.name}\"]')?.closest('.row').textContent.includes('{word}')"
        changed = time.monotonic()
        crowd.change(first, ready=number % 2, not_ready=3)
        await _until(page, shown)
        delays.append((time.monotonic() - changed) * 1000)
        if time.monotonic() - began > size.seconds:
            break
    seen = await page.evaluate("window.seen")
    churn.cancel()
    await page.close()
    delays.sort()
    drawn = [at for before, at in itertools.pairwise(seen["drawn"]) if at - before > 20.0]  # not parts of one drawing
    gaps = [after - before for before, after in itertools.pairwise(drawn)]
    return {
        "draw": statistics.median(gaps or [0.0]),
        "delay": delays[int(len(delays) * 0.95)],
        "frame": seen["longest"],
    }


async def _churn(crowd: Crowd, size: Size) -> None:
    """Changes one service after the other, back and forth, without touching whether it needs attention."""
    step = max(1, size.rate // 50)
    turn = itertools.cycle(crowd.service_keys()[1:])
    number = 0
    while True:
        for key in itertools.islice(turn, step):
            number += 1
            crowd.change(key, ready=3 + number % 7, not_ready=0)
        await asyncio.sleep(step / size.rate)


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
