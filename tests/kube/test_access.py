"""What a kubeconfig or a pod offers becomes a connection as kubectl would make it, or an error that says what to do."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kubernetes_asyncio.config  # noqa: F401 - it tries a socket when it is imported, which no fast test may
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from extsync.errors import ConfigError, Forbidden, Unauthorized, Unavailable
from extsync.kube.access import Access, load_access
from extsync.kube.api import KubeStore
from extsync.objects import Service
from extsync.seams import SystemClock, SystemDialer
from tests.kube.certificates import CERTIFICATE, KEY


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Config:
    """A kubeconfig with one context, written where ``load`` finds it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config"
        self.cluster: dict[str, Any] = {"server": "https://api.example:6443"}
        self.user: dict[str, Any] = {}
        self.environ: dict[str, str] = {}

    async def load(self) -> Access:
        content = {
            "current-context": "only",
            "contexts": [{"name": "only", "context": {"cluster": "it", "user": "me", "namespace": "shop"}}],
            "clusters": [{"name": "it", "cluster": self.cluster}],
            "users": [{"name": "me", "user": self.user}],
        }
        self.path.write_text(yaml.safe_dump(content))
        return await load_access(clock=SystemClock(), kubeconfig_path=str(self.path), environ=self.environ)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """The files of a service account as a pod has them."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    for name, content in {"token": "T\n", "ca.crt": CERTIFICATE, "namespace": "shop"}.items():
        (directory / name).write_text(content)
    return directory


# ---- from a kubeconfig ----------------------------------------------------------------------------------------------


async def test_a_context_is_a_server_a_namespace_and_a_token(config: Config) -> None:
    config.user = {"token": "T"}
    access = await config.load()
    assert (access.server, access.namespace) == ("https://api.example:6443", "shop")
    assert await access.credentials.headers() == (("Authorization", "Bearer T"),)
    assert access.place == f"context 'only' of {config.path}"


async def test_a_path_of_the_server_is_kept(config: Config) -> None:
    config.cluster = {"server": "https://rancher.example/k8s/clusters/c-1/"}
    assert (await config.load()).server == "https://rancher.example/k8s/clusters/c-1"


@pytest.mark.parametrize(
    ("user", "headers"),
    [
        ({}, ()),
        ({"username": "me", "password": "s3cret"}, (("Authorization", f"Basic {encoded('me:s3cret')}"),)),
    ],
    ids=["anonymous", "password"],
)
async def test_other_ways_to_be_somebody(config: Config, user: dict[str, Any], headers: tuple[Any, ...]) -> None:
    config.user = user
    assert await (await config.load()).credentials.headers() == headers


async def test_a_token_file_wins_over_a_token(config: Config, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    config.user = {"tokenFile": "token", "token": "T"}
    assert await (await config.load()).credentials.headers() == (("Authorization", "Bearer from-file"),)


async def test_a_plugin_issues_the_token(config: Config, tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": "T"}})
    config.user = {"exec": {"apiVersion": version, "command": sys.executable, "args": ["-c", f"print({answer!r})"]}}
    assert await (await config.load()).credentials.headers() == (("Authorization", "Bearer T"),)


async def test_a_plugin_may_know_the_cluster(config: Config) -> None:
    version = "client.authentication.k8s.io/v1"
    script = (
        "import json, os; info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec']['cluster'];"
        f"print(json.dumps({{'apiVersion': {version!r}, 'kind': 'ExecCredential', "
        "'status': {'token': ' '.join(sorted(info)) + ' ' + info['config']}}))"
    )
    config.path.with_name("ca.crt").write_text(CERTIFICATE)
    extension = {"name": "client.authentication.k8s.io/exec", "extension": "for-the-plugin"}
    config.cluster |= {"certificate-authority": "ca.crt", "extensions": [extension]}
    block = {"apiVersion": version, "command": sys.executable, "args": ["-c", script], "provideClusterInfo": True}
    config.user = {"exec": block}
    headers = await (await config.load()).credentials.headers()
    assert headers[0][1] == "Bearer certificate-authority-data config server for-the-plugin"


async def test_a_valid_token_of_an_oidc_provider_is_used(config: Config) -> None:
    claims = encoded(json.dumps({"exp": 4_000_000_000})).rstrip("=")
    config.user = {"auth-provider": {"name": "oidc", "config": {"id-token": f"head.{claims}.signature"}}}
    assert await (await config.load()).credentials.headers() == (("Authorization", f"Bearer head.{claims}.signature"),)


async def test_an_oidc_provider_without_a_token_is_an_error_with_its_place(config: Config) -> None:
    config.user = {"auth-provider": {"name": "oidc", "config": {}}}
    with pytest.raises(ConfigError, match=r"context 'only' of .*the auth-provider gave no token"):
        await config.load()


async def test_impersonation_is_sent_along(config: Config) -> None:
    config.user = {
        "token": "T",
        "as": "jane",
        "as-uid": "1",
        "as-groups": ["dev", "ops"],
        "as-user-extra": {"example.com/Scopes": ["view"]},
    }
    assert (await config.load()).headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "1"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Extra-example.com%2Fscopes", "view"),
    )


async def test_no_secret_is_sent_without_tls(config: Config) -> None:
    config.cluster = {"server": "http://api.example"}
    config.user = {"token": "T"}
    assert await (await config.load()).credentials.headers() == ()


async def test_a_proxy_is_the_contexts_or_the_environments(config: Config) -> None:
    config.environ = {"HTTPS_PROXY": "http://from-environment"}
    assert (await config.load()).proxy == "http://from-environment"
    config.cluster["proxy-url"] = "http://from-context"
    assert (await config.load()).proxy == "http://from-context"


async def test_nothing_of_a_kubeconfig_is_written_to_disk(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("a temporary file")

    for name in ("mkstemp", "mkdtemp", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    config.cluster["certificate-authority-data"] = encoded(CERTIFICATE)
    config.user = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
    await config.load()


def test_the_library_is_not_loaded_for_a_pod(pod: Path) -> None:
    """It costs every replica 70 MiB."""
    script = (
        "import asyncio, sys; from pathlib import Path; from extsync.kube.access import load_access;"
        "from extsync.seams import SystemClock;"
        f"load = load_access(clock=SystemClock(), environ={{'KUBERNETES_SERVICE_HOST': 'a'}}, home=Path('/none'),"
        f" service_account=Path({str(pod)!r}));"
        "assert asyncio.run(load).server == 'https://a:443'; assert 'kubernetes_asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


@pytest.mark.parametrize(
    ("cluster", "user", "problem"),
    [
        ({"server": ""}, {}, "the cluster's server must be"),
        ({"server": "api.example:6443"}, {}, "the cluster's server must be"),
        ({"server": "https://me:s3cret@api.example"}, {}, "the cluster's server must be"),
        ({"server": "https://[::1"}, {}, "Invalid IPv6 URL"),
        ({"insecure-skip-tls-verify": True, "certificate-authority": "a"}, {}, "remove either"),
        ({"proxy-url": "socks5://me:s3cret@a"}, {}, "proxy-url must be"),
        ({"certificate-authority": "none.crt"}, {}, "none.crt"),
        ({"certificate-authority-data": "s3cret!"}, {}, ""),
        ({"certificate-authority-data": encoded("s3cret")}, {}, "the certificate authority .* cannot be used"),
        ({}, {"client-certificate": "a"}, "go together"),
        ({}, {"client-certificate": "none.crt", "client-key": "none.key"}, "none.crt"),
        ({}, {"client-certificate-data": encoded("x"), "client-key-data": encoded("s3cret")}, "client certificate"),
        ({}, {"tokenFile": "none"}, "token file .*none cannot be read"),
        ({}, {"token": "s3cret\nx"}, "control characters"),
        ({}, {"exec": {"command": "none"}}, "the exec block is wrong"),
        ({}, {"exec": {"command": "no-such-plugin", "apiVersion": "v1"}}, "no-such-plugin' is not installed"),
    ],
)
async def test_what_cannot_be_used_is_named_with_its_place_and_without_secrets(
    config: Config, cluster: dict[str, Any], user: dict[str, Any], problem: str
) -> None:
    config.cluster |= cluster
    config.user = user
    with pytest.raises(ConfigError, match=f"context 'only' of {config.path}: .*{problem}") as error:
        await config.load()
    assert "s3cret" not in str(error.value)


# ---- in a pod -------------------------------------------------------------------------------------------------------


async def in_pod(pod: Path, **environ: str) -> Access:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", **environ}
    return await load_access(clock=SystemClock(), environ=environ, home=pod, service_account=pod)


async def test_a_pod_uses_its_service_account(pod: Path) -> None:
    access = await in_pod(pod)
    assert (access.server, access.namespace) == ("https://10.96.0.1:443", "shop")
    assert await access.credentials.headers() == (("Authorization", "Bearer T"),)
    assert access.tls.verify_mode is ssl.CERT_REQUIRED
    assert access.tls.cert_store_stats()["x509_ca"] == 1  # that cluster's authority and no other


async def test_a_pod_reaches_a_server_of_ipv6(pod: Path) -> None:
    assert (await in_pod(pod, KUBERNETES_SERVICE_HOST="fd00::1")).server == "https://[fd00::1]:443"


async def test_a_pod_may_be_told_its_namespace(pod: Path) -> None:
    assert (await in_pod(pod, POD_NAMESPACE="other")).namespace == "other"
    (pod / "namespace").unlink()
    assert (await in_pod(pod)).namespace == "default"


async def test_a_pods_cluster_may_be_kept_off_a_proxy(pod: Path) -> None:
    proxy = {"HTTPS_PROXY": "http://proxy", "NO_PROXY": "10.0.0.0/8"}
    assert (await in_pod(pod, **proxy)).proxy is None


async def test_a_kubeconfig_wins_over_the_pod(pod: Path, config: Config) -> None:
    await config.load()
    assert (await in_pod(pod, KUBECONFIG=str(config.path))).server == "https://api.example:6443"


async def test_no_cluster_at_all_is_answered_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no cluster to talk to: .*--kubeconfig.*not a pod.*name a kubeconfig"):
        await load_access(clock=SystemClock(), environ={}, home=tmp_path, service_account=tmp_path)


async def test_a_pod_has_no_contexts(pod: Path) -> None:
    with pytest.raises(ConfigError, match="name a kubeconfig with --kubeconfig"):
        await load_access(
            clock=SystemClock(),
            context="a",
            environ={"KUBERNETES_SERVICE_HOST": "a"},
            home=pod,
            service_account=pod,
        )


# ---- connections ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(tmp_path: Path) -> AsyncIterator[str]:
    """An API server that knows its clients by the test's certificate and answers 401 to all others."""

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        if not request.transport.get_extra_info("peercert"):
            return web.json_response({"message": "Unauthorized"}, status=401)
        return web.json_response({"metadata": {"name": "orders"}})

    for name, content in {"tls.crt": CERTIFICATE, "tls.key": KEY}.items():
        (tmp_path / name).write_text(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "tls.crt"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    server = TestServer(application)
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


async def get_service(access: Access) -> Service:
    store = KubeStore(access, clock=SystemClock(), dialer=SystemDialer())
    try:
        return await store.get(Service, "shop", "orders")
    finally:
        await store.close()


@pytest.mark.sockets
@pytest.mark.parametrize("as_data", [True, False], ids=["data", "files"])
async def test_a_client_certificate_authenticates(config: Config, tmp_path: Path, as_data: bool) -> None:
    async with tls_server(tmp_path) as server:
        config.cluster = {"server": server}
        if as_data:
            config.cluster["certificate-authority-data"] = encoded(CERTIFICATE)
            config.user = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
        else:
            config.cluster["certificate-authority"] = "tls.crt"
            config.user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
        assert (await get_service(await config.load())).metadata.name == "orders"
        config.user = {}
        with pytest.raises(Forbidden, match="Unauthorized"):
            await get_service(await config.load())


@pytest.mark.sockets
async def test_the_servers_certificate_is_verified(config: Config, tmp_path: Path) -> None:
    async with tls_server(tmp_path) as server:
        config.cluster = {"server": server}
        with pytest.raises(Unavailable, match=r"certificate of .* is not trusted"):
            await get_service(await config.load())
        config.cluster = {"server": server, "insecure-skip-tls-verify": True}
        config.user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
        assert (await get_service(await config.load())).metadata.name == "orders"


@pytest.mark.sockets
async def test_the_servers_certificate_may_have_another_name(config: Config, tmp_path: Path) -> None:
    async with tls_server(tmp_path) as server:
        config.cluster = {"server": server, "certificate-authority": "tls.crt", "tls-server-name": "cluster.test"}
        config.user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
        assert (await get_service(await config.load())).metadata.name == "orders"
        config.cluster["tls-server-name"] = "elsewhere.test"
        with pytest.raises(Unavailable, match=r"certificate of .* is not trusted"):
            await get_service(await config.load())


@pytest.mark.sockets
@pytest.mark.parametrize("as_data", [True, False], ids=["data", "files"])
async def test_a_certificate_that_is_replaced_is_used_on_new_connections(
    config: Config, tmp_path: Path, as_data: bool
) -> None:
    async with tls_server(tmp_path) as server:
        config.cluster = {"server": server, "certificate-authority": "tls.crt"}
        if not as_data:
            (tmp_path / "own.crt").write_text(CERTIFICATE)
            (tmp_path / "own.key").write_text(KEY)
        access = await config.load()
        store = KubeStore(access, clock=SystemClock(), dialer=SystemDialer())
        try:
            with pytest.raises(Unauthorized):
                await store.get(Service, "shop", "orders")
            if as_data:
                config.user = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
            else:
                config.user = {"client-certificate": "own.crt", "client-key": "own.key"}
            await config.load()  # which writes the file
            assert (await store.get(Service, "shop", "orders")).metadata.name == "orders"
        finally:
            await store.close()


@pytest.mark.sockets
async def test_an_authority_that_is_replaced_is_trusted(config: Config, tmp_path: Path) -> None:
    async with tls_server(tmp_path) as server:
        config.cluster = {"server": server}
        config.user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
        access = await config.load()
        store = KubeStore(access, clock=SystemClock(), dialer=SystemDialer())
        try:
            with pytest.raises(Unavailable, match=r"certificate of .* is not trusted"):
                await store.get(Service, "shop", "orders")
            config.cluster["certificate-authority"] = "tls.crt"
            await config.load()
            with contextlib.suppress(Unavailable):  # one more that the old authority does not vouch for
                await store.get(Service, "shop", "orders")
            assert (await store.get(Service, "shop", "orders")).metadata.name == "orders"
        finally:
            await store.close()
