"""The documents of a text, be it YAML or JSON: the one reader for manifests, settings and files of ``file`` sources."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from extsync.config.strict_json import locate_json, read_json
from extsync.config.strict_yaml import locate_yaml, read_yaml
from extsync.config.text import Document, Mark, RawPath, Span, TextFault, UnreadableText

LARGEST_TEXT: Final = 64 * 1024 * 1024
"""Bytes that a file may have."""


class Reading(msgspec.Struct, frozen=True):
    """What a text holds: documents, and where it breaks off being readable. Both can be there."""

    text: bytes
    is_json: bool
    documents: tuple[Document, ...] = ()
    broken: TextFault | None = None

    def locate(self, document: Document, wanted: Collection[RawPath]) -> dict[RawPath, Span]:
        """Where values of ``document`` stand; those that stand elsewhere (behind an alias) are left out."""
        if self.is_json:
            return locate_json(_decoded(self.text), wanted)
        return locate_yaml(self.text, document.index, wanted)


def read_documents(text: bytes, *, only_json: bool = False) -> Reading:
    """Reads every document of ``text``; never raises for what is in it.

    A text that begins like JSON is tried as JSON first, since not all of JSON is YAML; ``only_json`` is for a file
    whose name says so.
    """
    if len(text) > LARGEST_TEXT:
        return Reading(text, only_json, broken=TextFault(Mark(), f"this is larger than {LARGEST_TEXT} bytes"))
    as_json = _read_json(text) if only_json or text.lstrip()[:1] in (b"{", b"[") else None
    if as_json is not None and (only_json or as_json.broken is None):
        return as_json
    documents: list[Document] = []
    try:
        for document in read_yaml(text):
            documents.append(document)
    except UnreadableText as error:
        return Reading(text, False, tuple(documents), error.fault)
    return Reading(text, False, tuple(documents))


def _read_json(text: bytes) -> Reading:
    try:
        return Reading(text, True, (read_json(_decoded(text)),))
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return Reading(text, True, broken=TextFault(mark, "this is not UTF-8 text"))
    except UnreadableText as error:
        return Reading(text, True, broken=error.fault)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8-sig")
