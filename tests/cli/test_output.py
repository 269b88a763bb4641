from __future__ import annotations

import io
import json

import yaml

from extsync.cli.output import Progress, table, to_yaml, write_document
from extsync.printable import printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("name", "why"), [("a", "short"), ("longer", None)], indent="  ") == (
        "  NAME     WHY\n  a        short\n  longer   -"
    )


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("name", "why"), []) == "NAME   WHY"


def test_no_line_ends_in_spaces() -> None:
    assert all(line == line.rstrip() for line in table(("a", "b"), [("x", ""), ("y", "long")]).splitlines())


def test_a_cell_cannot_steer_the_terminal_or_break_its_line() -> None:
    said = table(("name",), [("\x1b[31mred\x07\nnext\u202e\x9b2J",)])
    assert said == "NAME\n\ufffd[31mred\ufffd\ufffdnext\ufffd\ufffd2J"


def test_yaml_keeps_the_order_and_repeats_what_is_repeated() -> None:
    ports = [{"port": 80}]
    assert to_yaml({"b": ports, "a": ports}) == "b:\n- port: 80\na:\n- port: 80\n"


def test_yaml_quotes_what_would_be_read_as_something_else() -> None:
    tricky = {"a": "no", "b": "1e3", "c": "", "d": "2026-01-01", "e": "0x1f", "f": "12:30:00"}
    assert yaml.safe_load(to_yaml(tricky)) == tricky


def test_yaml_cannot_steer_the_terminal() -> None:
    said = {"why": "\x1b[31m\x9b2J\x7f\u202e\u2028 \\u202e 'x' \"y\"", "\u202e": "Zürich: 東京\u200e"}
    text = to_yaml(said)
    assert not set("\x1b\x9b\x7f\u202e\u2028\u200e") & set(text)
    assert yaml.safe_load(text) == said


def test_a_list_becomes_a_stream_of_documents() -> None:
    assert to_yaml([{"a": 1}, {"b": 2}]) == "---\na: 1\n---\nb: 2\n"
    assert to_yaml([]) == ""


def test_json_cannot_steer_the_terminal() -> None:
    said = {"why": "\x1b[31m\x9b2J\x7f\u202e"}
    out = io.StringIO()
    write_document(said, "json", out)
    assert printable(out.getvalue().replace("\n", "")) == out.getvalue().replace("\n", "")
    assert json.loads(out.getvalue()) == said


def test_json_is_one_document_with_its_letters_as_they_are() -> None:
    out = io.StringIO()
    write_document({"name": "Zürich"}, "json", out)
    assert json.loads(out.getvalue()) == {"name": "Zürich"}
    assert "Zürich" in out.getvalue()
    assert out.getvalue().endswith("}\n")


def test_progress_writes_over_itself_on_a_terminal() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show("reading")
    progress.clear()
    assert terminal.getvalue() == "\r\x1b[Kreading\r\x1b[K"


def test_progress_fits_on_one_line() -> None:
    terminal = Terminal()
    Progress(terminal).show("x" * 500)
    assert len(terminal.getvalue()) < 130


def test_progress_is_silent_in_a_pipe() -> None:
    pipe = io.StringIO()
    progress = Progress(pipe)
    progress.show("reading")
    progress.clear()
    assert pipe.getvalue() == ""
