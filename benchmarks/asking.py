"""Whoever asks the status port in the benchmark of it: a process of its own, which starts fast."""

from __future__ import annotations

import asyncio
import gzip
import sys
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

GIVEN_UP = 60.0
"""Seconds after which a scrape is given up."""


def scrape(url: str, times: int) -> int:
    """Scrapes, as a Prometheus does; returns how long the last text was, unpacked."""
    length = 0
    for _ in range(times):
        request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=GIVEN_UP) as answer:
            length = len(gzip.decompress(answer.read()))
    return length


async def ask(port: int, watchers: int, pause: float) -> None:
    """Watches and asks until the process is killed."""
    url = f"http://127.0.0.1:{port}"
    one = "/api/v1/services/default/service-0"
    paths = ("/api/v1/status", "/api/v1/services", f"{one}?probes=true", "/metrics", "/", "/assets/app.js")
    import aiohttp  # whoever scrapes has no use for it

    forever = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=forever, raise_for_status=True) as session, asyncio.TaskGroup() as tasks:
        for _ in range(watchers):
            tasks.create_task(_watch(session, f"{url}/api/v1/events"))
        for path in paths:
            tasks.create_task(_again(session, f"{url}{path}", pause))


async def _watch(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as answer:
        async for _ in answer.content.iter_any():
            pass


async def _again(session: aiohttp.ClientSession, url: str, pause: float) -> None:
    while True:
        async with session.get(url) as answer:
            await answer.read()
        await asyncio.sleep(pause)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scrape", url, times]:
            print(scrape(url, int(times)))
        case ["ask", port, watchers, pause]:
            asyncio.run(ask(int(port), int(watchers), float(pause)))
