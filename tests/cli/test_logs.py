from __future__ import annotations

import json
import logging
import re

import pytest

from extsync.cli import logs

log = logging.getLogger("extsync.test")
library = logging.getLogger("somelibrary")


def test_text_is_a_time_a_level_and_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", form="text")
    log.warning("source %r fails", "rack")
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING source 'rack' fails\n", said.err)


def test_json_is_one_object_a_line_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", form="json")
    log.info("first\nline", extra={"fields": {"service": "default/orders"}})
    log.info("second")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "first\nline"
    assert first["service"] == "default/orders"
    assert (second["level"], second["logger"]) == ("info", "extsync.test")
    assert second["time"].endswith("Z")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_with_its_traceback(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="error", form=form)
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("a defect")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "ValueError: boom" in said


def test_a_message_stays_on_its_line_and_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", form="text")
    log.info("name \x1b[2J\n2026-01-01T00:00:00.000Z ERROR forged")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_a_message_nor_a_traceback_steers_the_terminal(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="error", form=form)
    try:
        raise ValueError("\x1b[2J\x9b31m\u202e\u2028")
    except ValueError:
        log.exception("\x1b[2J\x9b31m\u202e\u2028")
    said = capsys.readouterr().err
    assert "ValueError: " in said
    assert not set("\x1b\x9b\u202e\u2028") & set(said)


@pytest.mark.parametrize(
    ("level", "verbose", "heard"),
    [
        ("error", 0, ["error"]),
        ("warning", 0, ["warning", "error"]),
        ("info", 0, ["info", "warning", "error"]),
        ("debug", 0, ["debug", "info", "warning", "error"]),
        ("error", 1, ["info", "warning", "error"]),
        ("error", 2, ["debug", "info", "warning", "error"]),
        ("debug", 1, ["debug", "info", "warning", "error"]),
    ],
)
def test_the_level_and_the_flags_decide_what_is_heard(
    level: str, verbose: int, heard: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level=level, form="json", verbose=verbose)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == heard


def test_libraries_never_speak_at_debug_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="debug", form="text", verbose=2)
    library.debug("Authorization: Bearer sesame-open")
    library.info("connected")
    assert "sesame-open" not in (said := capsys.readouterr().err)
    assert "connected" in said


def test_configuring_twice_says_things_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", form="text")
    logs.configure(level="info", form="text")
    log.info("once")
    assert capsys.readouterr().err.count("once") == 1
