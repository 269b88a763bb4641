"""What is replaced in the files of a kubeconfig is taken up when the server refuses what there was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from extsync.errors import ConfigError
from extsync.kube.credentials import Credentials, Fixed
from extsync.kube.rereading import Rereading


def token(value: str) -> Fixed:
    return Fixed((("Authorization", value),))


class File:
    """A kubeconfig that holds nothing but a token; "broken" is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loads = 0
        self.path.write_text("one")

    async def load(self) -> tuple[Credentials, Sequence[Path]]:
        self.loads += 1
        content = self.path.read_text()
        if content == "broken":
            raise ConfigError("it is broken")
        return token(content), (self.path,)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "config")


async def test_what_was_refused_is_read_again_once_its_file_has_changed(file: File) -> None:
    credentials = Rereading(token("one"), (file.path,), file.load)
    assert not credentials.renew()
    file.path.write_text("another")
    assert await credentials.headers() == (("Authorization", "one"),)  # as long as it is not refused
    assert credentials.renew()
    assert await credentials.headers() == (("Authorization", "another"),)
    assert not credentials.renew()
    assert file.loads == 1


async def test_a_file_that_is_broken_or_away_leaves_the_present_ones(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Rereading(token("one"), (file.path,), file.load)
    file.path.write_text("broken")
    assert credentials.renew()
    assert await credentials.headers() == (("Authorization", "one"),)
    assert "it is broken; the present ones stay" in caplog.text
    file.path.write_text("mended")
    assert credentials.renew()
    assert await credentials.headers() == (("Authorization", "mended"),)


async def test_a_file_that_is_replaced_by_another_of_its_length_has_changed(file: File, tmp_path: Path) -> None:
    credentials = Rereading(token("one"), (file.path,), file.load)
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").rename(file.path)
    assert credentials.renew()
    assert await credentials.headers() == (("Authorization", "two"),)
