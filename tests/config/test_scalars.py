"""Plain scalars: only what every reader of YAML and JSON agrees on."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.scalars import Surprise, is_plain_text, plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("3306", 3306),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1.5e+3", 1500.0),
        ("orders", "orders"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1", "::1"),
        ("30s", "30s"),
        ("node-1", "node-1"),
        ("nodes", "nodes"),
        ("200-399", "200-399"),
        ("2026-01-02-release", "2026-01-02-release"),
        ("=x", "=x"),
    ],
)
def test_a_scalar_has_the_value_that_everybody_gives_it(text: str, value: object) -> None:
    read = plain_value(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        *((word, "true or false") for word in ("yes", "No", "ON", "off", "y", "N")),
        ("010", "base 8"),
        ("0o17", "base 8"),
        ("007", "base 8"),
        ("0x1F", "base 16"),
        ("0b11", "base 2"),
        ("22:22", "base 60"),
        ("1:20:30", "base 60"),
        ("1:2:3:4:5:6:7:8", "base 60"),
        ("1:20.5", "base 60"),
        ("2026-01-02", "a date"),
        ("2026-01-02 10:00:00", "a date"),
        ("2026-01-02T10:00:00Z", "a date"),
        (".inf", "without a value"),
        ("-.Inf", "without a value"),
        (".NaN", "without a value"),
        ("1_000", "as a number to some"),
        ("1e3", "as a number to some"),
        (".5", "as a number to some"),
        ("5.", "as a number to some"),
        ("+5", "as a number to some"),
        ("9" * 30, "as a number to some"),
        ("=", "meaning of its own"),
    ],
)
def test_a_scalar_that_programs_read_differently_is_refused(text: str, reading: str) -> None:
    with pytest.raises(Surprise, match=reading):
        plain_value(text)


@given(st.from_regex(r"[-+.0-9:_eExobTZ]{1,12}", fullmatch=True) | st.text(max_size=8))
def test_what_is_taken_for_text_is_text_to_pyyaml_as_well(text: str) -> None:
    if text[:1] in ("!", "&", "*"):
        return  # they begin no plain scalar
    if not is_plain_text(text) or yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1]) is None:
        return
    resolved = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    assert resolved in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
