"""Secrets: taken from the environment when used, and shown nowhere."""

from __future__ import annotations

import pytest

from extsync.config.secret import Secret
from extsync.errors import ConfigError


def test_a_reference_is_read_from_the_environment_at_each_use() -> None:
    secret = Secret("Bearer ${TOKEN}-${SUFFIX}")
    environ = {"TOKEN": "t1", "SUFFIX": "x"}
    assert secret.resolve(environ) == "Bearer t1-x"
    environ["TOKEN"] = "t2"
    assert secret.resolve(environ) == "Bearer t2-x"


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ConfigError, match="TOKEN is not set"):
        Secret("${TOKEN}").resolve({})


def test_a_value_is_not_expanded_again() -> None:
    assert Secret("${A}").resolve({"A": "${B}", "B": "no"}) == "${B}"


@pytest.mark.parametrize("text", ["hunter2", "Bearer ${TOKEN}", "$HOME", ""])
def test_a_secret_is_never_shown(text: str) -> None:
    secret = Secret(text)
    assert str(secret) == "**********"
    assert repr(secret) == f"{secret!r}" == "Secret('**********')"
    assert not text or text not in f"{[secret]} {secret}"


def test_the_name_of_a_variable_is_no_secret() -> None:
    assert str(Secret("${TOKEN}")) == "${TOKEN}"


@pytest.mark.parametrize(
    ("text", "literal"), [("hunter2", True), ("${TOKEN}", False), ("a ${TOKEN}", False), ("", False)]
)
def test_a_literal_secret_is_known_as_such(text: str, literal: bool) -> None:
    assert Secret(text).is_literal is literal


@pytest.mark.parametrize("text", ["${", "${1A}", "a ${B", "${A B}"])
def test_a_broken_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        Secret(text)
