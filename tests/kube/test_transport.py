"""Lines are found in a stream wherever the network cuts it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.errors import TooLarge
from extsync.kube.transport import LineSplitter


@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_do_not_depend_on_the_cuts(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(1000)
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
    assert not splitter.pending


def test_a_line_that_has_begun_is_pending_until_its_end() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"a") == []
    assert splitter.pending
    assert splitter.feed(b"b\n") == [b"ab"]
    assert not splitter.pending


def test_a_line_over_the_limit_is_refused_before_it_ends() -> None:
    splitter = LineSplitter(4)
    assert splitter.feed(b"1234\n123") == [b"1234"]
    with pytest.raises(TooLarge):
        splitter.feed(b"45")
