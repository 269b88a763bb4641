"""A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager, without node, container or root.

It starts in about 4 s and takes 400 MB, so the tests share one and have a namespace each. Its users are ``admin``, who
may do everything, ``extsync``, for whom tests/api/conftest.py binds the role that deploy/ ships, and ``guest``, who may
do nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.cluster.authority import Authority
from tests.cluster.processes import Component, free_ports
from tests.cluster.rest import is_ok, send

User = Literal["admin", "extsync", "guest"]
TOKENS: Mapping[User, str] = {"admin": "admin-token", "extsync": "extsync-token", "guest": "guest-token"}
GROUPS: Mapping[User, str] = {"admin": "system:masters"}

# Only what the tests look at: who fills, mirrors and collects the objects that extsync writes.
CONTROLLERS = (
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "garbage-collector-controller",
    "namespace-controller",
)


class ControlPlane:
    """A context manager: the control plane runs inside the ``with`` block, and nothing of it is left afterwards.

    Attributes:
        url: The API server, ``https://127.0.0.1:PORT``; the port stays the same over ``stop_api`` and ``start_api``.
        clients: Issues certificates of users that the API server believes.
        ca_file: The certificate that the API server's own is to be verified with. It exists once it runs.
        admin_token: The bearer token of ``admin``.
        kubectl_path: kubectl of the same version.
    """

    def __init__(
        self,
        binaries: Path,
        *,
        start_seconds: float = 45.0,
        controllers: Sequence[str] = CONTROLLERS,
        manager_flags: Sequence[str] = ("--kube-api-qps=200", "--kube-api-burst=400"),
    ) -> None:
        """``binaries`` is a folder with all that ``tests.cluster.assets.BINARIES`` names.

        ``start_seconds`` is how long each component may take until it answers. ``controllers`` are those that
        kube-controller-manager runs, with ``manager_flags`` among its flags.
        """
        self._start_seconds = start_seconds
        self._controllers = tuple(controllers)
        self._more_manager_flags = tuple(manager_flags)
        self.kubectl_path = binaries / "kubectl"
        self._resources = ExitStack()
        self._directory = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="extsync-cluster-")))
        client, peer, api, manager = free_ports(4)
        self.url = f"https://127.0.0.1:{api}"
        self.ca_file = self._directory / "pki" / "apiserver.crt"
        self.admin_token = TOKENS["admin"]
        self._data = self._directory / "etcd"
        self._audit_log = self._directory / "audit.log"
        self.clients = Authority(self._directory / "clients")
        self._etcd_url = f"http://127.0.0.1:{client}"
        self._manager_url = f"https://127.0.0.1:{manager}"
        self._etcd = self._component(binaries / "etcd", *self._etcd_flags(peer))
        self._api = self._component(binaries / "kube-apiserver", *self._api_flags(api))
        self._manager = self._component(binaries / "kube-controller-manager", *self._manager_flags(manager))

    def __enter__(self) -> Self:
        try:
            self._write_credentials()
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def start_api(self) -> None:
        """Start the API server where it does not run, and wait until it is ready to serve."""
        self._api.start(self._api_is_ready, seconds=self._start_seconds)

    def stop_api(self) -> None:
        """Kill the API server alone: connections break and its port refuses, while etcd keeps the data."""
        self._api.kill()

    def back_up(self, directory: Path) -> None:
        """Copy all data that etcd has at this moment to ``directory``, which must not exist."""
        self._etcd.send(signal.SIGSTOP)  # so the copy is what a crash would leave, which etcd can start from
        try:
            shutil.copytree(self._data, directory)
        finally:
            self._etcd.send(signal.SIGCONT)

    def restore(self, directory: Path) -> None:
        """Kill all components and start them with the data of ``directory``: versions go back as well."""
        for component in (self._manager, self._api, self._etcd):
            component.kill()
        shutil.rmtree(self._data)
        shutil.copytree(directory, self._data)
        self._start()

    def _start(self) -> None:
        self._etcd.start(self._etcd_is_ready, seconds=self._start_seconds)
        self.start_api()
        self.start_manager()

    def start_manager(self) -> None:
        """Start kube-controller-manager where it does not run, and wait until it answers."""
        self._manager.start(self._manager_is_ready, seconds=self._start_seconds)

    def stop_manager(self) -> None:
        """Kill kube-controller-manager alone."""
        self._manager.kill()

    @property
    def manager_pid(self) -> int | None:
        """The process of kube-controller-manager while it runs."""
        return self._manager.pid

    def kubeconfig(self, user: User = "admin") -> Path:
        """The path of a kubeconfig whose only context is that of ``user``."""
        return self._directory / f"{user}.kubeconfig"

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        user: User = "admin",
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Send one request to the API server and return the decoded answer.

        Raises:
            RequestFailedError: the API server refused it.
            OSError: the API server is not there.
        """
        answer = send(
            method,
            self.url + path,
            headers={"Authorization": f"Bearer {TOKENS[user]}", "Content-Type": content_type},
            body=None if body is None else json.dumps(body).encode(),
            ca_file=self.ca_file,
        )
        decoded = json.loads(answer)
        if not isinstance(decoded, dict):
            raise TypeError(f"{method} {path} was not answered with an object: {answer[:200]!r}")
        return decoded

    def asked_by(self, service_account: str) -> set[tuple[str, str]]:
        """The verbs and resources (``services/status``) that ``NAMESPACE:NAME`` has asked for and was not forbidden."""
        found = set()
        for line in self._audit_log.read_text().splitlines():
            request = json.loads(line)
            if request["user"]["username"] == f"system:serviceaccount:{service_account}":
                what = request.get("objectRef", {})
                if what and request.get("responseStatus", {}).get("code") != 403:
                    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
                    found.add((request["verb"], resource))
        return found

    def kubectl(self, *arguments: str, user: User = "admin", stdin: str | None = None) -> str:
        """Run kubectl as ``user`` and return what it printed.

        Raises:
            subprocess.CalledProcessError: kubectl failed; standard error is among its notes.
        """
        command = [str(self.kubectl_path), f"--kubeconfig={self.kubeconfig(user)}", *arguments]
        # A home of its own, or kubectl keeps what it learns of each control plane in the person's.
        environment = os.environ | {"HOME": str(self._directory)}
        try:
            done = subprocess.run(
                command, input=stdin, env=environment, capture_output=True, text=True, timeout=30, check=True
            )
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr)
            raise
        return done.stdout

    def _component(self, program: Path, *arguments: str) -> Component:
        component = Component(program, arguments, directory=self._directory)
        self._resources.callback(component.kill)
        return component

    def _etcd_flags(self, peer_port: int) -> tuple[str, ...]:
        peer_url = f"http://127.0.0.1:{peer_port}"
        return (
            f"--data-dir={self._data}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )

    def _api_flags(self, port: int) -> tuple[str, ...]:
        key = self._directory / "service-account.key"
        return (
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self._directory / 'pki'}",
            f"--token-auth-file={self._directory / 'tokens.csv'}",
            f"--client-ca-file={self.clients.certificate}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts it asks for
            "--endpoint-reconciler-type=none",
            # As clusters have it that keep owner references in order; it asks for services/finalizers.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            f"--audit-policy-file={self._directory / 'audit.json'}",
            f"--audit-log-path={self._audit_log}",
        )

    def _manager_flags(self, port: int) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig()}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self._directory / 'manager'}",
            "--authentication-skip-lookup",
            f"--controllers={','.join(self._controllers)}",
            *self._more_manager_flags,
        )

    def _write_credentials(self) -> None:
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
        }
        (self._directory / "audit.json").write_text(json.dumps(policy))
        tokens = [f'{token},{user},{user},"{GROUPS.get(user, "")}"\n' for user, token in TOKENS.items()]
        (self._directory / "tokens.csv").write_text("".join(tokens))
        subprocess.run(
            ["openssl", "genrsa", "-out", str(self._directory / "service-account.key"), "2048"],
            capture_output=True,
            timeout=30,
            check=True,
        )
        for user, token in TOKENS.items():
            self.kubeconfig(user).write_text(json.dumps(self._kubeconfig_content(user, token)))

    def _kubeconfig_content(self, user: User, token: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }

    def _etcd_is_ready(self) -> bool:
        return is_ok(f"{self._etcd_url}/readyz")

    def _api_is_ready(self) -> bool:
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        return is_ok(f"{self.url}/readyz", headers=headers, ca_file=self.ca_file)

    def _manager_is_ready(self) -> bool:
        certificate = self._directory / "manager" / "kube-controller-manager.crt"
        return is_ok(f"{self._manager_url}/healthz", ca_file=certificate)
