"""Fixtures of the tests of faults. ``live`` itself sees to it that no test leaves a descriptor open."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest

from tests.health.faults.kinds import Kinds
from tests.health.listeners import Live, live


@pytest.fixture
async def probing() -> AsyncIterator[Live]:
    async with live() as running:
        yield running


@pytest.fixture(scope="package")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    return Kinds(tmp_path_factory.mktemp("certificates"))
