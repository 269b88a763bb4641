"""Secret text: kept as written, resolved from the environment when it is used, and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from extsync.config.faults import kind_of
from extsync.errors import ConfigError
from extsync.variables import DeniedVariable

HIDDEN: Final = "**********"
_TELLING: Final = ("auth", "cookie", "token", "secret", "pwd", "key", "session", "signature", "credential")
_TELLING_WORD: Final = re.compile(r"pass(?:w|ph|co|[^a-z]|$)|(?:^|[^a-z])sig(?:[^a-z]|$)")
"""Words that are telling where they end, or begin a longer one such as ``password``: there are ``passive`` and
``design`` too."""
_PARAMETER: Final = re.compile(r"([^&;=]+)=([^&;]*)")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def is_telling(name: str) -> bool:
    """Whether what has this name (a header, a parameter, a key) commonly is a secret."""
    folded = name.lower()
    return any(word in folded for word in _TELLING) or _TELLING_WORD.search(folded) is not None


def masked(data: Any) -> Any:
    """Plain data of an unknown form, with the texts hidden that are secrets to judge by their keys."""
    match data:
        case dict():
            return {key: _masked_entry(str(key), value) for key, value in data.items()}
        case list() | tuple():
            return [masked(value) for value in data]
    return data


def masked_url(url: str) -> str:
    """``url`` with the values hidden of those parameters of its query that are secrets to judge by their names."""
    parts = urlsplit(url)
    query = _PARAMETER.sub(lambda found: f"{found[1]}={HIDDEN}" if is_telling(found[1]) else found[0], parts.query)
    return url if query == parts.query else urlunsplit(parts._replace(query=query))


def _masked_entry(key: str, value: Any) -> Any:
    # The path of a file with a secret is none.
    if isinstance(value, str) and is_telling(key) and not key.lower().endswith(("file", "path")):
        return value if _REFERENCE.fullmatch(value) else HIDDEN
    return masked(value)


class Secret:
    """A password, a token or a header's value that may be one.

    ``${NAME}`` in the text stands for an environment variable, read anew by every ``resolve``. Printing and serialising
    show a lone ``${NAME}``, which is no secret, and otherwise only that something is there.
    ``harmless`` marks a text that may be shown after all, such as the value of an Accept header; ``confidential`` one
    that was said to be a secret, which cannot be marked so.
    """

    __slots__ = ("_text", "confidential", "harmless")

    def __init__(self, text: str, *, harmless: bool = False, confidential: bool = False) -> None:
        if "${" in _REFERENCE.sub("", text):
            raise ValueError("has a ${ that is not followed by a variable's name and }: write ${NAME}")
        self._text = text
        self.harmless = harmless and not confidential
        self.confidential = confidential

    @property
    def is_literal(self) -> bool:
        """Whether the text names no environment variable, so that the secret itself stands in the manifest."""
        return bool(self._text) and _REFERENCE.search(self._text) is None

    @property
    def has_line_break(self) -> bool:
        """Whether the text as written has a character that would end a header's line."""
        return any(character in self._text for character in "\r\n\0")

    def as_harmless(self) -> Secret:
        """The same text, to be shown unless it is confidential."""
        return Secret(self._text, harmless=True, confidential=self.confidential)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that the text names."""
        return tuple(_REFERENCE.findall(self._text))

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The text with every ``${NAME}`` replaced.

        Raises ConfigError that names a variable that is not set, or that a manifest may not name.
        """

        def value(reference: re.Match[str]) -> str:
            try:
                return environ[reference[1]]
            except DeniedVariable as error:
                raise ConfigError(error.reason) from None
            except KeyError:
                raise ConfigError(
                    f"the environment variable {reference[1]} is not set, and a manifest takes a secret from it"
                ) from None

        return _REFERENCE.sub(value, self._text)

    def __str__(self) -> str:
        return self._text if self.harmless or _REFERENCE.fullmatch(self._text) else HIDDEN

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.to_string_ser_schema(when_used="unless-none")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string"}


def _validate(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        cure = "" if isinstance(value, dict | list | None) else ": put it in quotes"
        raise ValueError(f"must be text, not {kind_of(value)}{cure}")
    return Secret(value)
