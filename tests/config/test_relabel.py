"""The rules of ``relabel``: what each action takes, needs and refuses, with the place and the cure."""

from __future__ import annotations

import pytest

from extsync.config.dump import to_yaml
from extsync.config.expression import LONGEST, compile_expression
from extsync.config.relabel import Relabel
from extsync.config.replacement import read_replacement
from tests.config.texts import PORTS, load_one, load_text, manifest

ACTIONS = {
    "replace": "targetLabel: zone",
    "keep": "sourceLabels: [a]",
    "drop": "sourceLabels: [a]",
    "keepequal": "sourceLabels: [a], targetLabel: b",
    "dropequal": "sourceLabels: [a], targetLabel: b",
    "hashmod": "sourceLabels: [a], targetLabel: zone, modulus: 2",
    "lowercase": "sourceLabels: [a], targetLabel: zone",
    "uppercase": "sourceLabels: [a], targetLabel: zone",
    "labelmap": "regex: 'a_(.*)'",
    "labeldrop": "regex: a",
    "labelkeep": "regex: a",
}


def text(rule: str) -> str:
    return manifest(PORTS + f"sources:\n- name: a\n  static: {{backends: []}}\n  relabel:\n  - {{{rule}}}\n")


def rule(keys: str) -> Relabel:
    [source] = load_one(text(keys)).spec.sources
    [found] = source.relabel
    return found


def complaints(keys: str) -> list[str]:
    """``path: message (hint)`` of each problem, the path within the rule."""
    found = load_text(text(keys)).problems
    assert {problem.line for problem in found} <= {10}
    return [str(problem).split("error: spec.sources[0].relabel[0]", 1)[1] for problem in found]


@pytest.mark.parametrize(("action", "keys"), ACTIONS.items())
def test_each_action_takes_what_it_needs(action: str, keys: str) -> None:
    assert rule(f"action: {action}, {keys}").action == action


@pytest.mark.parametrize("keys", ["target_label: zone, source_labels: [a], regex: '(.+)', replacement: 'x$1'"])
def test_prometheus_s_spelling_is_accepted_and_defaults_are_prometheus_s(keys: str) -> None:
    found = rule(keys)
    assert (found.action, found.separator, found.target_label) == ("replace", ";", "zone")
    assert (Relabel(target_label="zone").regex, Relabel(target_label="zone").replacement) == ("(.*)", "$1")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("action: replace", ": targetLabel is missing: action replace needs what it sets"),
        ("action: keep", ": sourceLabels is missing: action keep needs what it looks at"),
        ("action: drop, regex: a", ": sourceLabels is missing: action drop needs what it looks at"),
        ("action: keepequal, sourceLabels: [a]", ": targetLabel is missing: action keepequal needs what it sets"),
        ("action: hashmod, sourceLabels: [a], targetLabel: zone", ": modulus is missing: action hashmod needs what"),
        ("action: hashmod, sourceLabels: [a], targetLabel: zone, modulus: 0", ".modulus: must be at least 1"),
        ("action: lowercase, sourceLabels: [a]", ": targetLabel is missing: action lowercase"),
        ("action: keep, sourceLabels: [a], targetLabel: zone", ".targetLabel: has no effect on action keep: leave it"),
        ("action: keepequal, sourceLabels: [a], targetLabel: b, regex: c", ".regex: has no effect on action keepequal"),
        ("action: uppercase, sourceLabels: [a], targetLabel: zone, replacement: b", ".replacement: has no effect on"),
        ("action: labeldrop, regex: a, sourceLabels: [b]", ".sourceLabels: has no effect on action labeldrop"),
        ("action: labelkeep, regex: a, separator: b", ".separator: has no effect on action labelkeep"),
        ("action: replace, targetLabel: zone, modulus: 2", ".modulus: has no effect on action replace"),
        ("action: keeps, sourceLabels: [a]", ".action: must be 'replace', 'keep'"),
        ("targetLabel: nodename", ".targetLabel: 'nodename' is not a field of a backend: known are address, hostname"),
        ("targetLabel: __address__", ".targetLabel: '__address__' is not a field"),
        ("targetLabel: instance", ".targetLabel: 'instance' is not a field"),
        ("targetLabel: 'a b'", ".targetLabel: must match ^[a-zA-Z_][a-zA-Z0-9_]*$"),
        ("targetLabel: zone, replacement: $1a", ".replacement: $1a refers to a group named 1a: write ${1}a"),
        ("targetLabel: zone, replacement: $2", ".replacement: $2 refers to a group that the regex has not: it has one"),
        ("targetLabel: zone, regex: a", ".replacement: $1 refers to a group that the regex has not: it has no group"),
        ("targetLabel: zone, replacement: $name", ".replacement: $name refers to a group that the regex has not"),
        ("action: labelmap, regex: a, replacement: b-c", ".replacement: 'b-c' is not the name of a label"),
        ("action: labelmap, regex: a, replacement: 1b", ".replacement: '1b' is not the name of a label"),
        ("action: labelmap, regex: a, replacement: ''", ".replacement: '' is not the name of a label"),
        ("targetLabel: zone, regex: '('", ".regex: '(' is not a regular expression of RE2: missing ): ("),
        ("targetLabel: zone, regex: '(?=a)'", ".regex: '(?=a)' is not a regular expression of RE2: "),
        ("targetLabel: zone, regex: '(a)\\1'", ".regex: '(a)\\\\1' is not a regular expression of RE2: "),
        ("targetLabel: zone, regex: 'a++'", ".regex: 'a++' is not a regular expression of RE2: "),
        ("targetLabel: zone, regex: 5.10", ".regex: must be text, not a number: put it in quotes"),
        ("sourceLabels: a, targetLabel: zone", ".sourceLabels: must be a list"),
    ],
)
def test_what_an_action_cannot_do_is_refused_once_and_at_its_place(keys: str, complaint: str) -> None:
    [found] = complaints(keys)
    assert found.startswith(complaint)


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("targetLabel: nodename", "did you mean 'nodeName'?"),
        ("targetLabel: __address__", "set 'address' and 'port'"),
        ("targetLabel: instance", "for a later rule write __tmp_instance"),
        ("action: Keeps, sourceLabels: [a]", "did you mean 'keep'?"),
        ("target: zone", "did you mean 'targetLabel'?"),
    ],
)
def test_the_cure_is_suggested(keys: str, hint: str) -> None:
    [found] = complaints(keys)
    assert found.endswith(f"({hint})")


def test_an_expression_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="4097 characters: at most 4096"):
        compile_expression("a" * (LONGEST + 1))


def test_a_replacement_is_read_into_texts_and_groups() -> None:
    expression = compile_expression("(a)(?P<b>c)")
    assert read_replacement("x$1${b}$$1$0-y", expression) == ("x", 1, 2, "$", "1", 0, "-y")
    assert read_replacement("", expression) == ()


def test_an_expression_of_some_length_is_shown_in_part() -> None:
    [found] = complaints(f"targetLabel: zone, regex: '({'a' * 4000}'")
    assert len(found) < 300


def test_rules_read_back_from_a_dump() -> None:
    keys = "sourceLabels: [a, b], separator: '', regex: '(.+)', targetLabel: zone, replacement: 'x-${1}'"
    loaded = load_one(text(keys))
    assert load_one(to_yaml(loaded)) == loaded


@pytest.mark.parametrize(("written", "action"), [("Keep", "keep"), ("DROP", "drop"), ("KeepEqual", "keepequal")])
def test_an_action_may_be_written_in_any_case(written: str, action: str) -> None:
    assert rule(f"action: {written}, {ACTIONS[action]}").action == action


def test_whole_numbers_are_text() -> None:
    found = rule("source_labels: [a], regex: 8080, separator: 0, replacement: 3306, target_label: port")
    assert (found.regex, found.separator, found.replacement) == ("8080", "0", "3306")


@pytest.mark.parametrize("value", ["8.10", "true", "[8080]"])
def test_what_may_have_been_written_otherwise_needs_quotes(value: str) -> None:
    [complaint] = complaints(f"regex: {value}, targetLabel: zone")
    assert complaint.startswith(".regex: ")
