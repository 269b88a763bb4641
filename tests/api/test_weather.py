"""``extsync run`` while a real API server is in trouble: what it does, what it leaves alone, and what it says."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.api.backends import Backend
from tests.api.conftest import SHIPPED_ROLE
from tests.api.extsync_command import Cluster, Running, manifest, write
from tests.api.webhook import Webhook
from tests.api.wire import Wire
from tests.cluster import assets
from tests.cluster.control_plane import ControlPlane
from tests.cluster.waiting import wait_for

QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 1}
AWAY = 60.0
CAUGHT_UP = 50.0
"""Seconds for the longest pause between attempts, and for a server that has just started."""
OVER = "over after"


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One of this module's own, which may be given back old data without harm to the tests of others."""
    found = assets.state()
    assert isinstance(found, assets.Ready), "the control plane is not there"
    with ControlPlane(found.directory) as running:
        yield running


@pytest.fixture(scope="module")
def extsync_kubeconfig(control_plane: ControlPlane) -> Path:
    """As in conftest.py, on the control plane of this module."""
    role = SHIPPED_ROLE.read_text().replace("name: extsync\n", "name: shipped\n")
    control_plane.kubectl("create", "-f", "-", stdin=role)
    bind(control_plane)
    return control_plane.kubeconfig("extsync")


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane.kubectl, namespace)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


class Runs:
    """Starts extsync, and reads what it said."""

    def __init__(self, log: Path, kubeconfig: Path) -> None:
        self._log = log
        self._kubeconfig = kubeconfig

    def __call__(self, *arguments: str | Path, kubeconfig: Path | None = None) -> Running:
        return Running(*arguments, kubeconfig=kubeconfig or self._kubeconfig, log=self._log)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def trouble(self) -> list[str]:
        """The lines about trouble with the API server and its end."""
        return [line for line in self.said.splitlines() if "tries again" in line or "failed:" in line or OVER in line]

    def says(self, text: str) -> None:
        """Waits until the log has ``text``."""
        wait_for(lambda: text in self.said, f"{text!r} in the log", seconds=CAUGHT_UP)


@pytest.fixture
def run(extsync_kubeconfig: Path, tmp_path: Path) -> Runs:
    return Runs(tmp_path / "run.log", extsync_kubeconfig)


def bind(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "clusterrolebinding", "shipped", "--clusterrole=shipped", "--user=extsync")


def on_loopback(number: int, port: int) -> dict[str, Any]:
    return {"address": f"192.0.2.{number}", "probe": {"host": "127.0.0.1", "port": port}}


def plain(*numbers: int) -> list[dict[str, Any]]:
    return [{"address": f"198.51.100.{number}"} for number in numbers]


def addresses(*numbers: int) -> dict[str, bool]:
    return {f"198.51.100.{number}": True for number in numbers}


def by_hand(cluster: Cluster) -> Callable[[], None]:
    """Makes objects that are not extsync's; what it returns checks that nobody changed them."""
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "by-hand-1", "labels": {"kubernetes.io/service-name": "by-hand"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["203.0.113.9"]}],
        "ports": [{"port": 80}],
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(slice_))
    before = cluster.versions()["EndpointSlice/by-hand-1"]

    def check() -> None:
        assert cluster.versions()["EndpointSlice/by-hand-1"] == before

    return check


def quiet(cluster: Cluster) -> bool:
    """Whether nothing is written for three seconds."""
    before = cluster.versions()
    time.sleep(3)
    return cluster.versions() == before


# ---- away ------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_an_api_server_that_is_killed_for_a_minute_gets_the_newest_state(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path, backend: Backend
) -> None:
    unchanged = by_hand(cluster)
    names = [f"s{number}" for number in range(10)]
    path = tmp_path / "m.yaml"

    def put(*numbers: int) -> None:
        backends = [on_loopback(1, backend.port), *plain(*numbers)]
        for one in backends[1:]:
            one["probe"] = {"enabled": False}
        write(path, *(manifest(cluster.namespace, backends, name=name, check=QUICK) for name in names))

    def shows(expected: dict[str, bool]) -> Callable[[], bool]:
        return lambda: all(cluster.ready(name) == expected for name in names)

    put(1)
    with run("-f", path):
        wait_for(shows({"192.0.2.1": True, **addresses(1)}), "ready endpoints", seconds=CAUGHT_UP)
        control_plane.stop_api()
        began = time.monotonic()
        backend.stop()
        run.says("s9: 192.0.2.1:80 was ready and is not ready")  # it goes on probing
        backend.start()
        run.says("s9: 192.0.2.1:80 was not ready and is ready")
        backend.stop()
        put(1, 2)
        time.sleep(max(0.0, AWAY - (time.monotonic() - began)))
        control_plane.start_api()
        wait_for(shows({"192.0.2.1": False, **addresses(1, 2)}), "state after the outage", seconds=CAUGHT_UP)
        run.says(OVER)
        unchanged()
    told = run.trouble()
    assert "Connection refused" in told[0]
    assert sum("Connection refused" in line for line in told) == 2, told  # its beginning and its end
    assert len(told) <= 6, told  # a server that starts may refuse otherwise for a moment


@pytest.mark.timeout(180)
def test_a_server_with_older_data_is_brought_up_to_date(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    write(path, *(manifest(cluster.namespace, plain(1), name=name) for name in ("a", "b")))
    with run("-f", path):
        wait_for(lambda: cluster.ready("b") == addresses(1) and cluster.split("b")[0], "endpoints")
        control_plane.back_up(tmp_path / "backup")
        unchanged = by_hand(cluster)  # which the backup does not have
        write(path, *(manifest(cluster.namespace, plain(2, 3), name=name) for name in ("a", "b", "c")))
        wait_for(lambda: cluster.ready("c") == addresses(2, 3) == cluster.ready("a"), "changed endpoints")
        cluster.kubectl("delete", "endpointslices", "-l", "kubernetes.io/service-name=b")
        wait_for(lambda: cluster.ready("b") == addresses(2, 3), "new slice")
        before = cluster.versions()
        unchanged()
        control_plane.restore(tmp_path / "backup")
        for name in ("a", "b", "c"):
            wait_for(
                lambda name=name: cluster.ready(name) == addresses(2, 3) and len(cluster.split(name)[0]) == 2,  # type: ignore[misc]
                f"{name} brought up to date",
                seconds=CAUGHT_UP,
            )
        after = cluster.versions()
        assert "EndpointSlice/by-hand-1" in before
        assert "EndpointSlice/by-hand-1" not in after
        # Whether extsync met the server while it was away, and so tells of trouble and its end, is a matter of
        # milliseconds: what always comes is the end of the writes.
        wait_for(lambda: quiet(cluster), "end of the writes", seconds=CAUGHT_UP)
        assert all(cluster.ready(name) == addresses(2, 3) for name in ("a", "b", "c"))


@pytest.mark.timeout(120)
def test_half_open_connections_cost_a_request_each_and_no_more(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    settings = tmp_path / "settings.yaml"
    settings.write_text("requestTimeout: 1s\n")
    port = urlsplit(control_plane.url).port
    assert port is not None
    content = yaml.safe_load(control_plane.kubeconfig("admin").read_text())
    with Wire(port) as wire:
        content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{wire.port}"
        kubeconfig = tmp_path / "wired.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(content))
        with run("-f", path, "--config", settings, kubeconfig=kubeconfig):
            wait_for(lambda: cluster.ready() == addresses(1), "ready endpoint")
            wire.swallow()  # also the watches, which do not learn of it for minutes
            write(path, manifest(cluster.namespace, plain(1, 2)))
            wait_for(lambda: cluster.ready() == addresses(1, 2), "write on a new connection")
            wire.deaf = True
            wire.swallow()
            write(path, manifest(cluster.namespace, plain(1, 3)))
            run.says("did not answer in time")
            wire.deaf = False
            wire.cut()
            wait_for(lambda: cluster.ready() == addresses(1, 3), "write after all", seconds=CAUGHT_UP)
            wait_for(lambda: len(cluster.split()[0]) == 2, "Endpoints")


# ---- credentials and rights ------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_rights_that_are_taken_away_and_given_back(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path, backend: Backend
) -> None:
    unchanged = by_hand(cluster)
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, [on_loopback(1, backend.port)], check=QUICK))
    with run("-f", path):
        wait_for(lambda: cluster.split() == ({"192.0.2.1"}, set()), "ready address")
        control_plane.kubectl("delete", "clusterrolebinding", "shipped")
        try:
            before = cluster.versions()
            backend.stop()
            run.says('cannot update resource "endpointslices" in API group "discovery.k8s.io"')
            run.says("clusterrole.yaml has the rights that extsync needs")
            assert cluster.versions() == before
        finally:
            bind(control_plane)
        wait_for(lambda: cluster.split() == (set(), {"192.0.2.1"}), "state after all", seconds=CAUGHT_UP)
        unchanged()


@pytest.mark.timeout(120)
def test_a_token_that_is_revoked_is_replaced_from_its_file(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    cluster.kubectl("create", "serviceaccount", "extsync")
    account = f"system:serviceaccount:{cluster.namespace}:extsync"
    control_plane.kubectl(
        "create", "clusterrolebinding", f"a-{cluster.namespace}", "--clusterrole=shipped", f"--user={account}"
    )
    token = tmp_path / "token"

    def issue(secret: str) -> None:
        """A token that is good for as long as ``secret`` is there."""
        cluster.kubectl("create", "secret", "generic", secret)
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
        token.with_suffix(".new").write_text(cluster.kubectl("create", "token", "extsync", *bound).strip())
        token.with_suffix(".new").rename(token)

    issue("first")
    kubeconfig = as_user(control_plane, tmp_path, {"tokenFile": str(token)})
    with run("-f", path, kubeconfig=kubeconfig):
        wait_for(lambda: cluster.ready() == addresses(1), "ready endpoint")
        issue("second")
        cluster.kubectl("delete", "secret", "first")
        time.sleep(11)  # for so long the API server remembers a token that was good
        write(path, manifest(cluster.namespace, plain(1, 2)))
        wait_for(lambda: cluster.ready() == addresses(1, 2), "write with the second token")
        assert not run.trouble()
        cluster.kubectl("delete", "secret", "second")
        time.sleep(11)
        write(path, manifest(cluster.namespace, plain(1, 3)))
        run.says("renew the token or the client certificate")
        issue("third")
        wait_for(lambda: cluster.ready() == addresses(1, 3), "write with the third token", seconds=CAUGHT_UP)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("as_data", [True, False], ids=["data", "files"])
def test_a_client_certificate_that_expires_is_replaced_from_the_kubeconfig(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path, as_data: bool
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"

    def issue(seconds: float) -> Path:
        texts = control_plane.clients.issue("extsync", seconds=seconds)
        if as_data:
            crt, private = (base64.b64encode(text.encode()).decode() for text in texts)
            return as_user(control_plane, tmp_path, {"client-certificate-data": crt, "client-key-data": private})
        certificate.write_text(texts[0])
        key.write_text(texts[1])
        return as_user(control_plane, tmp_path, {"client-certificate": str(certificate), "client-key": str(key)})

    kubeconfig = issue(8.0)
    expires = time.monotonic() + 9
    with run("-f", path, kubeconfig=kubeconfig):
        wait_for(lambda: cluster.ready() == addresses(1), "ready endpoint")
        time.sleep(max(0.0, expires - time.monotonic()))
        write(path, manifest(cluster.namespace, plain(1, 2)))
        run.says("renew the token or the client certificate")
        assert cluster.ready() == addresses(1)
        issue(600.0)
        wait_for(lambda: cluster.ready() == addresses(1, 2), "write with the new certificate", seconds=CAUGHT_UP)
        run.says("credentials were read again")


def as_user(control_plane: ControlPlane, directory: Path, user: dict[str, str]) -> Path:
    """A kubeconfig in ``directory`` that is ``user`` to the API server."""
    content = yaml.safe_load(control_plane.kubeconfig("admin").read_text())
    content["users"][0]["user"] = user
    draft = directory / "kubeconfig.new"
    draft.write_text(yaml.safe_dump(content))
    return draft.rename(directory / "kubeconfig")


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_a_quota_is_told_of_and_what_it_kept_out_comes_when_there_is_room(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path
) -> None:
    path = tmp_path / "m.yaml"
    write(path, manifest(cluster.namespace, plain(1), name="a"))
    with run("-f", path):
        wait_for(lambda: cluster.ready("a") == addresses(1), "ready endpoint")
        full = {"count/endpointslices.discovery.k8s.io": "1"}
        quota = {"metadata": {"name": "few"}, "spec": {"hard": full}}
        quotas = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
        made = control_plane.request("POST", quotas, quota)
        # The controller that would count does not run here.
        control_plane.request("PUT", f"{quotas}/few/status", {**made, "status": {"hard": full, "used": full}})
        write(path, manifest(cluster.namespace, plain(1, 2), name="a"), manifest(cluster.namespace, plain(1), name="b"))
        run.says("exceeded quota: few")
        run.says("raise that ResourceQuota")
        wait_for(lambda: cluster.ready("a") == addresses(1, 2), "what needs no new slice")
        assert not cluster.slices("b")
        control_plane.request("DELETE", f"{quotas}/few")
        wait_for(lambda: cluster.ready("b") == addresses(1), "new slice", seconds=CAUGHT_UP)
    assert run.said.count("exceeded quota") == 1


@pytest.mark.timeout(120)
def test_a_namespace_that_terminates_is_left_alone_and_filled_when_there_is_a_new_one(
    control_plane: ControlPlane, run: Runs, tmp_path: Path, namespace: str
) -> None:
    doomed = Cluster(control_plane.kubectl, f"{namespace}-doomed")
    path = write(
        tmp_path / "m.yaml", manifest(doomed.namespace, plain(1)), manifest(namespace, plain(1), name="beside")
    )
    control_plane.kubectl("create", "namespace", doomed.namespace)
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    doomed.kubectl("create", "-f", "-", stdin=json.dumps(held))
    with run("-f", path):
        wait_for(lambda: doomed.ready() == addresses(1), "ready endpoint")
        control_plane.kubectl("delete", "namespace", doomed.namespace, "--wait=false")
        run.says("its namespace is being deleted")
        beside = Cluster(control_plane.kubectl, namespace)
        write(path, manifest(doomed.namespace, plain(1)), manifest(namespace, plain(1, 2), name="beside"))
        wait_for(lambda: beside.ready("beside") == addresses(1, 2), "the service beside it")
        doomed.kubectl("patch", "configmap", "held", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
        wait_for(
            lambda: doomed.namespace not in control_plane.kubectl("get", "namespaces", "-o", "name"),
            "end of the namespace",
            seconds=CAUGHT_UP,
        )
        control_plane.kubectl("create", "namespace", doomed.namespace)
        wait_for(lambda: doomed.ready() == addresses(1), "ready endpoint in the new one", seconds=CAUGHT_UP)
    assert run.said.count("its namespace is being deleted") == 1
    control_plane.kubectl("delete", "namespace", doomed.namespace, "--wait=false")


@pytest.mark.timeout(120)
def test_a_webhook_that_refuses_or_is_away_is_named_and_waited_for(
    control_plane: ControlPlane, cluster: Cluster, run: Runs, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.yaml", manifest(cluster.namespace, plain(1)))
    with Webhook(tmp_path) as hook, run("-f", path):
        wait_for(lambda: cluster.ready() == addresses(1), "ready endpoint")
        control_plane.kubectl("create", "-f", "-", stdin=json.dumps(configuration(hook, cluster.namespace)))
        try:
            hook.refusal = "not on a Friday"
            write(path, manifest(cluster.namespace, plain(1, 2)))
            run.says(
                'admission webhook "slices.example.com" denied the request: not on a Friday; that webhook has to let'
            )
            assert cluster.ready() == addresses(1)
            hook.refusal = None
            wait_for(lambda: cluster.ready() == addresses(1, 2), "allowed write", seconds=CAUGHT_UP)
            hook.stop()
            write(path, manifest(cluster.namespace, plain(1, 3)))
            run.says('failed calling webhook "slices.example.com"')
            run.says("see to it that it answers")
            assert cluster.ready() == addresses(1, 2)
        finally:
            control_plane.kubectl("delete", "validatingwebhookconfiguration", cluster.namespace)
        wait_for(lambda: cluster.ready() == addresses(1, 3), "write without the webhook", seconds=CAUGHT_UP)
        run.says(OVER)


def configuration(hook: Webhook, namespace: str) -> dict[str, Any]:
    """Has the API server ask ``hook`` before each write of a slice in ``namespace``."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "slices.example.com",
                "clientConfig": {"url": hook.url, "caBundle": base64.b64encode(hook.authority).decode()},
                "rules": [
                    {
                        "apiGroups": ["discovery.k8s.io"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["endpointslices"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 2,
            }
        ],
    }
