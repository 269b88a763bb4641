"""Entries of Prometheus's configuration, pasted: each documented key works, or the error says what to do instead."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import pytest

from extsync.config import availability
from extsync.config.dump import to_yaml
from extsync.config.sources import Source
from tests.config.texts import PORTS, load_one, load_text, manifest


@pytest.fixture(autouse=True)
def _every_source_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "registered", lambda group: ("consul", "dns", "file", "http"))


def pasted(entry: str) -> str:
    """A manifest with a source whose block is ``entry``, as it stands below a scrape_config; it begins at line 8."""
    return manifest(PORTS + "sources:\n- name: a\n" + indent(dedent(entry).strip("\n") + "\n", "  "))


def source(entry: str) -> Source:
    [found] = load_one(pasted(entry)).spec.sources
    return found


def problems(entry: str) -> list[str]:
    """``line: path: message`` of each error."""
    found = [problem for problem in load_text(pasted(entry)).problems if problem.severity == "error"]
    return [f"{problem.line}: {problem.path.removeprefix('spec.sources[0].')}: {problem.message}" for problem in found]


CONSUL = """
    consul_sd_configs:
    - server: consul.example.com:8501
      path_prefix: /consul
      token: ${CONSUL_TOKEN}
      datacenter: dc2
      namespace: shop
      partition: edge
      scheme: https
      services: [orders, orders-canary]
      tags: [primary]
      node_meta:
        rack: "7"
      tag_separator: ","
      allow_stale: false
      refresh_interval: 30s
      basic_auth:
        username: prometheus
        password_file: secrets/password
      follow_redirects: false
      enable_http2: true
      proxy_url: http://proxy.example.com:3128
      proxy_from_environment: false
      no_proxy: ""
      tls_config:
        ca_file: ca.pem
        cert_file: client.pem
        key_file: client.key
        server_name: consul.example.com
        insecure_skip_verify: true
        min_version: TLS12
        max_version: TLS13
"""


def test_a_consul_entry_with_every_key_pastes() -> None:
    consul = source(CONSUL).consul
    assert consul is not None
    assert consul.server == "https://consul.example.com:8501"
    assert (consul.services, consul.tags, consul.tag_separator) == (("orders", "orders-canary"), ("primary",), ",")
    assert (consul.datacenter, consul.namespace, consul.partition) == ("dc2", "shop", "edge")
    assert (consul.path_prefix, consul.node_meta, consul.allow_stale) == ("/consul", {"rack": "7"}, False)
    assert (str(consul.token), str(consul.wait)) == ("${CONSUL_TOKEN}", "30s")
    assert consul.basic_auth is not None
    assert (consul.basic_auth.username, consul.basic_auth.password_file) == ("prometheus", "secrets/password")
    assert (consul.follow_redirects, str(consul.proxy_url)) == (False, "http://proxy.example.com:3128")
    assert consul.tls_config is not None
    assert consul.tls_config.model_dump() == {
        "ca_file": "ca.pem",
        "cert_file": "client.pem",
        "key_file": "client.key",
        "server_name": "consul.example.com",
        "insecure_skip_verify": True,
    }


def test_a_consul_entry_has_prometheus_s_default_server_and_old_keys() -> None:
    consul = source(
        """
        consul_sd_configs:
        - services: [orders]
          username: u
          password: ${PASSWORD}
          health_filter: Service.Meta.tier == "front"
          datacenter: ''
        """
    ).consul
    assert consul is not None
    assert (consul.server, consul.datacenter) == ("http://localhost:8500", None)
    assert consul.filter == 'Service.Meta.tier == "front"'
    assert consul.basic_auth is not None
    assert (consul.basic_auth.username, str(consul.basic_auth.password)) == ("u", "${PASSWORD}")


def test_an_http_entry_with_every_key_pastes() -> None:
    http = source(
        """
        http_sd_configs:
        - url: https://cmdb.example.com/targets?role=db
          refresh_interval: 2m
          authorization:
            type: Token
            credentials_file: secrets/token
          follow_redirects: true
          enable_http2: false
          tls_config: {ca_file: ca.pem}
          http_headers:
            X-Team: {values: [shop]}
            X-Anything: {secrets: ['${VALUE}']}
        """
    ).http
    assert http is not None
    assert (http.url, str(http.refresh_interval)) == ("https://cmdb.example.com/targets?role=db", "2m")
    assert http.authorization is not None
    assert (http.authorization.type, http.authorization.credentials_file) == ("Token", "secrets/token")
    assert {name: str(value) for name, value in http.http_headers.items()} == {
        "X-Team": "shop",
        "X-Anything": "${VALUE}",
    }


def test_a_dns_entry_pastes_with_its_type_in_any_case() -> None:
    block = "[{names: [db.example.com], type: aaaa, port: 9100, refresh_interval: 15s}]"
    dns = source(f"dns_sd_configs: {block}").dns
    assert dns is not None
    assert (dns.type, dns.port, str(dns.max_ttl)) == ("AAAA", 9100, "15s")


def test_a_dns_entry_may_be_refreshed_in_less_than_a_second() -> None:
    dns = source("dns_sd_configs: [{names: [db.example.com], refresh_interval: 500ms}]").dns
    assert dns is not None
    assert str(dns.max_ttl) == "500ms"


def test_a_file_entry_pastes() -> None:
    file = source("file_sd_configs: [{files: [targets/*.json, targets/*.yml], refresh_interval: 5m}]").file
    assert file is not None
    assert (file.files, str(file.refresh_interval)) == (("targets/*.json", "targets/*.yml"), "5m")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("oauth2: {client_id: a, client_secret: hunter2, token_url: 'http://a'}", "authorization: {credentialsFile"),
        ("bearer_token: hunter2", "authorization: {credentials"),
        ("bearer_token_file: a", "authorization: {credentialsFile"),
        ("proxy_from_environment: true", 'proxyUrl: "${HTTPS_PROXY}"'),
        ("no_proxy: example.com", "leave this out"),
        ("proxy_connect_header: {Proxy-Authorization: [hunter2]}", "proxyUrl: http://user:${NAME}@host:port"),
    ],
)
@pytest.mark.parametrize("start", ["http_sd_configs:\n- url: http://a", "consul_sd_configs:\n- services: [a]"])
def test_a_key_of_a_client_that_does_nothing_here_is_refused_with_what_to_do(
    start: str, key: str, message: str
) -> None:
    [problem] = problems(f"{start}\n  {key}")
    assert problem.startswith("10: ")
    assert f"'{key.partition(':')[0]}' is not available here: " in problem
    assert message in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("block", "key", "message"),
    [
        ("tls_config", "ca: |-\n      -----BEGIN", "write caFile"),
        ("tls_config", "cert: a", "write certFile"),
        ("tls_config", "key: hunter2", "write keyFile"),
        ("tls_config", "min_version: TLS13", "TLS 1.2 is the oldest version"),
        ("tls_config", "max_version: TLS12", "the newest version that both sides know"),
        ("tls_config", "ca_ref: a", "mount the secret as a file"),
    ],
)
def test_a_key_of_tls_that_does_nothing_here_is_refused_with_what_to_do(block: str, key: str, message: str) -> None:
    [problem] = problems(f"http_sd_configs:\n- url: http://a\n  {block}:\n    {key}")
    assert problem.startswith("11: http.tlsConfig.")
    assert message in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("basic_auth: {username_file: a, username: b, password: '${C}'}", "a user's name is no secret: write username"),
        ("basic_auth: {username: a, password: '${B}', password_ref: c}", "mount the secret as a file"),
        ("authorization: {credentials: '${A}', credentials_ref: b}", "mount the secret as a file"),
    ],
)
def test_secrets_from_a_manager_are_refused_with_what_to_do(block: str, message: str) -> None:
    [problem] = problems(f"http_sd_configs:\n- url: http://a\n  {block}")
    assert message in problem


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{values: [a, b]}", "has not exactly one value"),
        ("{secrets: []}", "has not exactly one value"),
        ("{values: [a], secrets: [hunter2]}", "has not exactly one value"),
        ("{files: [a]}", "takes no values from files: write ${NAME}"),
        ("{valeus: [hunter2]}", "must be text"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(header: str, message: str) -> None:
    [problem] = problems(f"http_sd_configs:\n- url: http://a\n  http_headers:\n    X-A: {header}")
    assert problem.startswith("11: http.httpHeaders.X-A: ")
    assert message in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("server: http://a, scheme: https, services: [b]", "scheme is not the one that server begins with"),
        ("server: a", "services are missing: all of them, as in Prometheus, cannot stand behind one Service"),
        ("server: a, services: []", "services are missing"),
        ("services: [a], filter: x == 1, health_filter: y == 2", "filter chooses among services"),
        ("services: [a], filter: '\"x\" in ServiceTags'", "write Service.Tags"),
        ("services: [a], filter: ServiceName == a", "write Service.Service"),
        ("services: [a], filter: NodeMeta.rack == 7", "write Node.Meta"),
        ("services: [a], refresh_interval: 1m, wait: 2m", "refresh_interval stands for wait here: give only one"),
        ("services: [a], refresh_interval: 1d", "write 24h"),
        ("services: [a], password: hunter2", "write basicAuth"),
        ("services: [a], allow_stale: 'false'", "must be true or false, not text"),
    ],
)
def test_a_consul_entry_that_cannot_work_is_refused_once(entry: str, expected: str) -> None:
    [problem] = problems(f"consul_sd_configs: [{{{entry}}}]")
    assert problem.startswith("8: consul")
    assert expected in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('server: "localhost:99999", scheme: htp', ["server: 99999 is not a port", "scheme: scheme is http or https"]),
        ("server: consul, scheme: htp", ["scheme: scheme is http or https, not 'htp'"]),
        ("scheme: htp", ["scheme: scheme is http or https, not 'htp'"]),
        ("server: [consul], scheme: https", ["server: must be text, not a list"]),
    ],
)
def test_what_is_wrong_with_scheme_and_server_is_said_once_and_where_it_stands(entry: str, expected: list[str]) -> None:
    found = problems(f"consul_sd_configs: [{{{entry}, services: [a]}}]")
    assert len(found) == len(expected)
    for problem, words in zip(found, expected, strict=True):
        assert problem.startswith(f"8: consul.{words}")


def test_the_cluster_s_own_discovery_is_the_source_pods() -> None:
    [problem] = problems("kubernetes_sd_configs: [{role: pod}]")
    assert "use pods" in problem


@pytest.mark.parametrize(
    "keys", ["refreshInterval: 1m, refresh_interval: 1m", "refresh_interval: 1m, refreshInterval: 1m"]
)
def test_a_key_in_both_spellings_is_told_with_the_other_one(keys: str) -> None:
    [problem] = problems(f"http: {{url: 'http://a', {keys}}}")
    assert "refreshInterval is given twice, once as refresh_interval" in problem


def test_words_of_the_catalog_in_quotes_are_no_selectors() -> None:
    consul = source("""consul: {server: a, services: [b], filter: 'Service.Meta.note == "ServiceTags"'}""").consul
    assert consul is not None
    assert consul.filter == 'Service.Meta.note == "ServiceTags"'


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("consul: {server: a, services: [b], scheme: https}", "begin server with it"),
        ("consul: {server: a, services: [b], refresh_interval: 1m}", "write wait"),
        ("consul: {server: a, services: [b], refreshInterval: 1m}", "write wait"),
        ("consul: {server: a, services: [b], health_filter: c}", "write filter"),
        ("dns: {names: [a], refresh_interval: 1m}", "write maxTTL"),
        ("http: {url: 'http://a', enable_http2: false}", "HTTP/1.1 is spoken"),
    ],
)
def test_prometheus_s_keys_in_a_block_of_ours_are_refused_with_our_own(block: str, expected: str) -> None:
    [problem] = problems(block)
    assert expected in problem


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("consul_sd_configs: [{service: [a]}]", "did you mean 'services'?"),
        ("consul_sd_configs: [{services: [a], data_center: b}]", "did you mean 'datacenter'?"),
        ("http_sd_configs: [{url: 'http://a', refreshInterval: 1m, refresh_intervall: 1m}]", "refresh_intervall"),
        ("http_sd_configs: [{url: 'http://a', tls_config: {ca_flie: b}}]", "did you mean 'caFile'?"),
        ("dns_sd_configs: [{name: [a]}]", "did you mean 'names'?"),
        ("file_sd_configs: [{file: [a]}]", "did you mean 'files'?"),
        ("static_configs: [{targets: [a]}]", "did you mean 'static'?"),
        ("file: {files: [a]}\nrelabel_configs: []", "did you mean 'relabel'?"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(entry: str, expected: str) -> None:
    [problem] = [str(problem) for problem in load_text(pasted(entry)).problems]
    assert "unknown key" in problem
    assert expected in problem


def test_several_faults_of_an_entry_have_their_lines() -> None:
    found = problems(
        """
        consul_sd_configs:
        - server: http://a
          services: [a]
          oauth2: {}
          tls_config:
            min_version: TLS13
          token: 5
        """
    )
    assert [line.split(": ")[0] for line in found] == ["11", "13", "14"]


def test_an_entry_reads_back_from_a_dump() -> None:
    loaded = load_one(pasted(CONSUL))
    assert load_one(to_yaml(loaded)) == loaded


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{files: [a]}, {files: [b]}]", "file_sd_configs has 2 entries, and a source is one of them"),
        ("[]", "file_sd_configs has 0 entries"),
        ("{files: [a]}", "file_sd_configs must be a list with one mapping, as in Prometheus, not a mapping"),
        ("[a]", "file_sd_configs has 1 entries"),
    ],
)
def test_what_is_not_one_entry_is_refused(value: Any, message: str) -> None:
    [problem] = problems(f"file_sd_configs: {value}")
    assert message in problem
