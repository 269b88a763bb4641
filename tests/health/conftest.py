"""Fixtures of the tests of probing: a prober on the system's sockets, and certificates for servers on 127.0.0.1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.health.certificates import Authority, Certificate
from tests.health.listeners import Live, live


@pytest.fixture(name="probing")
async def probing_fixture() -> AsyncIterator[Live]:
    async with live() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    return authority.issue("good")
