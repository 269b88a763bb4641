"""The description of the status API says what it answers."""

from __future__ import annotations

from typing import Any

import jsonschema
import msgspec
import pytest

from extsync.seams.virtual import virtual_time
from extsync.web.openapi import document
from tests.engine.support import NAMESPACE, A, B, Rig, feed, manifest, rack
from tests.web.test_api import answer

PATHS: dict[str, dict[str, str]] = {
    "/api/v1/status": {},
    "/api/v1/services": {},
    "/api/v1/services/{namespace}/{name}": {"namespace": NAMESPACE, "name": "web"},
}


def schema_of(path: str, status: int) -> dict[str, Any]:
    """The schema of an answer, with what it refers to."""
    described = document()
    answers = described["paths"][path]["get"]["responses"]
    schema: dict[str, Any] = answers[str(status)]["content"]["application/json"]["schema"]
    return {**schema, "components": described["components"]}


def test_every_path_is_described() -> None:
    assert set(document()["paths"]) == {*PATHS, "/api/v1/events"}
    assert msgspec.json.encode(document())


@pytest.mark.parametrize("path", PATHS)
@virtual_time
async def test_what_is_answered_is_as_described(path: str) -> None:
    rig = Rig()
    rig.up(A)
    rig.feed().found("no address", B)
    async with rig.running(manifest("web", rack(A), feed())):
        await rig.until(lambda: A in rig.slices("web"), within=30.0)
        await rig.clock.sleep(60.0)
        match = PATHS[path]
        asked = f"/?address={B}" if match else path
        status, told = await answer(rig, asked, **match)
    assert status == 200
    jsonschema.validate(told, schema_of(path, status))


@virtual_time
async def test_a_problem_is_answered_as_described() -> None:
    rig = Rig()
    async with rig.running(manifest("web", rack(A))):
        status, told = await answer(rig, "/", namespace=NAMESPACE, name="other")
    jsonschema.validate(told, schema_of("/api/v1/services/{namespace}/{name}", status))
