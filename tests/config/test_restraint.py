"""What manifests name and the settings deny, with its place in the text."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from extsync.address_policy import AddressRules, Lists
from extsync.config.loader import load
from extsync.file_roots import FileRoots
from extsync.limits import USUAL, Limits
from extsync.variables import Variables

HEAD = """\
apiVersion: extsync.dev/v1alpha1
kind: ExternalService
metadata: {name: orders, namespace: shop}
spec:
  service: {}
  ports: [{port: 80}]
"""
STATIC = "  sources: [{name: rack, static: {backends: [{address: 192.0.2.1}]}}]\n"


def told(text: str, limits: Limits = USUAL, folder: Path | None = None) -> list[tuple[str, str, str]]:
    """Severity, place and message of each problem of a manifest, in ``folder`` where it names files."""
    if folder is None:
        result = load(["-"], stdin=io.BytesIO((HEAD + text).encode()), limits=limits)
    else:
        path = folder / "orders.yaml"
        path.write_text(HEAD + text)
        result = load([path], limits=limits)
    assert all(problem.line > 0 for problem in result.problems)
    return [(problem.severity, problem.path, problem.message) for problem in result.problems]


ONE = "spec.sources[0]."


def source(block: str) -> str:
    return f"  sources: [{{name: one, {block}}}]\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (source("http: {url: 'http://169.254.169.254/latest'}"), ONE + "http.url"),
        (source("http: {url: 'http://[::ffff:169.254.169.254]/'}"), ONE + "http.url"),
        (source("http: {url: 'http://[64:ff9b::a9fe:a9fe]/'}"), ONE + "http.url"),
        (
            source("http: {url: 'http://192.0.2.1/', proxyUrl: 'http://100.100.100.200:3128'}"),
            ONE + "http.proxyUrl",
        ),
        (source("consul: {server: 'http://[fd00:ec2::254]:8500', services: [a]}"), ONE + "consul.server"),
        (
            source("dns: {names: [a.example.org], nameservers: ['192.0.2.53:53', '168.63.129.16:53']}"),
            ONE + "dns.nameservers[1]",
        ),
        (source("dns: {names: [a.example.org], nameservers: ['169.254.20.10:53']}"), ONE + "dns.nameservers[0]"),
        (STATIC + "  checks: [{tcpSocket: {port: 80, host: 100.100.100.200}}]\n", "spec.checks[0].tcpSocket.host"),
        (STATIC + "  checks: [{httpGet: {port: 80, host: 100.100.100.200}}]\n", "spec.checks[0].httpGet.host"),
    ],
)
def test_a_server_or_a_host_that_may_not_be_contacted_is_an_error_with_its_place(text: str, place: str) -> None:
    ((severity, at, message),) = told(text)
    assert (severity, at) == ("error", place)
    assert "contactAllowedCidrs of the settings" in message


@pytest.mark.parametrize(
    "text",
    [
        source("http: {url: 'http://127.0.0.1/list'}"),
        source("http: {url: 'http://lists.example.org/'}"),
        source("consul: {server: 'localhost:8500', services: [a]}"),
        source("http: {url: 'http://192.0.2.1/', proxyUrl: '${PROXY}'}"),
        STATIC + "  checks: [{httpGet: {port: 80, host: metadata.google.internal}}]\n",
    ],
)
def test_what_is_allowed_or_cannot_be_known_yet_is_no_error(text: str) -> None:
    assert told(text) == []


def test_a_name_server_on_each_node_can_be_allowed() -> None:
    limits = Limits(rules=AddressRules(contacted=Lists(allowed=("0.0.0.0/0", "::/0", "169.254.20.10/32"))))
    assert told(source("dns: {names: [a.example.org], nameservers: ['169.254.20.10:53']}"), limits) == []


def test_static_backends_that_are_denied_are_one_warning_a_source_at_the_first_of_them() -> None:
    text = """\
  sources:
  - name: rack
    static:
      backends: [{address: 192.0.2.1}, {address: 100.100.100.200}, {address: 192.0.2.3, probe: {host: 192.0.0.192}}]
  checks: [{tcpSocket: {port: 80}}]
"""
    ((severity, at, message),) = told(text)
    assert (severity, at) == ("warning", ONE + "static.backends[1]")
    assert message.startswith("this backend is not going to be published: 100.100.100.200 is in ")
    assert message.endswith("; and 1 more of this source")


def test_the_lists_of_the_manifests_own_namespace_count() -> None:
    lists = Lists(denied=("192.0.2.0/24",))
    assert [severity for severity, _, _ in told(STATIC, Limits(AddressRules(published_in=(("shop", lists),))))] == [
        "warning"
    ]
    assert told(STATIC, Limits(AddressRules(published_in=(("bank", lists),)))) == []


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for manifests, with a list; beside it, one that is nobody's business."""
    (tmp_path / "secret").write_text("token")
    made = tmp_path / "manifests"
    made.mkdir()
    (made / "list.json").write_text("[]")
    return made


CHECK = "  checks: [{{httpGet: {{port: 80, scheme: HTTPS, tlsConfig: {{caFile: {0}}}}}}}]\n"


def http(keys: str) -> str:
    return source(f"http: {{url: 'https://192.0.2.1/', {keys}}}")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (source("file: {files: [list.json, ../secret]}"), ONE + "file.files[1]"),
        (source("file: {files: ['../sec*']}"), ONE + "file.files[0]"),
        (source("file: {files: [/etc/passwd]}"), ONE + "file.files[0]"),
        (source("file: {files: [link.json]}"), ONE + "file.files[0]"),
        (source("consul: {server: c, services: [a], tokenFile: ../secret}"), ONE + "consul.tokenFile"),
        (http("authorization: {credentialsFile: ../secret}"), ONE + "http.authorization.credentialsFile"),
        (http("basicAuth: {username: a, passwordFile: ../secret}"), ONE + "http.basicAuth.passwordFile"),
        (http("tlsConfig: {caFile: ../secret}"), ONE + "http.tlsConfig.caFile"),
        (STATIC + CHECK.format("../secret"), "spec.checks[0].httpGet.tlsConfig.caFile"),
    ],
)  # fmt: skip
def test_a_file_outside_the_roots_is_an_error_with_its_place(folder: Path, text: str, place: str) -> None:
    (folder / "link.json").symlink_to(folder.parent / "secret")
    limits = Limits(roots=FileRoots((str(folder),)))
    ((severity, at, message),) = told(text, limits, folder)
    assert (severity, at) == ("error", place)
    assert f"lies outside the directories whose files may be read: put it into one of fileRoots ({folder})" in message
    assert told(text, USUAL, folder) == [], "without roots every file may be named"


def test_certificate_and_key_are_both_looked_at(folder: Path) -> None:
    text = http("tlsConfig: {certFile: ../a.pem, keyFile: ../a.key}")
    places = [place for _, place, _ in told(text, Limits(roots=FileRoots((str(folder),))), folder)]
    assert sorted(places) == [f"{ONE}http.tlsConfig.{key}" for key in ("certFile", "keyFile")]


def test_the_links_of_a_mounted_config_map_lie_inside(folder: Path) -> None:
    (folder / "..2026_11_23").mkdir()
    (folder / "..2026_11_23" / "racks.json").write_text("[]")
    os.symlink("..2026_11_23", folder / "..data")
    os.symlink("..data/racks.json", folder / "racks.json")
    text = source("file: {files: [racks.json, later.json, '*.json']}")
    assert told(text, Limits(roots=FileRoots((str(folder),))), folder) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (source("consul: {server: c, services: [a], token: '${AWS_SECRET_ACCESS_KEY}'}"), ONE + "consul.token"),
        (http("authorization: {credentials: '${GITHUB_TOKEN}'}"), ONE + "http.authorization.credentials"),
        (http("basicAuth: {username: a, password: 'a${CI_JOB_TOKEN}'}"), ONE + "http.basicAuth.password"),
        (http("httpHeaders: {X-Key: '${KUBECONFIG}'}"), ONE + "http.httpHeaders.X-Key"),
        (http("proxyUrl: 'http://a:${VAULT_TOKEN}@192.0.2.9'"), ONE + "http.proxyUrl"),
        (STATIC + "  checks: [{httpGet: {port: 80, httpHeaders: [{name: X, value: '${AWS_SESSION_TOKEN}'}]}}]\n",
         "spec.checks[0].httpGet.httpHeaders[0].value"),
    ],
)  # fmt: skip
def test_a_login_of_the_machine_is_no_secret_for_a_manifest(folder: Path, text: str, place: str) -> None:
    ((severity, at, message),) = told(text, USUAL, folder)
    assert (severity, at) == ("error", place)
    assert "may be a login of this machine" in message
    assert "name this one in manifestVariables" in message


def test_where_variables_are_named_no_other_may_be_used(folder: Path) -> None:
    limits = Limits(variables=Variables(("CONSUL_*", "AWS_SECRET_ACCESS_KEY")))
    text = http("authorization: {credentials: '${CONSUL_TOKEN}${AWS_SECRET_ACCESS_KEY}'}")
    assert told(text, limits, folder) == []
    ((_, at, message),) = told(http("authorization: {credentials: '${DB_TOKEN}'}"), limits, folder)
    assert at == f"{ONE}http.authorization.credentials"
    assert message.startswith("the environment variable DB_TOKEN is none that manifests may name: take one of")
    assert "manifestVariables (CONSUL_*, AWS_SECRET_ACCESS_KEY)" in message


def test_variables_of_other_names_may_be_used_without_any_setting(folder: Path) -> None:
    assert (
        told(http("authorization: {credentials: '${CONSUL_TOKEN}'}, proxyUrl: '${HTTPS_PROXY}'"), USUAL, folder) == []
    )
