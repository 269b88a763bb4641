"""kube-proxy, rights and versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from extsync.doctor.checks import proxy, rights, versions
from extsync.doctor.examine import examine
from extsync.doctor.facts import AccountFacts, ClusterFacts, ProxyFacts, Seen, Unread
from extsync.doctor.kinds import Container, DaemonSet, DaemonSetSpec, DaemonSetStatus, PodSpec, PodTemplateSpec
from extsync.kube.enquiries import Answered, Right
from extsync.objects import ObjectMeta
from tests.doctor.checks.test_traffic import running
from tests.doctor.making import cluster, codes, facts, node, slice_of

DEPLOY = Path(__file__).parents[3] / "deploy" / "kustomize" / "base"
NO = Unread("you may not", forbidden=True)
YES, DENIED = Answered(True), Answered(False)


def daemon(*, ready: int = 3, image: str = "registry/kube-proxy:v1.36.1") -> DaemonSet:
    spec = PodSpec(containers=(Container("kube-proxy", image),))
    return DaemonSet(
        metadata=ObjectMeta(name="kube-proxy"),
        spec=DaemonSetSpec(PodTemplateSpec(spec)),
        status=DaemonSetStatus(desired_number_scheduled=3, number_ready=ready),
    )


def with_proxy(daemon: Seen[DaemonSet | None], **configuration: Any) -> ClusterFacts:
    return cluster(proxy=ProxyFacts(daemon=daemon, configuration=configuration))


@pytest.mark.parametrize(
    ("around", "found"),
    [
        (with_proxy(daemon(), mode="nftables"), set()),
        (with_proxy(daemon(), mode=""), set()),
        (with_proxy(daemon(ready=2)), {"ProxyNotEverywhere"}),
        (with_proxy(daemon(), mode="userspace"), {"ProxyModeUnknown"}),
        (with_proxy(daemon(), iptables={"minSyncPeriod": "1m0s"}), {"ProxySyncPeriod"}),
        (with_proxy(daemon(), mode="ipvs", iptables={"minSyncPeriod": "1m0s"}), set()),
        (with_proxy(daemon(), iptables={"minSyncPeriod": "nonsense"}), set()),
        (cluster(proxy=ProxyFacts(daemon=NO, configuration=NO)), set()),
        (cluster(), set()),
    ],
)
def test_kube_proxy(around: ClusterFacts, found: set[str]) -> None:
    assert codes([*proxy.check_cluster(around)]) == found


@pytest.mark.parametrize(
    ("around", "found"),
    [
        (cluster(nodes=(node("n1"), node("n2", kubelet="v1.33.9"))), set()),
        (cluster(nodes=(node("n1", kubelet="v1.32.0"),)), {"VersionSkew"}),
        (cluster(nodes=(node("n1", kubelet="v1.37.0"),)), {"VersionSkew"}),
        (
            cluster(proxy=ProxyFacts(daemon=daemon(image="r:5000/kube-proxy:v1.30.2"), configuration=None)),
            {"VersionSkew"},
        ),
        (cluster(version="v1.20.15"), {"ServerTooOld"}),
        (cluster(version="v1.36.3+k3s1"), set()),
        (cluster(version=NO), set()),
        (cluster(version="who knows"), set()),
        (cluster(running=running(version="0.9")), set()),
    ],
)
def test_versions(around: ClusterFacts, found: set[str]) -> None:
    assert codes([*versions.check_cluster(around)]) == found


def test_another_version_of_the_running_extsync_is_told_of() -> None:
    assert "ExtsyncVersions" in {one.code for one in versions.check_cluster(cluster(running=running(version="0.9")))}


def account(*rights: tuple[Right, Seen[Answered]], exists: Seen[bool] = True) -> ClusterFacts:
    return cluster(account=AccountFacts(namespace="extsync", name="extsync", exists=exists, rights=rights))


@pytest.mark.parametrize(
    ("around", "found"),
    [
        (account((Right("get", "services"), YES)), set()),
        (account((Right("get", "services"), DENIED)), {"AccountRightsMissing"}),
        (account((Right("list", "pods"), DENIED)), set()),
        (account((Right("create", "services"), DENIED)), set()),
        (account((Right("get", "services"), NO)), set()),
        (account(exists=False), set()),
    ],
)
def test_rights_of_the_account(around: ClusterFacts, found: set[str]) -> None:
    assert codes([*rights.check_cluster(around)]) == found


def test_what_one_may_not_look_at_is_told_of() -> None:
    around = cluster(rights=((Right("get", "pods"), DENIED), (Right("get", "services"), YES)))
    found = {one.code: one for one in rights.check_cluster(around)}
    assert found["RightsMissing"].evidence == ("get pods in all namespaces",)


def test_the_rights_that_are_asked_for_are_those_that_deploy_grants() -> None:
    granted: dict[tuple[str, str], set[str]] = {}
    for name in ("clusterrole.yaml", "role.yaml"):
        for rule in yaml.safe_load((DEPLOY / name).read_text())["rules"]:
            for resource in rule["resources"]:
                granted.setdefault((rule["apiGroups"][0], resource), set()).update(rule["verbs"])
    asked: dict[tuple[str, str], set[str]] = {}
    for group, resource, verbs in (*rights.NEEDED, *rights.OPTIONAL, rights.LEASES):
        asked.setdefault((group, resource), set()).update(verbs)
    assert asked == granted


def test_the_worst_comes_first() -> None:
    severities = [one.severity.value for one in examine(cluster(nodes=(node("n1"),)), [facts(slice_of(owners=None))])]
    order = ["error", "warning", "info", "ok"]
    assert severities == sorted(severities, key=order.index)
    assert {"error", "warning", "info", "ok"} <= set(severities)


def test_an_api_server_that_is_away_is_all_that_is_said() -> None:
    assert [one.code for one in examine(cluster(unreachable="refused"), [])] == ["ApiUnreachable"]


def test_of_very_much_evidence_the_first_is_shown() -> None:
    many = facts(slice_of(*(f"10.0.{high}.{low}" for high in range(4) for low in range(250)), owners=None))
    for one in examine(cluster(policy=cluster().policy), [many]):
        assert len(one.evidence) <= 10
        assert all(len(line) < 500 for line in (*one.evidence, one.summary))
