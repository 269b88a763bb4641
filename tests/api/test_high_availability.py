"""Several ``extsync run`` beside each other on a real API server: one writes, and who wrote what is seen in a watch."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.audit import Audit, Version
from tests.api.backends import Backend, Flapping
from tests.api.extsync_command import Cluster, Running, extsync, manifest, write
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

ROLE = Path(__file__).parents[2] / "deploy" / "kustomize" / "base" / "role.yaml"
LEASE, RETRY = 3.0, 0.5
SETTINGS = {
    "leaderElection": True,
    "leaseDuration": "3s",
    "renewDeadline": "2s",
    "retryPeriod": "500ms",
    "listen": "none",
}
TAKE_OVER = LEASE + 2.2 * RETRY
"""Seconds: as long as the Lease lasts, and until whoever waits looks at it."""
HAND_OVER = 5.0
CHECK = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}
NAMES = [f"s{number}" for number in range(6)]


class Stage:
    """Replicas that keep the services ``NAMES``, whose first endpoint can flap, and a watch of all that they write."""

    def __init__(
        self, control_plane: ControlPlane, kubeconfig: Path, namespace: str, folder: Path, resources: ExitStack
    ) -> None:
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._folder = folder
        self._resources = resources
        self.cluster = Cluster(control_plane.kubectl, namespace)
        self._settings = folder / "settings.yaml"
        self.flapping = resources.enter_context(Flapping())
        steady = resources.enter_context(Backend())
        self.audit = resources.enter_context(Audit(control_plane, namespace))
        self._manifests = folder / "manifests.yaml"
        backends = [
            {"address": "192.0.2.1", "probe": {"host": "127.0.0.1", "port": self.flapping.port}},
            {"address": "192.0.2.2", "probe": {"host": "127.0.0.1", "port": steady.port}},
        ]
        policy = {"writesPerMinute": 600, "damping": {"max": "0s"}}
        manifests = [manifest(namespace, backends, name=name, check=CHECK, policy=policy) for name in NAMES]
        write(self._manifests, *manifests)
        self.replicas: dict[str, Running] = {}

    def start(self, **settings: Any) -> str:
        """One more replica; returns its identity."""
        number = len(self.replicas)
        self._settings.write_text(yaml.safe_dump({**SETTINGS, "leaseNamespace": self._namespace, **settings}))
        log = self._folder / f"replica-{number}.log"
        arguments = ("-f", self._manifests, "--config", self._settings)
        running = self._resources.enter_context(Running(*arguments, kubeconfig=self._kubeconfig, log=log))
        found = wait_for(lambda: re.search(r"stands for election as (\S+),", log.read_text()), "a replica that stands")
        self.replicas[found[1]] = running
        return found[1]

    def published(self) -> bool:
        """Whether every service has its two endpoints."""
        return all(len(self.cluster.ready(name)) == 2 for name in NAMES)

    def leader(self) -> str:
        lease = json.loads(self.cluster.kubectl("get", "lease", "extsync-default", "-o", "json"))
        return str(lease["spec"].get("holderIdentity", ""))

    def by_others(self, *identities: str, since: float) -> Version | None:
        """The first version that another replica wrote after that moment."""
        return next(
            (v for v in self.audit.versions if v.at >= since and v.stamp and v.stamp.identity not in identities), None
        )


@pytest.fixture
def stage(control_plane: ControlPlane, extsync_kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    """Replicas with the rights that deploy/ ships, and no more."""
    role = ROLE.read_text().replace("namespace: extsync", f"namespace: {namespace}")
    control_plane.kubectl("create", "-f", "-", stdin=role)
    binding = ("--role=extsync-leases", "--user=extsync", "-n", namespace)
    control_plane.kubectl("create", "rolebinding", "extsync-leases", *binding)
    with ExitStack() as resources:
        yield Stage(control_plane, extsync_kubeconfig, namespace, tmp_path, resources)


def assert_one_writer(versions: list[Version], *, expected: int) -> None:
    """In the order in which the API server made them: terms of a Lease never go back, and each has one writer."""
    writers: dict[tuple[str, int], str] = {}
    latest: dict[str, int] = {}
    for version in sorted(versions, key=lambda version: version.number):
        stamp = version.stamp
        assert stamp is not None, version
        assert stamp.transitions >= latest.get(stamp.lease, 0), version
        assert writers.setdefault((stamp.lease, stamp.transitions), stamp.identity) == stamp.identity, version
        latest[stamp.lease] = stamp.transitions
    assert len(set(writers.values())) == expected


def test_after_kill_9_of_the_leader_while_backends_flip_another_one_writes_in_time(
    stage: Stage, measured: Callable[[str, float, float], None]
) -> None:
    first = stage.start()
    wait_for(stage.published, "endpoints")
    second = stage.start()
    with stage.flapping.flaps():
        wait_for(lambda: len(stage.audit.versions) > 3 * len(NAMES), "flips")
        assert stage.leader() == first
        stage.replicas[first].kill()
        killed = time.monotonic()
        version = wait_for(lambda: stage.by_others(first, since=killed), "write of the other replica")
        measured("take-over after kill -9, until the first write", version.at - killed, TAKE_OVER + 1.0)
        after = len(stage.audit.versions)
        wait_for(lambda: len(stage.audit.versions) > after + 3 * len(NAMES), "more flips")
    assert stage.leader() == second
    assert_one_writer(stage.audit.versions, expected=2)


def test_a_leader_that_was_stopped_like_a_machine_writes_nothing_when_it_goes_on(stage: Stage) -> None:
    """Its Lease has run out by then, and the other replica has written since."""
    first = stage.start()
    wait_for(stage.published, "endpoints")
    second = stage.start()
    with stage.flapping.flaps():
        for _ in range(2):
            _stop_for_a_while(stage)
    assert {first, second} == {version.stamp.identity for version in stage.audit.versions if version.stamp}
    assert_one_writer(stage.audit.versions, expected=2)


def _stop_for_a_while(stage: Stage) -> None:
    """Stops the leader until another replica has written, and lets it go on beside that."""
    leader, stopped = stage.leader(), time.monotonic()
    stage.replicas[leader].signal(signal.SIGSTOP)
    try:
        wait_for(lambda: stage.by_others(leader, since=stopped), "write of the other replica")
    finally:
        stage.replicas[leader].signal(signal.SIGCONT)
    before = len(stage.audit.versions)
    wait_for(lambda: len(stage.audit.versions) > before + 3 * len(NAMES), "more flips")


def test_a_leader_that_is_told_to_stop_hands_over(stage: Stage, measured: Callable[[str, float, float], None]) -> None:
    first = stage.start()
    wait_for(stage.published, "endpoints")
    second = stage.start()
    with stage.flapping.flaps():
        wait_for(lambda: len(stage.audit.versions) > 2 * len(NAMES), "flips")
        told = time.monotonic()
        stage.replicas[first].signal(signal.SIGTERM)
        wait_for(lambda: stage.leader() == second, "hand-over")
        measured("hand-over at SIGTERM, until the other one holds the Lease", time.monotonic() - told, HAND_OVER)
        assert stage.replicas[first].wait() == 0
        wait_for(lambda: stage.by_others(first, since=told), "write of the other replica")
    assert_one_writer(stage.audit.versions, expected=2)


def test_three_replicas_share_the_shards_and_follow_one_that_is_killed(
    stage: Stage, measured: Callable[[str, float, float], None]
) -> None:
    replicas = [stage.start(shards=6) for _ in range(3)]
    wait_for(stage.published, "endpoints", seconds=60)

    def holders() -> set[str]:
        leases = json.loads(stage.cluster.kubectl("get", "leases", "-o", "json"))["items"]
        return {lease["spec"].get("holderIdentity", "") for lease in leases if ".shard-" in lease["metadata"]["name"]}

    wait_for(lambda: "" not in holders(), "holders")
    with stage.flapping.flaps():
        wait_for(lambda: len(stage.audit.versions) > 3 * len(NAMES), "flips")
        gone = next(identity for identity in replicas if identity in holders())
        stage.replicas[gone].kill()
        killed = time.monotonic()

        def all_written() -> bool:
            late = [v for v in stage.audit.versions if v.at >= killed + 1.0 and v.stamp and v.stamp.identity != gone]
            return {version.service for version in late} == set(NAMES)

        wait_for(all_written, "writes of the others for every service")
        measured("take-over of a replica's shards after kill -9", time.monotonic() - killed, TAKE_OVER + 3.0)
        wait_for(lambda: gone not in holders(), "other holders, also of shards without a service")
    assert_one_writer(stage.audit.versions, expected=len({v.stamp.identity for v in stage.audit.versions if v.stamp}))


def test_apply_leaves_alone_what_a_replica_keeps(stage: Stage, extsync_kubeconfig: Path, tmp_path: Path) -> None:
    stage.start()
    wait_for(stage.published, "endpoints")
    path = write(tmp_path / "one.yaml", manifest(stage.cluster.namespace, [{"address": "192.0.2.9"}], name="s0"))
    refused = extsync("apply", "-f", path, kubeconfig=extsync_kubeconfig)
    assert refused.returncode == 1
    assert f"a running extsync keeps it: Lease {stage.cluster.namespace}/extsync-default is held by" in refused.stderr
    assert "--take-over" in refused.stderr
    assert set(stage.cluster.ready("s0")) == {"192.0.2.1", "192.0.2.2"}
    taken = extsync("apply", "-f", path, "--take-over", "--allow-empty", kubeconfig=extsync_kubeconfig)
    assert taken.returncode == 0, taken.stderr
    wait_for(lambda: set(stage.cluster.ready("s0")) == {"192.0.2.1", "192.0.2.2"}, "what the running one keeps")


def test_a_replica_that_asks_no_lease_is_told_of_by_itself_and_by_the_one_that_does(
    stage: Stage, extsync_kubeconfig: Path, tmp_path: Path
) -> None:
    """The elected one knows by the field manager who wrote without a stamp, the other one by the Lease that is held."""
    elected = stage.start()
    wait_for(stage.published, "endpoints")
    log = tmp_path / "alone.log"
    beside = Running("-f", tmp_path / "manifests.yaml", "--listen", "none", kubeconfig=extsync_kubeconfig, log=log)

    def told() -> set[str]:
        events = json.loads(stage.cluster.kubectl("get", "events", "-o", "json"))["items"]
        return {event["message"] for event in events if event["reason"] == "AnotherWriter"}

    with beside, stage.flapping.flaps():
        by_lease = f"{elected} holds Lease {stage.cluster.namespace}/extsync-default"
        wait_for(lambda: any(by_lease in text for text in told()), "word of the elected one")
        wait_for(lambda: any("it has no leader election" in text for text in told()), "word of the other one")
        said = "another extsync with owner id 'default' writes it as well"
        wait_for(lambda: said in log.read_text(), "the same in the log")
