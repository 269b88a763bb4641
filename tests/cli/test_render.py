"""``extsync render``: objects without a cluster."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync.cli.main import main
from extsync.plan.evidence import EVIDENCE_ANNOTATION
from tests.cli.command import EXAMPLES, manifest, write

WITHOUT_PORTS = EXAMPLES / "hybrid-selector.yaml"
OF_PODS = EXAMPLES / "hybrid-pods.yaml"
ASKING = {EXAMPLES / f"{name}.yaml" for name in ("consul-source", "dns-source", "http-source", "relabel")}
"""Examples whose sources ask somebody who is not here."""
RENDERED = [path for path in sorted(EXAMPLES.glob("*.yaml")) if path not in {WITHOUT_PORTS, OF_PODS, *ASKING}]


def render(*arguments: str | Path) -> int:
    return main(["render", *map(str, arguments)])


def objects(text: str) -> dict[str, list[dict[str, Any]]]:
    """The rendered objects by kind."""
    found: dict[str, list[dict[str, Any]]] = {"Service": [], "EndpointSlice": [], "Endpoints": []}
    for document in yaml.safe_load_all(text):
        found[document["kind"]].append(document)
    return found


@pytest.mark.parametrize("example", RENDERED, ids=lambda path: path.stem)
def test_each_example_renders_the_same_each_time(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render("-f", example) == 0
    first = capsys.readouterr()
    assert first.err == ""
    assert render("-f", example) == 0
    assert capsys.readouterr().out == first.out
    assert EVIDENCE_ANNOTATION not in first.out, "it says when it was written"
    assert all(document["apiVersion"] for document in yaml.safe_load_all(first.out))


def test_the_objects_are_those_of_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("-f", EXAMPLES / "external-database.yaml") == 0
    found = objects(capsys.readouterr().out)
    [service], slices, [endpoints] = found["Service"], found["EndpointSlice"], found["Endpoints"]
    assert service["spec"]["ports"] == [{"name": "mysql", "port": 3306, "protocol": "TCP", "targetPort": 3306}]
    assert [(slice_["ports"][0]["port"], slice_["endpoints"][0]["addresses"]) for slice_ in slices] == [
        (3306, ["192.0.2.10"]),
        (3307, ["192.0.2.11"]),
    ]
    assert [subset["addresses"] for subset in endpoints["subsets"]] == [[{"ip": "192.0.2.10"}], [{"ip": "192.0.2.11"}]]


def test_a_service_with_an_address_gets_no_headless_slices(capsys: pytest.CaptureFixture[str]) -> None:
    label = "service.kubernetes.io/headless"  # kube-proxy does not look at slices that carry it
    assert render("-f", EXAMPLES / "external-database.yaml", EXAMPLES / "headless.yaml") == 0
    found = objects(capsys.readouterr().out)
    for obj in (*found["EndpointSlice"], *found["Endpoints"]):
        assert (label in obj["metadata"]["labels"]) is obj["metadata"]["name"].startswith("zookeeper")


def test_what_only_a_server_knows_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("-f", EXAMPLES / "external-database.yaml") == 0
    for documents in objects(capsys.readouterr().out).values():
        for document in documents:
            assert document["metadata"].keys() <= {"name", "namespace", "labels", "annotations"}
            assert "status" not in document


def test_ports_that_only_the_cluster_knows_are_asked_for_and_the_others_are_rendered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert render("-f", WITHOUT_PORTS, EXAMPLES / "headless.yaml") == 1
    said = capsys.readouterr()
    assert "default/checkout: its ports are those of the Service in a cluster: give spec.ports" in said.err
    assert [service["metadata"]["name"] for service in objects(said.out)["Service"]] == ["zookeeper"]


def test_pods_are_in_a_cluster_only_and_the_others_are_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    assert render("-f", OF_PODS, EXAMPLES / "headless.yaml") == 1
    said = capsys.readouterr()
    assert said.err == (
        "extsync: error: default/catalog: source 'pods': pods are in a cluster, and this command has none to look into;"
        " nothing was planned\n"
    )
    assert {obj["metadata"]["labels"]["kubernetes.io/service-name"] for obj in objects(said.out)["EndpointSlice"]} == {
        "zookeeper"
    }


def test_json_is_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render("-f", write(tmp_path / "m.json", manifest()), "-o", "json", "-n", "default", "--owner", "team-a") == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "List")  # kubectl takes nothing else
    documents = listed["items"]
    assert [document["kind"] for document in documents] == ["Service", "EndpointSlice", "Endpoints"]
    assert {document["metadata"]["namespace"] for document in documents} == {"default"}
    assert {document["metadata"]["labels"]["extsync.dev/owner"] for document in documents} == {"team-a"}


def test_an_entry_that_is_set_aside_is_told_and_the_others_are_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "targets.json").write_text(json.dumps([{"targets": ["192.0.2.1:80", "\x1b[2Jdb.example.com:80"]}]))
    sources = [{"name": "inventory", "file": {"files": ["targets.json"]}}]
    assert render("-f", write(tmp_path / "m.json", manifest(spec={"sources": sources}))) == 0
    said = capsys.readouterr()
    [slice_] = objects(said.out)["EndpointSlice"]
    assert [endpoint["addresses"] for endpoint in slice_["endpoints"]] == [["192.0.2.1"]]
    assert "source 'inventory'" in said.err
    assert "db.example.com" in said.err
    assert "is set aside" in said.err
    assert "\x1b" not in said.err


def test_a_source_that_fails_is_an_error_of_its_service_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [{"name": "inventory", "file": {"files": ["none.json"]}}]
    path = write(tmp_path / "m.yaml", manifest("fails", spec={"sources": sources}), manifest("stands"))
    assert render("-f", path) == 1
    said = capsys.readouterr()
    assert "default/fails: source 'inventory': " in said.err
    assert [obj["metadata"]["labels"]["kubernetes.io/service-name"] for obj in objects(said.out)["EndpointSlice"]] == [
        "stands"
    ]


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """A port that is listened on, and one that is taken by nobody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield listening.getsockname()[1], silent.getsockname()[1]


@pytest.mark.sockets
def test_probe_shows_what_the_checks_say(
    ports: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backends = [
        {"address": f"192.0.2.{number}", "probe": {"host": "127.0.0.1", "port": port}}
        for number, port in enumerate(ports, start=1)
    ]
    spec = {
        "sources": [{"name": "rack", "static": {"backends": backends}}],
        "checks": [{"tcpSocket": {"port": "http"}, "failureThreshold": 1, "initialDelaySeconds": 3600}],
    }
    path = write(tmp_path / "m.json", manifest(spec=spec))
    assert render("-f", path, "--probe") == 0
    [slice_] = objects(capsys.readouterr().out)["EndpointSlice"]
    ready = {endpoint["addresses"][0]: endpoint["conditions"]["ready"] for endpoint in slice_["endpoints"]}
    assert ready == {"192.0.2.1": True, "192.0.2.2": False}
    assert render("-f", path) == 0  # without --probe all are as declared
    [slice_] = objects(capsys.readouterr().out)["EndpointSlice"]
    assert all(endpoint["conditions"]["ready"] for endpoint in slice_["endpoints"])


@pytest.mark.sockets
def test_a_source_address_of_probes_that_is_not_this_machines_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTSYNC_PROBE_SOURCE_ADDRESSES", "192.0.2.77")
    assert render("-f", write(tmp_path / "orders.yaml", manifest())) == 1
    assert capsys.readouterr().err == (
        "extsync: probes cannot be sent from 192.0.2.77: cannot assign requested address:"
        " is it an address of this machine?\n"
    )
