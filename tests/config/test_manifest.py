"""The rules of the manifest, each with what is said where it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from extsync.config.durations import Duration
from extsync.model import Backend, ServiceKey
from tests.config.texts import METADATA, PORTS, SOURCES, complaint, load_one, manifest, said

TWO_PORTS = "ports: [{name: mysql, port: 3306}, {name: admin, port: 80, targetPort: 8080}]\n"


def backend(fields: str, *, ports: str = PORTS, source: str = "") -> str:
    return manifest(ports + f"sources: [{{name: rack, {source} static: {{backends: [{fields}]}}}}]\n")


def source(text: str) -> str:
    return manifest(PORTS + f"sources: [{{name: rack, {text}}}]\n")


def check(text: str, *, ports: str = PORTS) -> str:
    return manifest(ports + SOURCES + f"checks: [{{{text}}}]\n")


def test_what_is_left_out_has_kubernetes_defaults() -> None:
    service = load_one(manifest(PORTS + SOURCES + "checks: [{tcpSocket: {port: mysql}}]\n"))
    assert service.key == ServiceKey("default", "orders")
    assert service.spec.service is None
    [port] = service.spec.ports
    assert (port.target, port.protocol) == (3306, "TCP")
    [check] = service.spec.checks
    assert (check.initial_delay_seconds, check.period_seconds, check.timeout_seconds) == (0, 10, 1)
    assert (check.success_threshold, check.failure_threshold, check.transition_period_seconds) == (1, 3, None)
    assert (check.kind, check.factory, check.port) == ("tcpSocket", "tcpSocket", "mysql")
    assert service.spec.publish == ("EndpointSlice", "Endpoints")
    policy = service.spec.policy
    assert (policy.max_endpoints_per_slice, policy.min_ready, policy.failback_delay) == (100, 1, Duration(60))


def test_static_backends_are_the_model_s_own() -> None:
    [rack] = load_one(manifest()).spec.sources
    assert rack.kind == "static"
    assert rack.config.backends == (Backend("192.0.2.1"),)


def test_a_manifest_cannot_be_changed() -> None:
    service = load_one(manifest())
    with pytest.raises(ValueError, match="frozen"):
        service.spec.policy.min_ready = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("{name: 9lives}", "metadata.name: '9lives' is not allowed"),
        ("{name: a.b}", "metadata.name: 'a.b' is not allowed"),
        (f"{{name: {'x' * 64}}}", "metadata.name: 'x"),
        ("{name: 5}", "metadata.name: must be text, not a number: put it in quotes"),
        ("{name: a, namespace: A}", "metadata.namespace: 'A' is not allowed"),
        ("{name: a, labels: {app: 1.10}}", "metadata.labels.app: must be text, not a number: put it in quotes"),
        ("{name: a, labels: {app: a b}}", "metadata.labels.app: 'a b' is not allowed"),
        ("{name: a, labels: {a b: x}}", "metadata.labels.a b: 'a b' is not allowed"),
        ("{name: a, labels: {extsync.dev/owner: x}}", "'extsync.dev/owner' is reserved"),
        ("{name: a, labels: {kubernetes.io/service-name: x}}", "'kubernetes.io/service-name' is reserved"),
        ("{name: a, annotations: {endpoints.kubernetes.io/over-capacity: x}}", "is reserved"),
        (f"{{name: a, annotations: {{x: {'y' * 262_144}}}}}", "bytes together: Kubernetes takes at most 262144"),
        ("{name: a, labels: [x]}", "metadata.labels: must be a mapping, not a list"),
        ("[x]", "metadata: must be a mapping, not a list"),
        ("{labels: {}}", "metadata: name is missing"),
    ],
)
def test_metadata_follows_kubernetes_rules(metadata: str, words: str) -> None:
    assert words in complaint(manifest(metadata=f"metadata: {metadata}\n"))


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("{type: Cluster}", "spec.service.type: must be 'ClusterIP', 'NodePort', 'LoadBalancer' or 'ExternalName'"),
        ("{selector: {app: x}}", "spec.service.selector: unknown key 'selector'"),
        ("{clusterIP: 10.0.0.1}", "spec.service.clusterIP: must be 'None'"),
        ("{type: NodePort, clusterIP: None}", "cannot be headless"),
        ("{externalName: a.example.com}", "spec.service.externalName: needs type: ExternalName; the type is ClusterIP"),
        ("{externalTrafficPolicy: Local}", "needs type NodePort or LoadBalancer"),
        ("{ipFamilies: [IPv4, IPv4]}", "spec.service.ipFamilies: names IPv4 twice"),
        ("{ipFamilies: [IPv4, IPv6]}", "two families need ipFamilyPolicy"),
        ("{ipFamilies: [IPv4, IPv6, IPv4], ipFamilyPolicy: PreferDualStack}", "has more than 2 entries"),
        ("{ipFamilies: []}", "spec.service.ipFamilies: must not be empty"),
        ("{sessionAffinityConfig: {clientIP: {}}}", "only with sessionAffinity: ClientIP"),
        ("{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}}", "must be at least 1"),
        ("{trafficDistribution: preferclose}", "did you mean 'PreferClose'?"),
    ],
)
def test_a_service_that_the_api_would_refuse_is_refused(service: str, words: str) -> None:
    assert words in complaint(manifest(f"service: {service}\n" + PORTS + SOURCES))


def test_a_service_of_type_external_name_has_a_name_and_no_endpoints() -> None:
    alias = "service: {type: ExternalName, externalName: api.example.com}\n"
    assert load_one(manifest(alias)).spec.sources == ()
    assert "type ExternalName needs externalName" in complaint(manifest("service: {type: ExternalName}\n"))
    assert "never used: leave out sources" in complaint(manifest(alias + SOURCES))
    assert "never used: leave out checks" in complaint(manifest(alias + "checks: [{tcpSocket: {port: 80}}]\n"))
    assert "has no address" in complaint(
        manifest("service: {type: ExternalName, externalName: a.b, clusterIP: None}\n")
    )


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ("[{port: 80}, {name: a, port: 81}]", "spec.ports[0]: name is missing"),
        ("[{name: a, port: 80}, {name: a, port: 81}]", "spec.ports[1].name: 'a' is the name of another"),
        ("[{name: a, port: 80}, {name: b, port: 80}]", "spec.ports[1].port: 80 with protocol TCP is given twice"),
        ("[{name: A, port: 80}]", "spec.ports[0].name: 'A' is not allowed"),
        ("[{port: 0}]", "spec.ports[0].port: 0 is not a port"),
        ("[{port: -1}]", "spec.ports[0].port: -1 is not a port"),
        ("[{port: 70000}]", "spec.ports[0].port: 70000 is not a port"),
        ("[{port: 80, targetPort: http}]", "spec.ports[0].targetPort: must be a port number, not text"),
        ("[{port: 80, protocol: tcp}]", "spec.ports[0].protocol: must be 'TCP', 'UDP' or 'SCTP', not 'tcp'"),
        ("[{port: 80, appProtocol: a b}]", "spec.ports[0].appProtocol: 'a b' is not allowed"),
        ("[80]", "spec.ports[0]: must be a mapping, not a number"),
        ("{port: 80}", "spec.ports: must be a list, not a mapping"),
    ],
)
def test_ports_follow_kubernetes_rules(ports: str, words: str) -> None:
    assert words in complaint(manifest(f"ports: {ports}\n" + SOURCES))


def test_one_number_may_serve_two_protocols() -> None:
    load_one(manifest("ports: [{name: a, port: 53}, {name: b, port: 53, protocol: UDP}]\n" + SOURCES))


def test_a_service_of_ours_needs_ports_unless_it_is_headless() -> None:
    assert "spec: ports are missing" in complaint(manifest("service: {}\n" + SOURCES))
    load_one(manifest("service: {clusterIP: None}\n" + SOURCES))
    load_one(manifest(SOURCES))


def test_something_has_to_be_published() -> None:
    assert "spec: sources are missing" in complaint(manifest(PORTS))
    assert "spec: sources are missing" in complaint(manifest(PORTS + "sources: []\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("priority: 0", "spec.sources[0]: a source needs exactly one of static, file, http, dns, consul, pods, plugin"),
        ("static: {backends: []}, file: {files: [a]}", "and this one has static and file"),
        ("statik: {backends: []}", "spec.sources[0].statik: unknown key 'statik' (did you mean 'static'?)"),
        ("static: ~", "spec.sources[0].static: is empty: give it a value or leave the key out"),
        ("static: {}", "spec.sources[0].static: backends is missing"),
        ("static: {backends: {}}", "spec.sources[0].static.backends: must be a list of backends, not a mapping"),
        ("static: {backends: []}, priority: -1", "spec.sources[0].priority: must be at least 0"),
        ("static: {backends: []}, group: a b", "spec.sources[0].group: 'a b' is not allowed"),
        ("static: {backends: []}, health: none", "spec.sources[0].health: must be 'source', 'probe' or 'both'"),
        ("static: {backends: []}, hold: {nx: 30}", "spec.sources[0].hold.nx: 30 has no unit: write 30s"),
        ("static: {backends: []}, portName: web", "spec.sources[0].portName: no port is named 'web'"),
        ("file: {files: []}", "spec.sources[0].file.files: must not be empty"),
        ("file: {files: ['']}", "spec.sources[0].file.files[0]: '' is not a path of a file"),
        ("file: {files: [a], refreshInterval: 0s}", "spec.sources[0].file.refreshInterval: 0s is too short"),
        ("file: {files: [a], refreshIntervall: 5m}", "did you mean 'refreshInterval'?"),
        ("file: {files: [a], refreshInterval: 5m, refresh_interval: 5m}", "refreshInterval is given twice"),
    ],
)
def test_a_source_is_of_exactly_one_kind_and_its_keys_make_sense(text: str, words: str) -> None:
    assert words in complaint(source(text))


def test_a_source_may_declare_that_there_is_nothing() -> None:
    assert load_one(source("static: {backends: []}")).spec.sources[0].config.backends == ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("{address: db.example.com}", "use a dns source, or spec.service.externalName"),
        ("{address: 192.0.2.1, ports: {mysq: 1}}", "no port is named 'mysq' (did you mean 'mysql'?)"),
        ("{address: 192.0.2.1, ports: {web: 1}}", "no port is named 'web' (spec.ports has admin, mysql)"),
        ("{address: 192.0.2.1, probe: {port: web}}", "backends[0].probe.port: no port is named 'web'"),
        ("{address: 192.0.2.1, port: 80}", "backends[0].port: belongs to one of several ports: name it"),
        ("{address: 192.0.2.1}, {address: 192.0.2.1}", "backends[1].address: 192.0.2.1 with the same ports"),
    ],
)
def test_a_backend_fits_the_ports(fields: str, words: str) -> None:
    assert words in complaint(backend(fields, ports=TWO_PORTS))


def test_a_single_port_number_belongs_to_the_only_port_or_to_port_name() -> None:
    load_one(backend("{address: 192.0.2.1, port: 80}"))
    load_one(backend("{address: 192.0.2.1, port: 80}", ports="ports: [{port: 80}]\n"))
    load_one(backend("{address: 192.0.2.1, port: 80}", ports=TWO_PORTS, source="portName: admin,"))
    both = "{address: 192.0.2.1, port: 80, ports: {mysql: 81}}"
    assert "which ports sets as well" in complaint(backend(both))
    headless = "service: {clusterIP: None}\n"
    assert "spec.ports is empty" in complaint(backend("{address: 192.0.2.1, port: 80}", ports=headless))


def test_port_names_are_not_judged_where_the_service_that_exists_has_the_ports() -> None:
    text = "sources: [{name: a, portName: web, static: {backends: [{address: 192.0.2.1, port: 1, ports: {x: 2}}]}}]\n"
    load_one(manifest(text + "checks: [{tcpSocket: {port: http}}]\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a", "spec.checks[0]: a check needs exactly one of tcpSocket, httpGet"),
        ("tcpSocket: {port: 1}, httpGet: {port: 1}", "and this one has tcpSocket and httpGet"),
        ("tcpSocket: {}", "spec.checks[0].tcpSocket: port is missing"),
        ("tcpSocket: {port: mysq}", "no port is named 'mysq' (did you mean 'mysql'?)"),
        ("tcpSocket: {port: '3306'}", "must be a port number or a port's name: take the quotes away from '3306'"),
        ("tcpSocket: {port: 0}", "0 is not a port"),
        ("tcpSocket: {port: 1, host: db.example.com}", "is a host name"),
        ("tcpSocket: {port: 1, expect: ''}", "spec.checks[0].tcpSocket.expect: must not be empty"),
        ("tcpSocket: {port: 1}, periodSeconds: 0", "periodSeconds: must be at least 1"),
        ("tcpSocket: {port: 1}, periodSeconds: 1.5", "periodSeconds: must be a whole number, not a number"),
        ("tcpSocket: {port: 1}, periodSeconds: 10s", "periodSeconds: must be a whole number, not text"),
        ("tcpSocket: {port: 1}, failureThreshold: true", "must be a whole number, not true or false"),
        ("tcpSocket: {port: 1}, initialDelaySeconds: -1", "must be at least 0"),
        ("tcpSocket: {port: 1}, transitionPeriodSeconds: 11", "is longer than periodSeconds (10)"),
        ("tcpSocket: {port: 1}, close: reset", "must be 'fin' or 'rst'"),
        ("httpGet: {port: 1, path: a b}", "is not the path of a URL"),
        ("httpGet: {port: 1, host: a_b c}", "httpGet.host: 'a_b c' is not allowed"),
        ("httpGet: {port: 1, host: 224.0.0.1}", "multicast"),
        ("httpGet: {port: 1, scheme: https}", "did you mean 'HTTPS'?"),
        ("httpGet: {port: 1, expectedStatuses: [200]}", 'must be text such as "200" or "200-299", not a number'),
        ("httpGet: {port: 1, expectedStatuses: ['300-200']}", "is not a status or a range"),
        ("httpGet: {port: 1, expectedStatuses: ['600']}", "is not a status or a range"),
        ("httpGet: {port: 1, expectedStatuses: []}", "must not be empty"),
        ("httpGet: {port: 1, httpHeaders: [{name: 'a b', value: x}]}", "is not the name of an HTTP header"),
        ('httpGet: {port: 1, httpHeaders: [{name: a, value: "x\\ny"}]}', "would begin another header"),
        ("httpGet: {port: 1, httpHeaders: {a: b}}", "must be a list, not a mapping"),
        ("httpGet: {port: 1, tlsConfig: {}}", "tlsConfig has no use with scheme HTTP"),
        ("httpGet: {port: 1, method: HEAD, expectedBody: x}", "an answer to HEAD has no body"),
        ("httpGet: {port: 1, scheme: HTTPS, tlsConfig: {certFile: a}}", "keyFile is missing"),
        ("httpGet: {port: 1, scheme: HTTPS, tlsConfig: {ca_file: a}}", "unknown key 'ca_file'"),
    ],
)
def test_a_check_is_of_exactly_one_kind_and_its_keys_make_sense(text: str, words: str) -> None:
    assert words in complaint(check(text))


def test_check_names_are_unique() -> None:
    checks = "checks: [{name: a, tcpSocket: {port: 1}}, {name: a, tcpSocket: {port: 2}}]\n"
    assert "spec.checks[1].name: 'a' is the name of another" in complaint(manifest(PORTS + SOURCES + checks))


def test_a_port_without_a_name_has_none_to_refer_to() -> None:
    assert "no port of spec.ports has a name" in complaint(
        check("tcpSocket: {port: web}", ports="ports: [{port: 1}]\n")
    )


def test_a_path_without_its_slash_gets_one_as_in_kubernetes() -> None:
    [found] = load_one(check("httpGet: {port: 1, path: 'healthz?x=1'}")).spec.checks
    assert found.config.path == "/healthz?x=1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("publish: []\n", "spec.publish: must not be empty"),
        ("publish: [Endpoint]\n", "did you mean 'Endpoints'?"),
        ("publish: [Endpoints, Endpoints]\n", "spec.publish: names Endpoints twice"),
        ("policy: {maxEndpointsPerSlice: 1001}\n", "must be at most 1000"),
        ("policy: {maxEndpointsPerSlice: 0}\n", "must be at least 1"),
        ("policy: {minReady: 0}\n", "must be at least 1"),
        ("policy: {failbackDelay: 1d}\n", "write 24h"),
        ("policy: {panicMode: FailOpen}\n", "must be 'HoldLast', 'ServeAll' or 'FailClosed'"),
        ("policy:\n", "spec.policy: is empty"),
    ],
)
def test_publish_and_policy_make_sense(text: str, words: str) -> None:
    assert words in complaint(manifest(PORTS + SOURCES + text))


def test_endpoints_alone_hold_what_their_mirror_holds() -> None:
    backends = ", ".join(f"{{address: 10.0.{n // 250}.{n % 250 + 1}}}" for n in range(1001))
    text = f"sources: [{{name: a, static: {{backends: [{backends}]}}}}]\npublish: [Endpoints]\n"
    assert "1001 are declared: add EndpointSlice" in complaint(manifest(PORTS + text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\n", "apiVersion: must be 'extsync.dev/v1alpha1', not 'v1'"),
        ("", "apiVersion is missing"),
    ],
)
def test_the_version_is_checked(text: str, words: str) -> None:
    assert words in complaint(text + "kind: ExternalService\n" + METADATA + "spec:\n  " + SOURCES)


def test_a_pasted_file_sd_entry_is_the_block_of_its_kind() -> None:
    pasted = load_one(source("file_sd_configs: [{files: [a.json], refresh_interval: 90s}]")).spec.sources[0]
    ours = load_one(source("file: {files: [a.json], refreshInterval: 1m30s}")).spec.sources[0]
    assert pasted == ours
    assert pasted.config.refresh_interval == 90


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file_sd_configs: []", "file_sd_configs has 0 entries"),
        ("file_sd_configs: [{files: [a]}, {files: [b]}]", "file_sd_configs has 2 entries"),
        ("file_sd_configs: {files: [a]}", "must be a list with one mapping"),
        ("file_sd_configs: [{files: [a]}], file: {files: [a]}", "stands in place of file: give only one"),
        ("file_sd_configs: [{files: [a], refresh: 5m}]", "unknown key 'refresh'"),
        ("file_sd_configs: [{files: [a], refresh_interval: 5}]", "5 has no unit"),
    ],
)
def test_a_pasted_entry_that_cannot_be_used_is_refused(text: str, words: str) -> None:
    assert words in complaint(source(text))


def test_relative_paths_start_from_the_manifest_s_directory(tmp_path: Path) -> None:
    from extsync.config.loader import load

    (tmp_path / "a.yaml").write_text(manifest())
    assert load([tmp_path]).manifests[0].base_dir == tmp_path


def test_unknown_keys_are_reported_at_every_level() -> None:
    text = manifest(PORTS + "sources: [{name: a, statc: 1}]\nchecks: [{tcpSocket: {port: 1, hots: x}}]\npolcy: {}\n")
    assert said(text.replace("metadata: {", "metadata: {lables: {}, ")) == [
        "3:12: error: metadata.lables: unknown key 'lables' (did you mean 'labels'?)",
        "6:23: error: spec.sources[0].statc: unknown key 'statc' (did you mean 'static'?)",
        "7:34: error: spec.checks[0].tcpSocket.hots: unknown key 'hots' (did you mean 'host'?)",
        "8:3: error: spec.polcy: unknown key 'polcy' (did you mean 'policy'?)",
    ]
