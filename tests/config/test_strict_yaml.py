"""YAML read strictly, and where things stand in it."""

from __future__ import annotations

import pytest

from extsync.config.strict_yaml import LARGEST_EXPANSION, locate_yaml, read_yaml
from extsync.config.text import DEEPEST, Document, Mark, Span, UnreadableText


def read(text: str) -> Document:
    [document] = read_yaml(text)
    return document


def faults(text: str) -> list[tuple[Mark, str]]:
    return [(fault.mark, fault.message) for fault in read(text).faults]


def broken(text: str | bytes) -> tuple[Mark, str]:
    with pytest.raises(UnreadableText) as caught:
        list(read_yaml(text))
    return caught.value.fault.mark, caught.value.fault.message


def test_a_document_becomes_plain_data() -> None:
    document = read("a: [1, two, {b: true}]\nc: 'no'\nd: |\n  line\n")
    assert document.data == {"a": [1, "two", {"b": True}], "c": "no", "d": "line\n"}
    assert document.faults == ()


def test_documents_are_told_apart_and_empty_ones_left_out() -> None:
    documents = list(read_yaml("---\n---\na: 1\n---\n# nothing\n---\n  b: 2\n"))
    assert [(document.index, document.data, document.mark) for document in documents] == [
        (1, {"a": 1}, Mark(3, 1)),
        (3, {"b": 2}, Mark(7, 3)),
    ]


def test_a_key_given_twice_is_a_fault_at_its_second_place_and_the_first_counts() -> None:
    document = read("a: 1\nb: 2\na: 3\n")
    assert document.data == {"a": 1, "b": 2}
    assert faults("a: 1\nb: 2\na: 3\n") == [(Mark(3, 1), "the key 'a' is given twice")]


@pytest.mark.parametrize("word", ["yes", "010", "22:22", "2026-01-02", "1e3"])
def test_a_surprising_value_is_a_fault_at_its_place(word: str) -> None:
    [(mark, message)] = faults(f"a: [x, {word}]")
    assert mark == Mark(1, 8)
    assert "reads as" in message


@pytest.mark.parametrize("key", ["on", "80", "true", "null", "010"])
def test_a_key_that_is_not_text_is_a_fault_at_its_place(key: str) -> None:
    [(mark, message)] = faults(f"{{x: 1, {key}: 2}}")
    assert mark == Mark(1, 8)
    assert message.startswith("a key must be text")


@pytest.mark.parametrize("word", ["'yes'", '"010"', "!!str 22:22", "! on"])
def test_what_is_marked_as_text_is_text(word: str) -> None:
    assert read(f"a: {word}").data == {"a": word.split()[-1].strip("'\"")}


@pytest.mark.parametrize("value", ["!!python/name:os.system x", "!!binary aGk=", "!!set {a}", "!custom x", "!!int x"])
def test_other_tags_are_faults(value: str) -> None:
    assert any("tag" in message for _, message in faults(f"a: {value}"))


def test_aliases_and_merges_are_expanded() -> None:
    text = "base: &b {k: 1, m: 2}\none: *b\ntwo: {<<: *b, m: 3}\nthree: {<<: [{z: 1}, *b]}\n"
    document = read(text)
    assert document.faults == ()
    assert document.data == {
        "base": {"k": 1, "m": 2},
        "one": {"k": 1, "m": 2},
        "two": {"k": 1, "m": 3},
        "three": {"k": 1, "m": 2, "z": 1},
    }


@pytest.mark.parametrize("text", ["a: *nothing", "a: &a [*a]"])
def test_an_alias_to_what_is_not_complete_is_a_fault(text: str) -> None:
    [(_, message)] = faults(text)
    assert "names nothing that is complete before it" in message


def test_a_merge_of_something_else_is_a_fault() -> None:
    assert faults("a: {<<: 5}") == [(Mark(1, 9), "<< merges mappings, and this is none")]


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    _, message = broken("\n".join(lines))
    assert message == f"the aliases stand for more than {LARGEST_EXPANSION} values"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_nesting_is_bounded(opening: str) -> None:
    _, message = broken(opening * 5000)
    assert message == f"this is nested more than {DEEPEST} levels deep"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\nc: 3", 3, "this is not YAML"),
        ("a: 1\n\tb: 2", 2, "this is not YAML"),
        ("a: 1\n b: 2", 2, "this is not YAML"),
        ("? [a, b]\n: 1", 1, "a key must be text, not a list or a mapping"),
        ("&a x: 1\n*a : 2", 2, "a key must be text, not an alias"),
        (b"a: 1\nb: \xff\xfe", 2, "this is not text"),
        (b"a: \x00", 1, "this is not text"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_place(text: str | bytes, line: int, words: str) -> None:
    mark, message = broken(text)
    assert mark.line == line
    assert message.startswith(words)


def test_documents_before_a_broken_one_are_read() -> None:
    documents = read_yaml("a: 1\n---\nb: [\n")
    assert next(documents).data == {"a": 1}
    with pytest.raises(UnreadableText):
        next(documents)


def test_places_are_found_by_path() -> None:
    text = "x: 1\n---\na:\n  - b: {c: 5}\n    d: é\n  - [1, 22]\n"
    wanted = [(), ("a", 0, "b", "c"), ("a", 0, "d"), ("a", 1, 1), ("a", 7), ("x",)]
    assert locate_yaml(text, 1, wanted) == {
        (): Span(Mark(3, 1), Mark(3, 1)),
        ("a", 0, "b", "c"): Span(Mark(4, 9), Mark(4, 12)),
        ("a", 0, "d"): Span(Mark(5, 5), Mark(5, 8)),
        ("a", 1, 1): Span(Mark(6, 9), Mark(6, 9)),
    }


def test_a_place_behind_an_alias_is_left_out_and_the_alias_itself_is_found() -> None:
    found = locate_yaml("a: &a {x: 1}\nb: *a\n", 0, [("b",), ("b", "x")])
    assert found == {("b",): Span(Mark(2, 1), Mark(2, 4))}
