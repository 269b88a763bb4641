"""Connections from inside, where the pod is this machine: the shell, the programs and the listeners are real."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from extsync.doctor.facts import Attempt, Inside, ServiceFacts, Unread
from extsync.doctor.gathering.inside import SCRIPT, look_inside, understood
from extsync.objects import ServicePort, SlicePort
from tests.doctor.gathering.fake_cluster import FakeCluster
from tests.doctor.making import cluster, facts, service, slice_of
from tests.servers.programs import Programs

pytestmark = pytest.mark.sockets

HERE, NOWHERE = "127.0.0.1", "127.0.0.2"
PODS = "/api/v1/namespaces/shop/pods"


def pod(name: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "app"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


@contextmanager
def listening() -> Iterator[int]:
    """The number of a port of ``HERE`` alone."""
    with socket.create_server((HERE, 0)) as server:
        yield server.getsockname()[1]


def published(port: int, *addresses: str) -> ServiceFacts:
    """A Service whose cluster IP is the listener, with endpoints at these addresses."""
    ports = (SlicePort(name="sql", port=port, protocol="TCP"),)
    return facts(
        slice_of(*addresses, ports=ports),
        service=service(ports=[ServicePort(name="sql", port=port)], cluster_ip=HERE),
    )


async def look(fake: FakeCluster, about: ServiceFacts, wanted: str = "") -> Inside | Unread:
    async with fake.running():
        found = await look_inside(fake.asking, fake.enquiries, about, cluster(), wanted=wanted)
    assert found is not None
    return found


def with_pods(*pods: dict[str, Any]) -> FakeCluster:
    fake = FakeCluster()
    fake.add(PODS, *pods)
    return fake


async def test_the_service_and_its_endpoints_are_connected_to() -> None:
    with listening() as port:
        found = await look(with_pods(pod("web-1"), pod("web-0")), published(port, HERE, NOWHERE))
    assert isinstance(found, Inside)
    assert (found.pod, found.container) == ("web-0", "app")
    assert found.through == (Attempt(HERE, port),)
    alive, dead = found.direct
    assert alive == Attempt(HERE, port)
    assert (dead.address, "refused" in dead.failure) == (NOWHERE, True)


async def test_a_name_that_nobody_knows_has_no_addresses() -> None:
    with listening() as port:
        found = await look(with_pods(pod("web-0")), published(port, HERE))
    assert isinstance(found, Inside)
    assert found.resolved == ()


async def test_pods_that_are_not_ready_are_left_alone_unless_they_are_named() -> None:
    fake = with_pods(pod("web-0", ready=False))
    found = await look(fake, published(1, HERE))
    assert isinstance(found, Unread)
    assert "no pod is ready in shop" in found.why
    named = await look(with_pods(pod("web-0", ready=False)), published(1, HERE), "web-0")
    assert isinstance(named, Inside)


async def test_the_container_is_the_one_that_kubectl_would_choose() -> None:
    sidecar = pod("web-0")
    sidecar["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "web"}
    found = await look(with_pods(sidecar), published(1, HERE))
    assert isinstance(found, Inside)
    assert found.container == "web"


async def test_the_name_is_asked_for_with_the_domain_of_the_cluster() -> None:
    fake = with_pods(pod("web-0"))
    await look(fake, published(1, HERE))
    [(_, query)] = fake.exec_server.asked
    assert query["command"][4:7] == ["orders.shop.svc", "cluster.local", "3"]


async def test_a_pod_that_is_not_there_is_said_to_be_missing() -> None:
    found = await look(with_pods(), published(1, HERE), "lab/web-9")
    assert found == Unread("there is no pod lab/web-9")


async def test_nothing_is_run_without_the_right_to() -> None:
    fake = with_pods(pod("web-0"))
    fake.denied.add("create pods/exec")
    found = await look(fake, published(1, HERE))
    assert found == Unread("you may not exec in pod shop/web-0", forbidden=True)
    assert fake.exec_server.asked == []


async def test_a_refusal_by_the_kubelet_is_said_and_breaks_nothing() -> None:
    fake = with_pods(pod("web-0"))
    fake.exec_server.refuses = 403
    found = await look(fake, published(1, HERE))
    assert isinstance(found, Unread)
    assert found.forbidden


def path_with(directory: Path, *programs: str) -> str:
    """A PATH that has these programs and no others."""
    for program in programs:
        found = sys.executable if program == "python3" else shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed")
        (directory / program).symlink_to(os.path.realpath(found))
    return str(directory)


def busybox_in(directory: Path, programs: Programs, *applets: str) -> str:
    """A PATH that has these of busybox's programs and no others, as most small images have them."""
    for applet in applets:
        (directory / applet).symlink_to(programs.paths["busybox"])
    return str(directory)


def run_script(path: str, *places: tuple[str, int], shell: str = "/bin/sh") -> Inside:
    words = [str(word) for place in places for word in place]
    done = subprocess.run(
        [shell, "-c", SCRIPT, "doctor", "localhost", "", "2", *words],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return understood(done.stdout, pod="web-0", container="app", through=0)


@pytest.mark.parametrize("tool", ["bash", "python3", "curl"])
def test_each_tool_tells_a_listener_from_none(tool: str, tmp_path: Path) -> None:
    path = path_with(tmp_path, tool, "tail", *(["timeout"] if tool == "bash" else []))
    with listening() as port:
        found = run_script(path, (HERE, port), (NOWHERE, port))
    assert found.tool == tool
    assert [(one.address, bool(one.failure)) for one in found.direct] == [(HERE, False), (NOWHERE, True)]


def test_busybox_tells_a_listener_from_none(busybox_programs: Programs, tmp_path: Path) -> None:
    path = busybox_in(tmp_path, busybox_programs, "sh", "nc", "tail", "true")
    with listening() as port:
        found = run_script(path, (HERE, port), (NOWHERE, port), shell=f"{path}/sh")
    assert found.tool == "nc"
    assert [(one.address, bool(one.failure)) for one in found.direct] == [(HERE, False), (NOWHERE, True)]


@pytest.mark.parametrize(
    "said",
    [
        "Server:\t\t10.96.0.2\nAddress:\t10.96.0.2:53\n\nName:\tlocalhost\nAddress: 10.96.0.10\n",
        "Server:    10.96.0.2\nAddress 1: 10.96.0.2 dns\n\nName:      localhost\nAddress 1: 10.96.0.10 orders\n",
    ],
    ids=["new", "old"],
)
def test_what_nslookup_prints_is_understood(said: str, tmp_path: Path) -> None:
    (tmp_path / "nslookup").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "nslookup").chmod(0o755)
    assert run_script(str(tmp_path)).resolved == ("10.96.0.10",)


@pytest.mark.parametrize("resolver", [["getent", "cut", "sort"], ["python3"]], ids=["getent", "python3"])
def test_a_name_is_resolved_by_what_is_there(resolver: list[str], tmp_path: Path) -> None:
    found = run_script(path_with(tmp_path, *resolver))
    assert found.resolved is not None
    assert set(found.resolved) & {"127.0.0.1", "::1"}


def test_a_container_without_any_tool_is_told_of(tmp_path: Path) -> None:
    found = run_script(str(tmp_path), (HERE, 1))
    assert (found.tool, found.resolved, found.direct) == ("", None, ())


def test_the_domain_is_that_of_the_search_list() -> None:
    said = ("tool bash", "domain prod.example", "resolver", "address 10.96.0.10", "connected 10.96.0.10 80")
    found = understood("\n".join((*said, "failed 192.0.2.1 80 no")), pod="p", container="c", through=1)
    assert (found.domain, found.resolved) == ("prod.example", ("10.96.0.10",))
    assert (found.through, found.direct) == ((Attempt("10.96.0.10", 80),), (Attempt("192.0.2.1", 80, failure="no"),))


def test_what_the_script_never_prints_is_passed_over() -> None:
    found = understood(
        "address 1.2.3.4\nconnected x y z\n\x1b[2J\nfailed 1.2.3.4 80x\n", pod="p", container="c", through=1
    )
    assert (found.resolved, found.through, found.direct) == (None, (), ())
