"""Fixtures of the tests of faults. ``live`` itself sees to it that no test leaves a descriptor open."""

from __future__ import annotations

import shutil

import pytest

from tests.health.faults.kinds import Kinds


@pytest.fixture(scope="package")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    return Kinds(tmp_path_factory.mktemp("certificates"))
