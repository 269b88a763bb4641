"""A server that a test scripts, in the place of a client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from multidict import CIMultiDict

from extsync.config.sources import HttpSource as HttpBlock
from extsync.errors import ReadFailed
from extsync.seams import Clock
from extsync.sources.client import Reply

URL = "https://inventory.example.com/sd"


def block(**keys: Any) -> HttpBlock:
    return HttpBlock.model_validate({"url": URL, **keys})


def reply(body: bytes | str | list[Any] = b"", *, status: int = 200, **headers: str) -> Reply:
    """An answer as the contract wants it, but for what is given; ``Retry_After`` is the header Retry-After."""
    content = json.dumps(body) if isinstance(body, list) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status,
        CIMultiDict({"Content-Type": "application/json"} | named),
        content.encode() if isinstance(content, str) else content,
        URL,
    )


def targets(*named: str) -> list[Any]:
    return [{"targets": list(named)}]


class Server:
    """Answers with ``answers``, the last one over and over, each ``takes`` seconds after it is asked.

    ``asked`` are the times and the headers of the requests, ``limit`` the time that the last one may take. An answer
    that is an exception is raised.
    """

    def __init__(self, clock: Clock, *answers: Reply | ReadFailed, takes: float = 0.0) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, Mapping[str, str]]] = []
        self.limit = 0.0
        self.closed = 0
        self.takes = takes
        self._clock = clock

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float) -> Reply:
        self.asked.append((self._clock.monotonic(), headers))
        self.limit = timeout
        await self._clock.sleep(self.takes)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ReadFailed):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed += 1

    def pauses(self) -> list[float]:
        """Seconds from the start of each request to the start of the next."""
        times = [time for time, _ in self.asked]
        return [after - before for before, after in pairwise(times)]
