"""``extsync apply`` and ``diff`` against the in-memory store: what is shown, what is written and how it ends."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import extsync.cli.apply
from extsync.changes import Delete
from extsync.cli.apply import as_data, as_text, messages
from extsync.cli.main import main
from extsync.cli.world import world_of
from extsync.config.settings import Settings
from extsync.engine.passes import ServiceResult, Step
from extsync.engine.world import World
from extsync.kube.memory import MemoryStore
from extsync.model import ServiceKey
from extsync.objects import Endpoints, EndpointSlice, KubeObject, Service
from extsync.seams import SystemClock, SystemRandom
from tests.cli.command import manifest, write

KEY = ServiceKey("default", "orders")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The cluster that every command of the test finds."""
    store = MemoryStore(clock=SystemClock(), random=SystemRandom())

    @asynccontextmanager
    async def cluster(args: argparse.Namespace, settings: Settings) -> AsyncIterator[World]:
        yield world_of(store)

    monkeypatch.setattr(extsync.cli.apply, "cluster", cluster)
    return store


def versions(store: MemoryStore) -> dict[str, str]:
    kinds: tuple[type[KubeObject], ...] = (Service, EndpointSlice, Endpoints)
    objects = [obj for kind in kinds for obj in store.dump(kind, "default")]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["resourceVersion"] for obj in objects}


def rack(*addresses: str, **more: Any) -> dict[str, Any]:
    """A manifest with these static backends."""
    backends = [{"address": address} for address in addresses]
    return manifest(spec={"sources": [{"name": "rack", "static": {"backends": backends}}], **more})


def apply(*arguments: str | Path) -> int:
    return main(["apply", *map(str, arguments)])


def diff(*arguments: str | Path) -> int:
    return main(["diff", *map(str, arguments)])


def test_the_text_names_each_change_and_each_endpoint(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply("-f", write(tmp_path / "m.json", rack("192.0.2.1", "192.0.2.2"))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "default/orders: 2 ready"
    assert lines[1].split() == ["ACTION", "OBJECT", "REASON"]
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["applied", "service/orders"],
        ["created", next(f"endpointslice/{name}" for name in _names(store, EndpointSlice))],
        ["created", "endpoints/orders"],
    ]
    assert lines[5].split() == ["ENDPOINT", "STATE", "HOSTNAME", "WHY"]
    assert lines[6].split(maxsplit=3) == ["192.0.2.1:80", "ready", "-", "ready as declared: nothing checks it"]


def test_a_second_time_there_is_nothing_to_do(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", rack("192.0.2.1"))
    assert apply("-f", path) == 0
    before = versions(store)
    capsys.readouterr()
    assert apply("-f", path) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert versions(store) == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply("-f", write(tmp_path / "m.json", rack("192.0.2.1")), "--dry-run") == 0
    said = capsys.readouterr().out
    assert "would apply" in said
    assert "would create" in said
    assert versions(store) == {}


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_machines_get_changes_endpoints_and_messages(
    form: str, read: Any, store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply("-f", write(tmp_path / "m.json", rack("192.0.2.1")), "-o", form) == 0
    [service] = read(capsys.readouterr().out)["services"]
    assert (service["namespace"], service["name"], service["written"]) == ("default", "orders", True)
    assert [change["verb"] for change in service["changes"]] == ["apply", "create", "create"]
    assert service["endpoints"] == [
        {
            "address": "192.0.2.1",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            "group": "",
            "state": "Ready",
            "why": "ready as declared: nothing checks it",
        }
    ]
    assert service["messages"] == []


def test_of_a_large_service_only_what_is_not_ready_is_listed(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backends = [{"address": f"192.0.2.{number}", "ready": number != 7} for number in range(1, 101)]
    sources = [{"name": "rack", "static": {"backends": backends}}]
    assert apply("-f", write(tmp_path / "m.json", manifest(spec={"sources": sources}))) == 0
    said = capsys.readouterr().out
    assert said.startswith("default/orders: 99 ready, 1 not ready\n")
    assert [line.split()[0] for line in said.splitlines() if "192.0.2." in line] == ["192.0.2.7:80"]


def test_diff_ends_with_1_and_shows_the_lines_that_would_change(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", rack("192.0.2.1"))
    assert diff("-f", path) == 1
    said = capsys.readouterr().out
    assert "--- /dev/null\n+++ b/default/service/orders\n" in said
    assert apply("-f", path) == 0
    write(path, rack("192.0.2.1", "192.0.2.2"))
    capsys.readouterr()
    before = versions(store)
    assert diff("-f", path) == 1
    said = capsys.readouterr().out
    assert "+  - ip: 192.0.2.2" in said
    assert "-  - ip: 192.0.2.1" not in said
    assert "last-change-trigger-time" not in said
    assert versions(store) == before


def test_diff_ends_with_0_where_nothing_would_change(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", rack("192.0.2.1"))
    assert apply("-f", path) == 0
    capsys.readouterr()
    assert diff("-f", path) == 0
    assert capsys.readouterr().out == ""


def test_a_service_of_somebody_else_is_refused_with_the_cure(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(Service, {"metadata": {"name": "orders", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}})
    before = versions(store)
    path = write(tmp_path / "m.json", rack("192.0.2.1"))
    assert apply("-f", path) == 1
    said = capsys.readouterr()
    assert "extsync: error: default/orders: " in said.err
    assert "leave out spec.service" in said.err
    assert said.err.count("extsync did not make it") == 1
    assert versions(store) == before
    assert diff("-f", path) == 2


def test_too_few_ready_endpoints_after_wait_end_with_3(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.json", rack("192.0.2.1", policy={"minReady": 2}))
    assert apply("-f", path, "--wait", "--timeout", "0.1") == 3
    assert len(versions(store)) == 3
    assert apply("-f", path, "--wait", "--timeout", "0.1", "-o", "json") == 3
    assert '"readyEnough": false' in capsys.readouterr().out


TEAM = ("--owner", "team-a")


def test_prune_deletes_what_the_owner_no_longer_names(
    store: MemoryStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = write(tmp_path / "both.yaml", manifest("stays"), manifest("goes"))
    assert apply("-f", both, "--owner", "team-a") == 0
    assert apply("-f", write(tmp_path / "theirs.json", manifest("theirs"))) == 0
    one = write(tmp_path / "one.json", manifest("stays"))
    capsys.readouterr()
    assert apply("-f", one, "--owner", "team-a", "--prune", "--dry-run") == 0
    assert "would delete" in capsys.readouterr().out
    assert "goes" in _names(store, Service)
    assert apply("-f", one, "--owner", "team-a", "--prune") == 0
    said = capsys.readouterr().out
    assert "default/goes: removed" in said
    assert _names(store, Service) == ["stays", "theirs"]


def test_prune_stays_within_the_one_namespace_that_manifests_may_name(store: MemoryStore, tmp_path: Path) -> None:
    store.create_namespace("shop")
    elsewhere = manifest("elsewhere")
    elsewhere["metadata"]["namespace"] = "shop"
    assert apply("-f", write(tmp_path / "all.yaml", manifest("stays"), manifest("goes"), elsewhere), *TEAM) == 0
    one = write(tmp_path / "one.json", manifest("stays"))
    assert apply("-f", one, *TEAM, "--prune", "-n", "default") == 0
    assert _names(store, Service) == ["stays"]
    assert len(store.dump(Service, "shop")) == 1
    assert apply("-f", one, *TEAM, "--prune") == 0
    assert len(store.dump(Service, "shop")) == 0


def test_what_is_withheld_and_what_failed_is_said_worst_first_and_once() -> None:
    result = ServiceResult(
        KEY,
        errors=["broken"],
        warnings=["odd", "broken"],
        plan_errors=["broken", "refused"],
        plan_withheld=["withheld"],
    )
    assert messages(result) == [
        ("error", "broken"),
        ("error", "refused"),
        ("withheld", "withheld"),
        ("warning", "odd"),
    ]
    assert result.failed


def test_a_service_that_failed_early_is_told_as_not_done() -> None:
    result = ServiceResult(KEY, errors=["source 'rack': gone"])
    assert as_text(result, written=True) == "default/orders: not done"
    told = as_data(result, written=True)
    assert told["endpoints"] == []
    assert told["messages"] == [{"level": "error", "text": "source 'rack': gone"}]


@pytest.mark.parametrize(
    ("written", "headline", "word"), [(True, "removed", "deleted"), (False, "to be removed", "would delete")]
)
def test_a_removal_is_told_in_the_right_tense(written: bool, headline: str, word: str) -> None:
    change = Delete(Endpoints, "default", "orders", "1", reason="nobody names it")
    lines = as_text(ServiceResult(KEY, steps=[Step(change)]), written=written).splitlines()
    assert lines[0] == f"default/orders: {headline}"
    assert lines[2].split() == [*word.split(), "endpoints/orders", "nobody", "names", "it"]


def test_results_can_be_written_as_they_are() -> None:
    told = as_data(ServiceResult(KEY, plan_withheld=["kept"], ready_enough=False), written=False)
    assert msgspec.json.decode(msgspec.json.encode(told)) == told


def _names(store: MemoryStore, kind: type[KubeObject]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in store.dump(kind, "default"))
