"""``extsync validate`` and ``extsync schema``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
import yaml

from extsync.cli.main import main
from tests.cli.command import EXAMPLES, manifest, write

BROKEN = """\
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {name: orders}
spec:
  service: {}
  ports: [{port: 70000}]
  sources:
  - name: rack
    static: {backends: [{adress: 192.0.2.1}]}
"""


def validate(*arguments: str | Path) -> int:
    return main(["validate", *map(str, arguments)])


def test_sound_manifests_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("-f", write(tmp_path / "m.json", manifest())) == 0
    assert capsys.readouterr().out == "1 manifest valid, 0 errors, 0 warnings\n"


def test_every_error_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(BROKEN)
    assert validate("-f", path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}:6:18: error: spec.ports[0].port: ")
    assert any(line.startswith(f"{path}:9:") and "did you mean 'address'?" in line for line in lines)
    assert lines[-1].startswith("0 manifests valid, ")


def test_a_warning_alone_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headers = [{"name": "Authorization", "value": "Bearer sesame-open"}]
    checks = [{"httpGet": {"port": "http", "httpHeaders": headers}}]
    assert validate("-f", write(tmp_path / "m.json", manifest(spec={"checks": checks}))) == 0
    said = capsys.readouterr().out
    assert "1 manifest valid, 0 errors, 1 warning\n" in said
    assert "sesame-open" not in said


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_machines_get_the_same(form: str, read: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(BROKEN)
    assert validate("-f", path, "-o", form) == 1
    assert callable(read)
    told = read(capsys.readouterr().out)
    assert told["valid"] is False
    assert told["manifests"] == []
    first = told["problems"][0]
    assert (first["file"], first["line"], first["column"], first["severity"]) == (str(path), 6, 18, "error")
    assert first["path"] == "spec.ports[0].port"


def test_several_paths_are_read_as_one_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one.json", manifest("one"))
    more = tmp_path / "more"
    more.mkdir()
    write(more / "two.yaml", manifest("two"), manifest("three"))
    assert validate("-f", one, more) == 0
    assert capsys.readouterr().out.startswith("3 manifests valid")
    twice = write(tmp_path / "twice.json", manifest("two"))
    assert validate("-f", more, "-f", twice) == 1
    assert "has a manifest already" in capsys.readouterr().out


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(manifest()).encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert validate("-f", "-", "-n", "shop", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["manifests"][0]["service"] == "shop/orders"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("missing.yaml", None, id="missing"),
        pytest.param("empty.yaml", "", id="empty"),
        pytest.param("comment.yaml", "# nothing\n", id="comments only"),
        pytest.param("broken.yaml", "a: [", id="unparsable"),
        pytest.param("pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: x}}", id="another kind"),
    ],
)
def test_a_file_without_a_manifest_is_an_error_that_names_it(
    name: str, text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert validate("-f", path) == 1
    said = capsys.readouterr().out
    assert said.startswith(str(path))
    assert ": error: " in said


def test_a_directory_without_manifests_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("-f", tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().out


def test_what_a_manifest_says_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("-f", write(tmp_path / "m.json", manifest(spec={"\x1b[2J\x9b": 1}))) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_all_examples_are_valid_and_agree_with_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("-f", EXAMPLES) == 0
    capsys.readouterr()
    assert main(["schema"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            validator.validate(document)
