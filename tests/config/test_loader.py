"""Loading: every fault with its place, and what is sound in spite of the rest."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from extsync.config.loader import load
from extsync.config.problems import Problem
from extsync.model import ServiceKey
from tests.config.texts import HEAD, METADATA, PORTS, SOURCES, complaint, load_text, manifest, said


def test_every_fault_of_every_document_is_reported_in_the_order_of_the_text() -> None:
    first = """\
        service: {type: LoadBalancer, clusterIP: None}
        prots: []
        ports:
        - {name: mysql, port: "3306"}
        - {name: web, port: 80, targtPort: 8}
        - {name: web, port: 70000}
        sources:
        - name: rack
          priority: -1
          hold: {nx: 30}
          static:
            backends:
            - {address: web-1.example.com}
            - {address: 127.0.0.1, port: 0, hostnme: x}
            - 192.0.2.3
        - name: rack
          file_sd_configs: [{files: [], refresh_interval: 5}]
        checks:
        - {tcpSocket: {port: 1}, periodSeconds: 0}
        - {tcpSocket: {port: 1}, httpGet: {prot: x}}
        policy: {minReady: "1"}
        """
    second = manifest("ports: [{name: web, port: 80}]\n" + SOURCES + "checks: [{tcpSocket: {port: wbe}}]\n")
    text = manifest(first, metadata="metadata: {name: Orders, labls: {}}\n") + "---\n" + second
    assert [[*line.split(": ")[:1], line.split(": ")[2]] for line in said(text)] == [
        ["3:18", "metadata.name"],
        ["3:26", "metadata.labls"],
        ["5:44", "spec.service.clusterIP"],
        ["6:3", "spec.prots"],
        ["8:25", "spec.ports[0].port"],
        ["9:27", "spec.ports[1].targtPort"],
        ["10:12", "spec.ports[2].name"],
        ["10:23", "spec.ports[2].port"],
        ["13:15", "spec.sources[0].priority"],
        ["14:16", "spec.sources[0].hold.nx"],
        ["17:19", "spec.sources[0].static.backends[0].address"],
        ["18:19", "spec.sources[0].static.backends[1].address"],
        ["18:36", "spec.sources[0].static.backends[1].port"],
        ["18:39", "spec.sources[0].static.backends[1].hostnme"],
        ["19:9", "spec.sources[0].static.backends[2]"],
        ["20:11", "spec.sources[1].name"],
        ["21:31", "spec.sources[1].file.files"],
        ["21:53", "spec.sources[1].file.refreshInterval"],
        ["23:43", "spec.checks[0].periodSeconds"],
        ["24:5", "spec.checks[1]"],
        ["24:38", "spec.checks[1].httpGet.prot"],
        ["25:22", "spec.policy.minReady"],
        ["33:31", "spec.checks[0].tcpSocket.port"],
    ]


def test_a_rule_between_parts_is_reported_beside_faults_elsewhere() -> None:
    checks = "checks: [{tcpSocket: {port: mysq}}, {tcpSocket: {port: mysql}, periodSeconds: x}]\n"
    text = manifest(PORTS + SOURCES + checks, metadata="metadata: {name: UPPER}\n")
    assert [line.split(": ")[2] for line in said(text)] == [
        "metadata.name",
        "spec.checks[0].tcpSocket.port",
        "spec.checks[1].periodSeconds",
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "prots: [{name: mysql, port: 3306}]\n" + SOURCES + "checks: [{tcpSocket: {port: mysql}}]\nservice: {}\n",
        "ports: [{name: mysql, port: 0}]\n" + SOURCES + "checks: [{tcpSocket: {port: mysql}}]\nservice: {}\n",
        "ports: [{name: Mysql, port: 1}, {name: b, port: 2}]\n" + SOURCES + "checks: [{tcpSocket: {port: mysql}}]\n",
        PORTS + "sources: [{name: a, static: {backends: [{address: x}]}}]\n",
        PORTS + "sources: [{name: A, static: {backends: []}}]\n",
        PORTS + "sources: [{name: a, file: {files: ['']}}]\n",
        PORTS + SOURCES + "publish: [Endpoint]\n",
        PORTS + SOURCES + "checks: [{httpGet: {port: 1, scheme: ftp, tlsConfig: {}}}]\n",
        PORTS + "sources: [{name: a, static: {backends: "
        "[{address: 192.0.2.1}, {address: 192.0.2.1, ports: {mysql: 0}}]}}]\n",
    ],
)
def test_nothing_is_reported_that_only_follows_from_another_fault(spec: str) -> None:
    assert len(said(manifest(spec))) == 1


def test_places_count_original_entries_after_faulty_ones_are_left_out() -> None:
    backends = "[{address: x}, {address: y}, {address: 192.0.2.1, ports: {nosuch: 1}}]"
    text = manifest(PORTS + f"sources: [{{name: a, static: {{backends: {backends}}}}}]\n")
    assert [line.split(": ")[2] for line in said(text)][-1] == ("spec.sources[0].static.backends[2].ports.nosuch")


def test_a_file_whose_name_is_no_text_is_told_of_in_whole_characters(tmp_path: Path) -> None:
    """What tells of it goes into JSON and into Kubernetes, which take nothing else."""
    for name in (b"sound-\xff.yaml", b"wrong-\xff.yaml"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(manifest().encode() if name.startswith(b"sound") else b"{}")
    result = load([tmp_path])
    assert [one.file for one in result.manifests] == [str(tmp_path / "sound-?.yaml")]
    assert {one.file for one in result.problems} == {str(tmp_path / "wrong-?.yaml")}


def test_sound_manifests_are_loaded_beside_wrong_ones() -> None:
    result = load_text(manifest() + "---\n" + manifest("ports: 5\n", metadata="metadata: {name: b}\n"))
    assert [loaded.manifest.key for loaded in result.manifests] == [ServiceKey("default", "orders")]
    assert not result.ok
    assert result.unreadable == ("<stdin>",)


def test_what_stands_before_broken_yaml_is_loaded() -> None:
    result = load_text(manifest() + "---\na: [\n")
    assert len(result.manifests) == 1
    [problem] = result.problems
    assert (problem.line, problem.severity) == (9, "error")
    assert "not YAML" in problem.message


def test_a_surprising_value_is_reported_once_and_its_document_is_not_loaded() -> None:
    text = manifest(PORTS.replace("3306", "03306") + SOURCES)
    assert said(text) == ["5:31: error: this reads as a number in base 8 in YAML 1.1 (put it in quotes if it is text)"]
    assert load_text(text).manifests == ()


def test_a_surprising_value_of_a_secret_is_not_repeated() -> None:
    headers = "httpHeaders: [{name: a, value: 0123456}]"
    text = manifest(PORTS + SOURCES + f"checks: [{{httpGet: {{port: 1, {headers}}}}}]\n")
    assert "0123456" not in "".join(said(text))


def test_a_fault_in_a_key_hides_no_other_fault_of_its_mapping() -> None:
    assert [line.split(": ", 2)[2] for line in said("on: 1\n" + HEAD + METADATA)] == [
        "a key must be text: on reads as true or false in YAML 1.1 (put it in quotes)",
        "on: unknown key 'on' (known here: apiVersion, kind, metadata, spec)",
        "spec is missing",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "this is empty: there is no manifest in it"),
        ("# nothing\n---\n", "this is empty"),
        ("kind: Service\napiVersion: v1\n", "this document is of kind 'Service'"),
        ("kind: ExternalServices\n", "did you mean 'ExternalService'?"),
        ("- 1\n", "this document is a list, not a manifest"),
        ("text\n", "this document is text, not a manifest"),
        ("a: 1\n", "this document is not a manifest"),
        ("kind: List\nitems: []\n", "this document is of kind 'List'"),
    ],
)
def test_something_that_is_no_manifest_is_one_error(text: str, words: str) -> None:
    assert words in complaint(text)


def test_a_missing_kind_is_said_where_the_rest_is_there() -> None:
    assert complaint(manifest().replace("kind: ExternalService\n", "")) == "kind is missing"


def test_json_faults_have_their_places() -> None:
    text = (
        '{"apiVersion": "extsync.dev/v1alpha1", "kind": "ExternalService",\n'
        ' "metadata": {"name": "a"},\n'
        ' "spec": {"sources": [{"name": "b", "static": {"backends": [{"address": "x"}]}}]}}'
    )
    [line] = said(text)
    assert line.startswith("3:73: error: spec.sources[0].static.backends[0].address: x is a host name")


def test_a_fault_behind_an_alias_is_reported_where_the_alias_stands() -> None:
    text = manifest(
        """\
        ports: [{name: mysql, port: &p 0}]
        sources:
        - {name: rack, static: {backends: [{address: 192.0.2.1, port: *p}]}}
        """
    )
    assert [line.split(": ")[0] for line in said(text)] == ["5:31", "7:65"]


def test_a_manifest_without_a_namespace_takes_the_given_one_and_none_may_name_another() -> None:
    text = manifest() + "---\n" + manifest(metadata="metadata: {name: a, namespace: own}\n")
    result = load(["-"], stdin=io.BytesIO(text.encode()), namespace="shop")
    assert [str(loaded.manifest.key) for loaded in result.manifests] == ["shop/orders"]
    [problem] = result.problems
    assert problem.message == "namespace 'own' is not that of --namespace shop: leave one out"
    assert result.unreadable == ("<stdin>",)


def test_two_manifests_for_one_service_are_an_error_that_names_both_places(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(manifest())
    second.write_text("# the same again\n" + manifest())
    result = load([tmp_path])
    assert [loaded.file for loaded in result.manifests] == [str(first)]
    assert [loaded.file for loaded in result.duplicates] == [str(second)]
    [problem] = result.problems
    assert (problem.file, problem.line, problem.column) == (str(second), 2, 1)
    assert f"has a manifest already, at {first}:1:1" in problem.message
    assert result.unreadable == ()


def test_the_same_name_in_two_namespaces_is_two_services() -> None:
    assert load_text(manifest() + "---\n" + manifest(metadata="metadata: {name: orders, namespace: b}\n")).ok


def test_a_directory_is_its_manifests_and_nothing_else(tmp_path: Path) -> None:
    for index, name in enumerate(["b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt", "d.yaml.bak"]):
        text = manifest(metadata=f"metadata: {{name: s{index}}}\n")
        (tmp_path / name).write_text(text if name != "c.json" else "{}")
    (tmp_path / "below.yaml").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.yaml").write_text("broken: [")
    result = load([tmp_path])
    assert [Path(loaded.file).name for loaded in result.manifests] == ["a.yml", "b.yaml"]
    assert [Path(problem.file).name for problem in result.problems] == ["c.json"]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    data = tmp_path / "..2026_11_23_06_22_01.123456789"
    data.mkdir()
    (data / "orders.yaml").write_text(manifest())
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "orders.yaml").symlink_to("..data/orders.yaml")
    result = load([tmp_path])
    assert [loaded.file for loaded in result.manifests] == [str(tmp_path / "orders.yaml")]
    assert result.manifests[0].base_dir == tmp_path
    assert result.problems == ()


def test_a_link_that_leads_nowhere_is_unreadable_and_not_absent(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest())
    (tmp_path / "b.yaml").symlink_to("gone")
    result = load([tmp_path])
    assert result.unreadable == (str(tmp_path / "b.yaml"),)
    assert len(result.manifests) == 1


def test_what_the_system_refuses_to_read_is_unreadable(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(manifest())
    result = load([file / "b.yaml"])
    assert [str(problem) for problem in result.problems] == [
        f"{file}/b.yaml: error: this cannot be read: Not a directory"
    ]
    assert result.unreadable == (f"{file}/b.yaml",)


def test_what_is_not_there_or_empty_is_an_error_about_the_path(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    missing, empty = tmp_path / "missing.yaml", tmp_path / "empty"
    result = load([missing, empty, "bad\0name"])
    assert [str(problem) for problem in result.problems] == [
        f"{missing}: error: there is no such file or directory",
        f"{empty}: error: this directory has no manifest (*.yaml, *.yml, *.json) (directories below it are not read)",
        "bad\0name: error: this is not a file's name: embedded null byte",
    ]
    assert result.unreadable == (str(missing), str(empty), "bad\0name")


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(manifest())
    result = load([file, tmp_path, f"{tmp_path}/./a.yaml"])
    assert result.ok
    assert len(result.manifests) == 1


def test_standard_input_is_read_once_and_has_to_be_given() -> None:
    assert len(load(["-", "-"], stdin=io.BytesIO(manifest().encode())).manifests) == 1
    [problem] = load(["-"]).problems
    assert "standard input is not read here" in problem.message
    closed = io.BytesIO()
    closed.close()
    [problem] = load(["-"], stdin=closed).problems
    assert "standard input cannot be read" in problem.message


def test_a_problem_is_one_line_with_place_severity_and_cure() -> None:
    problem = Problem("a.yaml", 3, 5, "error", "unknown key 'prot'", "did you mean 'port'?", "spec.ports[0].prot")
    assert str(problem) == "a.yaml:3:5: error: spec.ports[0].prot: unknown key 'prot' (did you mean 'port'?)"
    assert str(Problem("dir", 0, 0, "warning", "odd")) == "dir: warning: odd"


def test_many_faulty_backends_are_all_reported() -> None:
    backends = "".join(f"      - {{address: host-{n}}}\n" for n in range(2000))
    text = HEAD + METADATA + "spec:\n  sources:\n  - name: a\n    static:\n      backends:\n" + backends
    lines = said(text)
    assert len(lines) == 2000
    assert lines[-1].startswith("2008:19: error: spec.sources[0].static.backends[1999].address: host-1999 is a host")
