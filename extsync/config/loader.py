"""Loads manifests: every fault of every document, each with file, line and column; what is sound is still loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from extsync.config.advice import advice
from extsync.config.availability import not_available
from extsync.config.documents import Reading, read_documents
from extsync.config.examine import Examination, Finding, examine
from extsync.config.faults import Place, kind_of, shown, suggestion
from extsync.config.files import File, read_files
from extsync.config.manifest import API_VERSION, KIND, ExternalService
from extsync.config.problems import Problem, written
from extsync.config.restraint import denied
from extsync.config.text import Document, Mark, RawPath, Span
from extsync.limits import USUAL, Limits
from extsync.model import ServiceKey

_STAND_INS: Final[dict[Place, Any]] = {
    ("apiVersion",): API_VERSION,
    ("kind",): KIND,
    ("metadata",): {"name": "unnamed"},
    ("metadata", "name"): "unnamed",
}


class Loaded(msgspec.Struct, frozen=True):
    """A sound manifest and where it stands; ``base_dir`` is where relative paths in it start from."""

    manifest: ExternalService
    file: str
    line: int
    column: int
    base_dir: Path


class LoadResult(msgspec.Struct, frozen=True):
    """All that a set of paths holds.

    ``manifests`` has one manifest a Service, in the order of reading; ``duplicates`` has those for a Service that an
    earlier one names already, each with its problem. ``unreadable`` are files and directories that cannot be read or
    hold a document with an error: what else they name is not known, so that nothing may be removed for being absent.
    """

    manifests: tuple[Loaded, ...] = ()
    duplicates: tuple[Loaded, ...] = ()
    problems: tuple[Problem, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error; there may be warnings."""
        return not any(problem.severity == "error" for problem in self.problems)


def load(
    paths: Sequence[str | Path],
    *,
    stdin: BinaryIO | None = None,
    namespace: str | None = None,
    limits: Limits = USUAL,
) -> LoadResult:
    """Reads files, directories and ``-`` (``stdin``). Never raises for what is in them.

    ``namespace`` is that of manifests that name none, and as in kubectl they must not name another one; None: they may
    name any, and those that name none are in ``default``. What ``limits`` deny is a problem too.
    """
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    for file in read_files(paths, stdin):
        if isinstance(file, Problem):
            problems.append(file)
        else:
            manifests, found = _load_file(file, namespace or "default", limits)
            loaded.extend(manifests)
            problems.extend(found)
    if namespace is not None:
        elsewhere = [entry for entry in loaded if entry.manifest.key.namespace != namespace]
        problems.extend(_elsewhere(entry, namespace) for entry in elsewhere)
        loaded = [entry for entry in loaded if entry not in elsewhere]
    unreadable = dict.fromkeys(problem.file for problem in problems if problem.severity == "error")
    first: dict[ServiceKey, Loaded] = {}
    duplicates = [entry for entry in loaded if first.setdefault(entry.manifest.key, entry) is not entry]
    problems.extend(_duplicate(entry, first[entry.manifest.key]) for entry in duplicates)
    return LoadResult(tuple(first.values()), tuple(duplicates), tuple(problems), tuple(unreadable))


def _load_file(file: File, default_namespace: str, limits: Limits) -> tuple[list[Loaded], list[Problem]]:
    reading = read_documents(file.text, only_json=file.is_json)
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    for document in reading.documents:
        manifest, found = _load_document(file, reading, document, default_namespace, limits)
        problems.extend(found)
        if manifest is not None:
            loaded.append(Loaded(manifest, file.name, *document.mark, file.base_dir))
    if reading.broken is not None:
        mark, message, hint = reading.broken
        problems.append(Problem(file.name, *mark, "error", message, hint))
    elif not reading.documents:
        problems.append(Problem(file.name, 1, 1, "error", "this is empty: there is no manifest in it"))
    return loaded, problems


def _load_document(
    file: File, reading: Reading, document: Document, default_namespace: str, limits: Limits
) -> tuple[ExternalService | None, list[Problem]]:
    name = file.name
    problems = [Problem(name, *fault.mark, "error", fault.message, fault.hint) for fault in document.faults]
    other = _not_a_manifest(document.data)
    if other is not None:
        message, hint = other
        return None, [*problems, Problem(name, *document.mark, "error", message, hint)]
    examination = examine(ExternalService, _in_namespace(document.data, default_namespace), stand_ins=_STAND_INS)
    findings = [*examination.findings, *_remarks(examination), *_denied(examination, file.base_dir, limits)]
    for finding, mark in _placed(reading, document, findings):
        place = written(finding.place)
        problems.append(Problem(name, *mark, finding.severity, finding.message, finding.hint, place))
    sound = not document.faults and all(finding.severity == "warning" for finding in findings)
    return (examination.model if sound else None), sorted(problems, key=lambda problem: (problem.line, problem.column))


def _not_a_manifest(data: Any) -> tuple[str, str] | None:
    """What to say of a document that is something else altogether; None where it is meant to be a manifest."""
    wanted = f"extsync reads documents with apiVersion: {API_VERSION} and kind: {KIND}"
    if not isinstance(data, dict):
        return f"this document is {kind_of(data)}, not a manifest: {wanted}", ""
    kind = data.get("kind")
    if kind == KIND or str(data.get("apiVersion", "")).startswith("extsync.dev/"):
        return None
    if kind is None and "spec" in data and "metadata" in data:
        return None
    if isinstance(kind, str):
        meant = suggestion(kind, (KIND,))
        hint = f"did you mean {meant!r}?" if meant else ""
        return f"this document is of kind {shown(kind)}: {wanted}", hint
    return f"this document is not a manifest: {wanted}", ""


def _in_namespace(data: dict[str, Any], default_namespace: str) -> dict[str, Any]:
    metadata = data.get("metadata")
    if not isinstance(metadata, dict) or "namespace" in metadata:
        return data
    return {**data, "metadata": {**metadata, "namespace": default_namespace}}


def _remarks(examination: Examination[ExternalService]) -> Iterator[Finding]:
    """What is to be said about what is sound by itself; advice only where the whole is."""
    if examination.model is None:
        return
    for at, message in not_available(examination.model):
        yield Finding(*examination.path(at), message)
    if not examination.findings:
        for at, message in advice(examination.model):
            yield Finding(*examination.path(at), message, severity="warning")


def _denied(examination: Examination[ExternalService], base_dir: Path, limits: Limits) -> Iterator[Finding]:
    """What is sound and not allowed here."""
    if examination.model is not None and not examination.findings:
        for place, message, severity in denied(examination.model, base_dir, limits):
            yield Finding(*examination.path(place), message, severity=severity)


def _placed(reading: Reading, document: Document, findings: Sequence[Finding]) -> Iterator[tuple[Finding, Mark]]:
    """Each finding with where it stands in the text.

    A value that programs read differently has been reported as such: what else is wrong with it only follows.
    """
    spans = _spans(reading, document, findings)
    reported = {fault.mark for fault in document.faults}
    for finding in findings:
        mark = _mark(finding, spans, document.mark)
        if mark not in reported or finding.at_key or not _is_scalar(document.data, finding.path):
            yield finding, mark


def _is_scalar(data: Any, path: RawPath) -> bool:
    """Whether a single value, and no list or mapping that merely begins at the same place, stands at ``path``."""
    for step in path:
        data = data[step]
    return not isinstance(data, dict | list)


def _spans(reading: Reading, document: Document, findings: Sequence[Finding]) -> dict[RawPath, Span]:
    if not findings:
        return {}
    wanted = {finding.path[:depth] for finding in findings for depth in range(len(finding.path) + 1)}
    return reading.locate(document, wanted)


def _mark(finding: Finding, spans: dict[RawPath, Span], start: Mark) -> Mark:
    """Where a finding's value stands; behind an alias, where the alias stands."""
    for depth in range(len(finding.path), -1, -1):
        span = spans.get(finding.path[:depth])
        if span is not None:
            return span.key if finding.at_key and depth == len(finding.path) else span.value
    return start


def _duplicate(duplicate: Loaded, original: Loaded) -> Problem:
    where = f"{original.file}:{original.line}:{original.column}"
    message = f"Service {duplicate.manifest.key} has a manifest already, at {where}: keep one of the two"
    return Problem(duplicate.file, duplicate.line, duplicate.column, "error", message, path="metadata.name")


def _elsewhere(entry: Loaded, namespace: str) -> Problem:
    message = f"namespace {entry.manifest.key.namespace!r} is not that of --namespace {namespace}: leave one out"
    return Problem(entry.file, entry.line, entry.column, "error", message, path="metadata.namespace")
