"""How to reach an API server, and as whom, from what kubectl would use: a kubeconfig, else the pod's service account.

``kube.kubeconfig`` picks the context by kubectl's rules; kubernetes-asyncio turns it into certificates and tokens. It
is imported here, when a kubeconfig is used, and not before: that costs 0.3 s and 70 MiB. A pod's service account is
three mounted files, which need none of it.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import structs

from extsync.errors import ConfigError
from extsync.kube import kubeconfig
from extsync.kube.credentials import (
    AuthProvider,
    Credentials,
    Fixed,
    Headers,
    Plugin,
    TokenFile,
    bearer_of,
    use_client_certificate,
    use_issued_certificate,
)
from extsync.kube.exec_plugin import ExecPlugin
from extsync.kube.proxy import proxy_from_environment
from extsync.kube.rereading import Rereading
from extsync.seams import Clock

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's token, CA certificate and namespace."""
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


class Access:
    """All that a connection to one API server needs.

    Attributes:
        server: The base URL, which may have a path.
        tls: The context for HTTPS connections; another one, for new connections, once its files have changed.
        credentials: Authenticates each request.
        namespace: The one to work in where none is named.
        headers: Sent with every request beside the credentials': whom to impersonate.
        tls_server_name: The name that the server's certificate is verified against, where it is not the URL's.
        proxy: The URL of an HTTP proxy.
        place: Where all this is from, for messages.
    """

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext,
        credentials: Credentials,
        place: str,
        namespace: str = "default",
        headers: Headers = (),
        tls_server_name: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self.server = server.rstrip("/")
        self.tls = tls
        self.credentials = credentials
        self.place = place
        self.namespace = namespace
        self.headers = headers
        self.tls_server_name = tls_server_name
        self.proxy = proxy

    def __repr__(self) -> str:
        return f"Access({self.server!r}, place={self.place!r})"


async def load_access(
    *,
    clock: Clock,
    kubeconfig_path: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
    home: Path | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Access:
    """Resolves ``--kubeconfig`` and ``--context`` (None where not given) and gets the first credentials.

    Raises ConfigError, with the place and the cure, where that leads to nothing usable. It does not connect.
    """
    paths = kubeconfig.find(kubeconfig_path, environ=environ, home=home or _home())
    if paths:
        return await _from_kubeconfig(paths, context, clock=clock, environ=environ)
    in_pod = environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists()
    if context or not in_pod:
        raise ConfigError(
            "no cluster to talk to: there is no --kubeconfig, no $KUBECONFIG and no ~/.kube/config"
            + ("" if in_pod else ", and this is not a pod with a service account")
            + "; name a kubeconfig with --kubeconfig"
        )
    return await _from_service_account(service_account, clock=clock, environ=environ)


def _home() -> Path:
    """The user's home. Where there is none, as for a user by number alone without $HOME, it is ``/`` from now on, as
    container runtimes have it: kubernetes-asyncio cannot be imported without one."""
    try:
        return Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"
        return Path("/")


async def _from_service_account(directory: Path, *, clock: Clock, environ: Mapping[str, str]) -> Access:
    host = environ["KUBERNETES_SERVICE_HOST"]
    server = f"https://{f'[{host}]' if ':' in host else host}:{environ.get('KUBERNETES_SERVICE_PORT') or '443'}"
    authority = directory / "ca.crt"
    token = TokenFile(directory / "token", clock=clock)
    await token.headers()

    async def load() -> tuple[Credentials, Sequence[Path]]:
        access.tls = _tls_context(str(authority), verify=True)
        return token, (authority,)

    access = Access(
        server,
        tls=_tls_context(str(authority), verify=True),
        credentials=Rereading(token, (authority,), load),
        place=f"the service account in {directory}",
        namespace=environ.get("POD_NAMESPACE") or _read_namespace(directory / "namespace"),
        proxy=proxy_from_environment(server, environ),
    )
    return access


def _read_namespace(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


async def _from_kubeconfig(
    paths: Sequence[Path], context: str | None, *, clock: Clock, environ: Mapping[str, str]
) -> Access:
    async def load() -> tuple[Credentials, Sequence[Path]]:
        selected = kubeconfig.select(paths, context)
        access.tls, credentials = await _usable(selected, clock=clock, environ=environ)
        return credentials, _files(paths, selected)

    selected = kubeconfig.select(paths, context)
    tls, credentials = await _usable(selected, clock=clock, environ=environ)
    access = Access(
        selected.cluster.server,
        tls=tls,
        credentials=Rereading(credentials, _files(paths, selected), load),
        place=selected.place,
        namespace=selected.namespace,
        headers=_impersonation(selected.user),
        tls_server_name=selected.cluster.tls_server_name,
        proxy=selected.cluster.proxy_url or proxy_from_environment(selected.cluster.server, environ),
    )
    return access


async def _usable(
    selected: kubeconfig.Selected, *, clock: Clock, environ: Mapping[str, str]
) -> tuple[ssl.SSLContext, Credentials]:
    """What a context connects with, tried out as far as that goes without a connection; raises ConfigError."""
    from kubernetes_asyncio.config import ConfigException

    try:
        _check(selected.cluster, selected.user)
        tls, credentials = await _authenticate(selected, clock=clock, environ=environ)
        await credentials.headers()
    except (ConfigError, ConfigException, ValueError, OSError) as error:
        # binascii's and json's errors are ValueErrors, ssl's are OSErrors; none of them quotes what it could not read.
        raise ConfigError(f"{selected.place}: {error}") from error
    return tls, credentials


def _files(paths: Sequence[Path], selected: kubeconfig.Selected) -> tuple[Path, ...]:
    """The files in which that is replaced which a context connects with."""
    user = selected.user
    named = (selected.cluster.certificate_authority, user.client_certificate, user.client_key)
    return (*paths, *(Path(one) for one in named if one))


def _check(cluster: kubeconfig.Cluster, user: kubeconfig.User) -> None:
    """Refuses what kubectl refuses, and the proxies that aiohttp cannot use."""
    url = urlsplit(cluster.server)
    if url.scheme not in ("http", "https") or not url.hostname or url.username:
        raise ConfigError("the cluster's server must be an http or https URL with a host and without a user")
    if cluster.insecure_skip_tls_verify and (cluster.certificate_authority or cluster.certificate_authority_data):
        raise ConfigError("remove either certificate-authority or insecure-skip-tls-verify")
    if cluster.proxy_url and urlsplit(cluster.proxy_url).scheme not in ("http", "https"):
        raise ConfigError("proxy-url must be an http or https URL")
    if bool(user.client_certificate or user.client_certificate_data) != bool(user.client_key or user.client_key_data):
        raise ConfigError("client-certificate and client-key go together; one is missing")


async def _authenticate(
    selected: kubeconfig.Selected, *, clock: Clock, environ: Mapping[str, str]
) -> tuple[ssl.SSLContext, Credentials]:
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import kube_config

    cluster, user = selected.cluster, selected.user
    # What is renewed over time is left to the credentials below. What is PEM text it would write to disk, to read it.
    constant = structs.replace(
        user, exec=None, auth_provider=None, token_file=None, client_certificate_data=None, client_key_data=None
    )
    if user.token_file:
        constant.token = None  # the file wins
    configuration = Configuration()
    bare_cluster = structs.replace(cluster, certificate_authority_data=None)
    await kube_config.KubeConfigLoader(_single(bare_cluster, constant)).load_and_set(configuration)
    tls = _tls_of(configuration, cluster, user)
    if not cluster.server.startswith("https:"):
        return tls, Fixed()  # like kubectl: no secret goes over a connection that all can read
    if user.exec is not None:
        plugin = ExecPlugin(user.exec, base=selected.base, cluster=_cluster_info(cluster), environ=environ)
        return tls, Plugin(plugin, clock=clock, tls=tls)
    if user.token_file:
        return tls, TokenFile(Path(user.token_file), clock=clock)
    if user.auth_provider is not None:
        bare = _single(kubeconfig.Cluster(server=cluster.server), kubeconfig.User(auth_provider=user.auth_provider))
        return tls, AuthProvider(kube_config.KubeConfigLoader(bare), configuration, clock=clock)
    return tls, Fixed(bearer_of(configuration))


def _single(cluster: kubeconfig.Cluster, user: kubeconfig.User) -> dict[str, Any]:
    """A kubeconfig with one context, for kubernetes-asyncio."""
    return {
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
        "clusters": [{"name": "only", "cluster": msgspec.to_builtins(cluster)}],
        "users": [{"name": "only", "user": msgspec.to_builtins(user)}],
    }


def _tls_of(configuration: Configuration, cluster: kubeconfig.Cluster, user: kubeconfig.User) -> ssl.SSLContext:
    """The context that kubernetes-asyncio's own client would use, as strict as kubectl is; data win over files."""
    if not cluster.server.startswith("https:"):
        return _tls_context(None, verify=True)
    data = cluster.certificate_authority_data
    tls = _tls_context(
        None if data else configuration.ssl_ca_cert,
        verify=configuration.verify_ssl,
        data=_decoded(data) if data else None,
    )
    if user.client_certificate_data and user.client_key_data:
        use_issued_certificate(tls, _decoded(user.client_certificate_data), _decoded(user.client_key_data))
    elif configuration.cert_file:
        use_client_certificate(tls, configuration.cert_file, configuration.key_file)
    return tls


def _decoded(data: str) -> str:
    """PEM text from its base64; what is not ASCII can only be in comments between the blocks."""
    return base64.standard_b64decode(data).decode("ascii", errors="ignore")


def _tls_context(authority: str | None, *, verify: bool, data: str | None = None) -> ssl.SSLContext:
    """Verifies with the file ``authority`` or the PEM text ``data``; without either, with the system's authorities."""
    try:
        tls = ssl.create_default_context(cafile=authority, cadata=data)
    except OSError as error:
        place = "certificate-authority-data" if authority is None else authority
        raise ConfigError(f"the certificate authority in {place} cannot be used: {error}") from error
    # Python 3.13 asks of an authority what Go does not, and what many a cluster's own lacks (RFC 5280 key identifiers).
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _cluster_info(cluster: kubeconfig.Cluster) -> dict[str, Any]:
    """What an exec plugin may be told of the cluster, in the words of ExecCredential's ``spec.cluster``."""
    info: dict[str, Any] = msgspec.to_builtins(structs.replace(cluster, certificate_authority=None, extensions=None))
    if cluster.certificate_authority and not cluster.certificate_authority_data:
        content = Path(cluster.certificate_authority).read_bytes()
        info["certificate-authority-data"] = base64.b64encode(content).decode()
    for extension in cluster.extensions or ():
        if extension.name == _EXEC_EXTENSION:
            info["config"] = extension.extension
    return info


def _impersonation(user: kubeconfig.User) -> Headers:
    """The headers of ``as`` and its companions. To pass over them would be to act with more rights than was asked."""
    if not user.as_:
        return ()
    headers = [("Impersonate-User", user.as_)]
    if user.as_uid:
        headers.append(("Impersonate-Uid", user.as_uid))
    headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
    for key, values in (user.as_user_extra or {}).items():
        headers += [(f"Impersonate-Extra-{quote(key.lower(), safe='')}", value) for value in values]
    return tuple(headers)
