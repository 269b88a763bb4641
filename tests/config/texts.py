"""Manifests for tests, as text, and what the loader says of them."""

from __future__ import annotations

import io
from textwrap import dedent, indent

from extsync.config.loader import LoadResult, load
from extsync.config.manifest import ExternalService

HEAD = "apiVersion: extsync.dev/v1alpha1\nkind: ExternalService\n"
METADATA = "metadata: {name: orders}\n"
PORTS = "ports: [{name: mysql, port: 3306}]\n"
SOURCES = "sources: [{name: rack, static: {backends: [{address: 192.0.2.1}]}}]\n"


def manifest(spec: str = PORTS + SOURCES, *, metadata: str = METADATA) -> str:
    """A manifest with ``spec`` (dedented) below ``spec:``; it begins at line 5 where ``metadata`` is one line."""
    return HEAD + metadata + "spec:\n" + indent(dedent(spec), "  ")


def load_text(text: str | bytes) -> LoadResult:
    """Loads ``text`` as standard input."""
    return load(["-"], stdin=io.BytesIO(text.encode() if isinstance(text, str) else text))


def load_one(text: str) -> ExternalService:
    """The one manifest of ``text``, which has no error."""
    result = load_text(text)
    assert result.ok, "\n".join(map(str, result.problems))
    [loaded] = result.manifests
    return loaded.manifest


def said(text: str | bytes) -> list[str]:
    """Every problem of ``text`` in full, without the name of the file."""
    return [str(problem).removeprefix("<stdin>:") for problem in load_text(text).problems]


def complaint(text: str) -> str:
    """The only problem of ``text``, without its place in the file."""
    [problem] = load_text(text).problems
    return str(problem).split(f": {problem.severity}: ", 1)[1]
