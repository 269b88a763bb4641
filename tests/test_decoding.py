"""Whatever is not to be read as what it should be is told by one error."""

from __future__ import annotations

import msgspec
import pytest

from extsync.decoding import decoded

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'["cut', id="cut off"),
        pytest.param(b'[1, "a"]', id="of another kind"),
        pytest.param(b'["\xff"]', id="no UTF-8"),
        pytest.param('["\ud800"]', id="half a character"),
        pytest.param(f'["a", {DEEP}]', id="nested without an end"),
        pytest.param(msgspec.Raw(b"{}"), id="raw"),
    ],
)
def test_what_is_not_to_be_read_is_a_decode_error(data: bytes | str | msgspec.Raw) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(data, list[str])


@pytest.mark.parametrize("data", [b'["a"]', '["a"]', msgspec.Raw(b'["a"]')])
def test_what_is_read_is_of_its_kind(data: bytes | str | msgspec.Raw) -> None:
    assert decoded(data, list[str]) == ["a"]
