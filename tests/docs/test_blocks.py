"""Every manifest in the documentation is valid, and every command line one that extsync has."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from extsync.cli.main import build_parser
from extsync.config.loader import load
from extsync.config.settings import Settings
from tests.docs.blocks import ROOT, Block, blocks, pages

VALUES = ROOT / "deploy" / "helm" / "extsync" / "values.schema.json"
ALL = [block for page in pages() for block in blocks(page)]
OTHER_PROGRAMS = {
    "cat",
    "cd",
    "consul",
    "cp",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "grep",
    "helm",
    "kill",
    "kind",
    "kubectl",
    "make",
}
OTHER_PROGRAMS |= {"mkdir", "pip", "python3", "sed", "until", "source", "test", ".ci/run", ".venv/bin/python"}
EXTSYNC = {"extsync", ".venv/bin/extsync"}


def of(*languages: str) -> pytest.MarkDecorator:
    chosen = [block for block in ALL if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


@of("yaml")
def test_yaml_is_what_it_looks_like(block: Block, tmp_path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(block.text) if document is not None]
    assert documents, "an empty block"
    if block.directive == "settings":
        Settings.model_validate(documents[0])
    elif block.directive == "values":
        jsonschema.validate(documents[0], json.loads(VALUES.read_text()))
    elif block.directive == "spec":
        assert_valid([in_a_manifest(documents[0])], tmp_path)
    elif block.directive == "source":
        assert_valid([in_a_manifest({"sources": [LEAST_SOURCE | documents[0]]})], tmp_path)
    elif block.directive == "backends":
        static = {"name": "rack", "static": {"backends": documents[0]}}
        assert_valid([in_a_manifest({"sources": [static]})], tmp_path)
    elif block.directive != "elsewhere":
        for document in documents:
            assert {"apiVersion", "kind"} <= document.keys(), "say with a directive what this is a part of"
        assert_valid([document for document in documents if document["kind"] == "ExternalService"], tmp_path)


LEAST_SOURCE: dict[str, Any] = {"name": "rack", "static": {"backends": [{"address": "192.0.2.1"}]}}


def in_a_manifest(part: dict[str, Any]) -> dict[str, Any]:
    least = {"ports": [{"name": "http", "port": 80}], "sources": [LEAST_SOURCE]}
    metadata = {"name": "orders"}
    return {"apiVersion": "extsync.dev/v1alpha1", "kind": "ExternalService", "metadata": metadata, "spec": least | part}


def assert_valid(documents: list[dict[str, Any]], folder: Path) -> None:
    for document in documents:
        for source in document["spec"].get("sources", ()):
            for name in source.get("file", {}).get("files", ()):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text("[]")
        (folder / "manifest.yaml").write_text(yaml.safe_dump(document))
        errors = [str(problem) for problem in load([folder / "manifest.yaml"]).problems if problem.severity == "error"]
        assert not errors


@of("sh")
def test_a_command_line_is_one_that_there_is(block: Block) -> None:
    for line in commands(block.text):
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):  # FOO=bar extsync ...
            words.pop(0)
        if not words:
            continue
        assert words[0] in OTHER_PROGRAMS | EXTSYNC, f"{words[0]}: add it, if readers have it"
        if words[0] in EXTSYNC:
            assert_parses(words[1:])


def commands(text: str) -> list[str]:
    """The single commands of a script, without redirections and what goes on in the background."""
    text = re.sub(r"<<'?(\w+)'?\n.*?\n\1\n", "\n", text.replace("\\\n", " "), flags=re.DOTALL)
    pieces = [re.split(r"\s(?:\|\||&&|\||;)\s", line) for line in text.splitlines()]
    plain = [re.sub(r"\s(?:2?>&?\d?\s*\S*|<\s*\S+|&\s*$)", " ", piece).strip() for line in pieces for piece in line]
    return [piece for piece in plain if piece and not piece.startswith("#")]


def assert_parses(arguments: list[str]) -> None:
    said = io.StringIO()
    status: object = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            build_parser().parse_args(arguments)
        except SystemExit as end:
            status = end.code
    assert status in (0, None), said.getvalue()
