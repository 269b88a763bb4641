"""The status API asked by schemathesis for whatever its OpenAPI document allows, and for what that does not allow."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode

from extsync.seams import SystemClock
from extsync.web.openapi import document
from tests.engine.support import A
from tests.web.test_server import LOOPBACK, Port, port

__all__ = ["port"]

pytestmark = pytest.mark.sockets

EXAMPLES = 40
"""Requests for each path and mode."""

ENDLESS = "/api/v1/events"
"""The stream: what it tells is compared with the description in ``test_board``."""

ANSWERED = [path for path in document()["paths"] if path != ENDLESS]

PATHS = [path for path in ANSWERED if document()["paths"][path]["get"]["parameters"]]
"""Those that are asked with parameters."""

SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


KNOWN = {"namespace": "test", "name": "web", "address": A, "search": "web"}
"""Values that find something."""


def known() -> dict[str, Any]:
    """The description with parameters that find something, and no others."""
    whole = document()
    for path in whole["paths"].values():
        for parameter in path["get"]["parameters"]:
            if value := KNOWN.get(parameter["name"]):
                parameter["schema"] = {"enum": [value]}
    return whole


async def answers(port: Port, described: dict[str, Any], path: str, mode: GenerationMode) -> Counter[int]:
    """The codes of the answers, each of which is as it is described."""
    operation = schemathesis.openapi.from_dict(described)[path]["GET"]
    url = f"http://{LOOPBACK}:{port.number}"
    codes: Counter[int] = Counter()

    @SETTINGS
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        codes[case.call_and_validate(base_url=url).status_code] += 1

    async with port.running():
        while (await port.ask("/api/v1/services/test/web"))[0] != 200:
            await SystemClock().sleep(0.01)
        await asyncio.to_thread(ask)
    return codes


@pytest.mark.parametrize("path", ANSWERED)
async def test_what_is_found_is_as_described(port: Port, path: str) -> None:
    assert set(await answers(port, known(), path, GenerationMode.POSITIVE)) == {200}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", GenerationMode)
async def test_whatever_is_asked_for_the_answer_is_as_described(port: Port, path: str, mode: GenerationMode) -> None:
    assert await answers(port, document(), path, mode)
