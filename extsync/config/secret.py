"""Secret text: kept as written, resolved from the environment when it is used, and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from extsync.errors import ConfigError

HIDDEN: Final = "**********"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Secret:
    """A password, a token or a header's value that may be one.

    ``${NAME}`` in the text stands for an environment variable, read anew by every ``resolve``. Printing and serialising
    show a lone ``${NAME}``, which is no secret, and otherwise only that something is there.
    ``harmless`` marks a text that may be shown after all, such as the value of an Accept header.
    """

    __slots__ = ("_text", "harmless")

    def __init__(self, text: str, *, harmless: bool = False) -> None:
        if "${" in _REFERENCE.sub("", text):
            raise ValueError("has a ${ that is not followed by a variable's name and }: write ${NAME}")
        self._text = text
        self.harmless = harmless

    @property
    def is_literal(self) -> bool:
        """Whether the text names no environment variable, so that the secret itself stands in the manifest."""
        return bool(self._text) and _REFERENCE.search(self._text) is None

    @property
    def has_line_break(self) -> bool:
        """Whether the text as written has a character that would end a header's line."""
        return any(character in self._text for character in "\r\n\0")

    def as_harmless(self) -> Secret:
        """The same text, to be shown."""
        return Secret(self._text, harmless=True)

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The text with every ``${NAME}`` replaced. Raises ConfigError that names a variable that is not set."""

        def value(reference: re.Match[str]) -> str:
            try:
                return environ[reference[1]]
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
        raise ValueError("must be text: put it in quotes")
    return Secret(value)
