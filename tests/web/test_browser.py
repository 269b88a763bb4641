"""The page in a real Chromium: what it shows, how it is used by keyboard and by a screen reader, and that it lives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from extsync.model import Backend, Observation, Outcome, Rejected
from extsync.seams import SystemClock
from extsync.web.server import serving
from tests.servers.programs import Programs
from tests.web.browser import chromium
from tests.web.contrast import CONTRASTS
from tests.web.crowd import Crowd
from tests.web.stage import Stage, manifest

pytestmark = [pytest.mark.sockets, pytest.mark.asyncio(loop_scope="module")]

UP = [f"192.0.2.{number}" for number in range(1, 4)]
DOWN = ["192.0.2.9"]
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"

expect.set_options(timeout=30_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium_programs: Programs) -> AsyncIterator[Browser]:
    async with chromium(chromium_programs) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that must not have complained of anything at the end."""
    context = await browser.new_context(viewport={"width": 1200, "height": 800})
    one = await context.new_page()
    complaints: list[str] = []
    one.on("pageerror", lambda error: complaints.append(str(error)))
    one.on("console", lambda line: complaints.append(line.text) if _complains(line.type, line.text) else None)
    yield one
    await context.close()
    assert complaints == []


def _complains(kind: str, text: str) -> bool:
    """Whether it is a defect, and not a server that is away or does not have what it is asked for."""
    return kind in ("error", "warning") and "Failed to load resource" not in text


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    """Two services: all is well with ``shop/web``, and of ``shop/db`` one endpoint fails."""
    made = Stage(["shop", "other"])
    made.up(*UP)
    made.put(manifest("shop", "web", UP), manifest("shop", "db", [*UP[:2], *DOWN]))
    async with made.running():
        yield made


async def names(page: Page) -> list[str]:
    """The services in sight, in their order."""
    return [text.replace(" / ", "/") for text in await page.get_by_role("table").get_by_role("link").all_inner_texts()]


async def test_services_are_shown_with_their_counts_and_those_in_need_first(stage: Stage, page: Page) -> None:
    async with stage.serving() as url:
        await page.goto(url)
        await expect(page.get_by_role("heading", level=1)).to_have_text("1 service of 2 needs attention")
        rows = page.get_by_role("row")
        await expect(rows.nth(1)).to_contain_text("shop / db")
        await expect(rows.nth(1)).to_contain_text("Degraded")
        await expect(rows.nth(1)).to_contain_text("2 of 3")
        await expect(rows.nth(2)).to_contain_text("Ready")
        await expect(page.get_by_text("Live", exact=True)).to_be_visible()


async def test_what_changes_is_shown_without_a_reload(stage: Stage, page: Page) -> None:
    async with stage.serving() as url:
        await page.goto(url)
        row = page.get_by_role("row").filter(has_text="web")
        await expect(row).to_contain_text("3 of 3")
        stage.down(UP[2])
        await expect(row).to_contain_text("2 of 3")
        stage.put(manifest("other", "new", UP, checked=False))
        await expect(page.get_by_role("row").filter(has_text="new")).to_contain_text("3 of 3")
        stage.drop("other/new")
        await expect(page.get_by_role("row").filter(has_text="new")).to_have_count(0)


async def test_nothing_that_a_source_says_becomes_markup(stage: Stage, page: Page) -> None:
    feed = stage.feed("other", "feed")
    feed.say(Observation(Outcome.FOUND, (Backend(UP[0], hostname="a", zone=HOSTILE),), (Rejected(HOSTILE, HOSTILE),)))
    stage.put(manifest("other", "feed"))
    async with stage.serving() as url:
        await page.goto(f"{url}/#/services/other/feed")
        await expect(page.get_by_role("heading", name="Set aside")).to_be_visible()
        assert HOSTILE in await page.locator("main").inner_text()
        feed.say(Observation(Outcome.ERROR, detail=HOSTILE))
        await expect(page.locator("main").get_by_text("Last error: ")).to_contain_text(HOSTILE)
        await page.goto(f"{url}/#/sources")
        await expect(page.get_by_role("row").filter(has_text="feed")).to_contain_text("onerror")
        assert await page.locator("main img, main script").count() == 0
        assert "hacked" not in await page.title()


async def test_a_hostile_answer_is_shown_as_text(stage: Stage, page: Page) -> None:
    """Names that Kubernetes does not take, as from a server that lies."""
    failing = {"outcome": "error", "detail": "x", "goodAt": None, "stale": True, "backends": 0, "lastError": "x"}
    row = {
        "namespace": HOSTILE,
        "name": f"{HOSTILE}/../%",
        "ready": 1,
        "notReady": 0,
        "draining": 0,
        "isolated": False,
        "leads": True,
        "suppressed": None,
        "sources": [{**failing, "name": "a\u202eb\x9b", "lastErrorAt": None}],
    }

    async def lie(route: Route) -> None:
        data = json.dumps({"first": True, "items": [row], "gone": [], "complete": True})
        await route.fulfill(content_type="text/event-stream", body=f"event: services\ndata: {data}\n\n")

    async with stage.serving() as url:
        await page.route("**/api/v1/events*", lie)
        await page.goto(url)
        link = page.get_by_role("table").get_by_role("link")
        await expect(link).to_contain_text("<script>")
        await expect(page.get_by_role("table")).to_contain_text("Source a\ufffdb\ufffd fails")
        await link.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
        assert await page.locator("main img, main script").count() == 0
        assert await page.title() == f"{HOSTILE}/{HOSTILE}/../% · extsync"


async def test_a_service_has_an_address_of_its_own_and_tells_why(stage: Stage, page: Page) -> None:
    async with stage.serving() as url:
        await page.goto(f"{url}/#/services/shop/db")
        failing = page.get_by_role("row").filter(has_text=f"{DOWN[0]}:8080")
        await expect(failing).to_contain_text("connection refused")
        strip = failing.get_by_role("img")
        assert "failed; the latest took" in (await strip.get_attribute("aria-label") or "")
        await failing.get_by_role("button").click()
        await expect(page.get_by_text("became Unhealthy")).to_be_visible()
        await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        await expect(page.get_by_text("kept from now on")).to_be_visible()
        assert await page.title() == "shop/db · extsync"
        await page.goto(f"{url}/#/services/shop/none")
        await expect(page.get_by_text("extsync does not keep shop/none")).to_be_visible()


async def test_search_filters_and_namespaces_choose(stage: Stage, page: Page) -> None:
    stage.put(manifest("other", "web-two", UP, checked=False))
    async with stage.serving() as url:
        await page.goto(url)
        await expect(page.get_by_role("table").get_by_role("link")).to_have_count(3)
        await page.get_by_role("searchbox").fill("WEB")
        await expect(page.get_by_text("2 of 3 services")).to_be_visible()
        await page.get_by_role("combobox").select_option("shop")
        await expect(page.get_by_role("table").get_by_role("link")).to_have_count(1)
        assert await names(page) == ["shop/web"]
        await page.get_by_role("radio", name="Attention").check(force=True)
        await expect(page.get_by_text("No service is like that.")).to_be_visible()
        await page.get_by_role("searchbox").fill("")
        await expect(page.get_by_role("table").get_by_role("link")).to_have_text("shop / db")


async def test_everything_can_be_reached_by_keyboard(stage: Stage, page: Page) -> None:
    async with stage.serving() as url:
        await page.goto(url)
        await expect(page.get_by_role("table").get_by_role("link")).to_have_count(2)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox")).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await expect(page.get_by_role("link", name="shop / db")).to_be_focused()
        await page.keyboard.press("End")
        await expect(page.get_by_role("link", name="shop / web")).to_be_focused()
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("shop / db")
        await expect(page.locator("main")).to_be_focused()
        more = page.get_by_role("button", name=DOWN[0])
        await more.focus()
        await page.keyboard.press("Space")
        await expect(more).to_have_attribute("aria-expanded", "true")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("searchbox")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_contrast_in_both_schemes_and_parts_have_names(stage: Stage, page: Page, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    feed = stage.feed("other", "feed")
    feed.say(Observation(Outcome.FOUND, tuple(Backend(f"192.0.2.{last}") for last in range(20, 40))))
    stage.put(manifest("other", "feed", checked=False))
    async with stage.serving() as url:
        await stage.settled(3)
        feed.say(Observation(Outcome.FOUND, (Backend("192.0.2.20"), Backend("192.0.2.21", drain=True))))
        await page.goto(url)
        await expect(page.get_by_role("row").filter(has_text="feed")).to_contain_text("withheld")
        feed.say(Observation(Outcome.ERROR, detail="it is down"))
        views = ("services", "sources", "withheld", "replica", "services/shop/db", "services/other/feed")
        for view in views:
            await page.goto(f"{url}/#/{view}")
            await expect(page.locator("main h1")).not_to_be_empty()
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
            if "/" in view:
                await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
                await expect(page.get_by_text("kept from now on")).to_be_visible()
            assert await page.evaluate(CONTRASTS) == [], view
            assert await page.evaluate(NAMELESS) == [], view
            headings = await page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((one) => one.tagName)")
            assert headings.count("H1") == 1
            assert headings[0] == "H1"
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(247, 247, 245)", "dark": "rgb(18, 19, 22)"}[scheme]


NAMELESS = """
() => [...document.querySelectorAll("a, button, input, select, img, table, [role=img], [role=table], [role=region]")]
  .filter((one) => {
    const label = one.getAttribute("aria-label") ?? one.getAttribute("alt") ?? "";
    const text = one.textContent.trim() || one.closest("label")?.textContent.trim();
    return !(label || text || one.getAttribute("alt") === "");
  })
  .map((one) => one.outerHTML.slice(0, 120))
"""


async def test_the_scheme_can_be_chosen_and_stays_chosen(stage: Stage, page: Page) -> None:
    async with stage.serving() as url:
        await page.goto(url)
        button = page.get_by_role("button", name="Theme")
        await button.click()
        await button.click()
        await page.reload()
        await expect(button).to_have_text("Dark")
        assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


async def test_it_finds_back_after_the_server_was_away(stage: Stage, page: Page) -> None:
    async with AsyncExitStack() as server:
        url = await server.enter_async_context(stage.serving())
        await page.goto(url)
        await expect(page.get_by_role("row").filter(has_text="web")).to_contain_text("3 of 3")
        await server.aclose()
        await expect(page.get_by_role("alert")).to_contain_text("connection to extsync is lost")
        await expect(page.get_by_text("Reconnecting …")).to_be_visible()
        stage.down(UP[2])
        await stage.until(lambda: stage.ready("shop/web") == 2)
        async with stage.serving(int(url.rpartition(":")[2])):
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
            await expect(page.get_by_role("row").filter(has_text="web")).to_contain_text("2 of 3")
            await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_page_in_the_background_does_not_watch(stage: Stage, page: Page) -> None:
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    async with stage.serving() as url:
        await page.goto(url)
        row = page.get_by_role("row").filter(has_text="web")
        await expect(row).to_contain_text("3 of 3")
        await page.evaluate(hide, True)
        await expect(page.get_by_text("Paused")).to_be_attached()
        stage.down(UP[2])
        await stage.until(lambda: stage.ready("shop/web") == 2)
        await expect(row).to_contain_text("3 of 3")
        await page.evaluate(hide, False)
        await expect(row).to_contain_text("2 of 3")


async def test_it_works_on_a_phone_without_scrolling_sideways(stage: Stage, page: Page) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    async with stage.serving() as url:
        for view in ("services", "sources", "withheld", "replica", "services/shop/db"):
            await page.goto(f"{url}/#/{view}")
            await expect(page.locator("main h1")).not_to_be_empty()
            await expect(page.get_by_text("Live", exact=True)).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view


async def test_five_thousand_services_are_searched_scrolled_and_reached_by_keyboard(page: Page) -> None:
    crowd = Crowd(5000)
    keys = crowd.service_keys()
    async with serving(crowd, host="127.0.0.1", port=0, clock=SystemClock()) as port:
        await page.goto(f"http://127.0.0.1:{port}")
        await expect(page.get_by_role("heading", level=1)).to_have_text("5,000 services, all well")
        assert await page.get_by_role("row").count() < 60
        await page.get_by_role("table").get_by_role("link").first.focus()
        await page.keyboard.press("End")
        last = page.get_by_role("link", name=keys[-1].name)
        await expect(last).to_be_focused()
        await expect(last).to_be_in_viewport()
        assert await page.get_by_role("row").count() < 60
        await page.evaluate("window.scrollTo(0, document.body.scrollHeight / 2)")
        await expect(page.get_by_role("link", name=keys[2500].name)).to_be_in_viewport()
        await expect(last).to_be_focused()  # where the focus is stays, also out of sight
        crowd.change(keys[4000], ready=0, not_ready=3)
        await expect(page.get_by_role("heading", level=1)).to_have_text("1 service of 5,000 needs attention")
        await page.get_by_role("searchbox").fill(keys[4000].name)
        await expect(page.get_by_text("1 of 5,000 services")).to_be_visible()
        await expect(page.get_by_role("row").nth(1)).to_contain_text("None ready")
