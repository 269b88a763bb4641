"""Texts as YAML or JSON."""

from __future__ import annotations

import json

import pytest

from extsync.config.documents import LARGEST_TEXT, read_documents
from extsync.config.text import DEEPEST, Mark, Span


def only(text: str) -> object:
    reading = read_documents(text.encode())
    assert reading.broken is None
    [document] = reading.documents
    assert document.faults == ()
    return document.data


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1, 2.5, True, None, "x"], "b": {"c": {}}},
        {"emoji": "\U0001f600", "tab": "\t", "slash": "a/b"},
        ["yes", "010", "22:22", "2026-01-02"],
        {},
    ],
)
@pytest.mark.parametrize("indentation", [None, 2, "\t"])
def test_json_is_read_as_json(data: object, indentation: int | str | None) -> None:
    assert only(json.dumps(data, indent=indentation).replace("/", "\\/")) == data


def test_a_flow_mapping_that_is_no_json_is_read_as_yaml() -> None:
    assert only("{a: b, c: [d]}") == {"a": "b", "c": ["d"]}


def test_a_file_whose_name_says_json_is_only_read_as_json() -> None:
    reading = read_documents(b"{a: b}", only_json=True)
    assert reading.broken is not None
    assert reading.broken.message.startswith("this is not JSON")
    assert reading.broken.mark == Mark(1, 2)


def test_keys_given_twice_in_json_are_faults_with_their_places() -> None:
    reading = read_documents(b'{"a": 1, "b": [{"c": 1,\n "c": 2}], "a": 3}')
    [document] = reading.documents
    assert document.data == {"a": 1, "b": [{"c": 1}]}
    assert [(fault.mark, fault.message) for fault in document.faults] == [
        (Mark(2, 2), "the key 'c' is given twice"),
        (Mark(2, 12), "the key 'a' is given twice"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": "\\ud800"}', "half of a character"),
        (b'{"\\ud800": 1}', "half of a character"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b'{"a": ' + b"9" * 5000 + b"}", "this is not JSON"),
        (b"[" * 100_000, f"more than {DEEPEST} levels"),
        (b"[" * 100 + b"]" * 100, f"more than {DEEPEST} levels"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"", "this is not JSON"),
    ],
)
def test_what_is_not_json_is_refused(text: bytes, words: str) -> None:
    reading = read_documents(text, only_json=True)
    assert reading.documents == ()
    assert reading.broken is not None
    assert words in reading.broken.message


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    for text in (b'\xef\xbb\xbf{"a": 1}', b"\xef\xbb\xbfa: 1\n", "a: 1\n".encode("utf-16")):
        assert [document.data for document in read_documents(text).documents] == [{"a": 1}]


def test_places_in_json_are_found_by_path() -> None:
    reading = read_documents(b'{"a": {"b": [10,\n  20]}, "c": "x"}')
    assert reading.is_json
    assert reading.locate(reading.documents[0], [(), ("a", "b", 1), ("c",), ("d",)]) == {
        (): Span(Mark(1, 1), Mark(1, 1)),
        ("a", "b", 1): Span(Mark(2, 3), Mark(2, 3)),
        ("c",): Span(Mark(2, 9), Mark(2, 14)),
    }


def test_a_text_without_an_end_is_not_read() -> None:
    reading = read_documents(b" " * (LARGEST_TEXT + 1))
    assert reading.documents == ()
    assert reading.broken is not None
    assert "larger than" in reading.broken.message
