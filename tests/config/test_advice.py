"""Warnings: allowed, and most likely not what is wanted."""

from __future__ import annotations

import pytest

from extsync.config import availability
from tests.config.texts import PORTS, SOURCES, load_text, manifest, said


def test_a_manifest_without_oddities_has_no_warning() -> None:
    assert said(manifest()) == []


def test_a_secret_in_plain_text_is_a_warning_that_does_not_repeat_it() -> None:
    headers = "httpHeaders: [{name: Authorization, value: Bearer hunter2}, {name: Accept, value: text/plain}]"
    [line] = said(manifest(PORTS + SOURCES + f"checks: [{{httpGet: {{port: 1, {headers}}}}}]\n"))
    assert line.startswith("7:75: warning: spec.checks[0].httpGet.httpHeaders[0].value: a secret stands here")
    assert "hunter2" not in line


def test_a_secret_from_the_environment_is_no_warning() -> None:
    headers = "httpHeaders: [{name: Authorization, value: 'Bearer ${TOKEN}'}]"
    assert said(manifest(PORTS + SOURCES + f"checks: [{{httpGet: {{port: 1, {headers}}}}}]\n")) == []


def test_secrets_of_sources_are_found_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "registered", lambda group: ("consul",))
    block = "{server: a, services: [b], token: x, basicAuth: {username: u, password: pw}, httpHeaders: {X-Token: z}}"
    lines = said(manifest(PORTS + f"sources: [{{name: a, consul: {block}}}]\n"))
    assert [line.split(": ")[2] for line in lines] == [
        "spec.sources[0].consul.token",
        "spec.sources[0].consul.basicAuth.password",
        "spec.sources[0].consul.httpHeaders.X-Token",
    ]


@pytest.mark.parametrize("policy", ["internalTrafficPolicy: Local", "type: NodePort, externalTrafficPolicy: Local"])
def test_a_backend_without_a_node_is_local_to_none(policy: str) -> None:
    backends = "[{address: 192.0.2.1, nodeName: a}, {address: 192.0.2.2}, {address: 192.0.2.3}]"
    sources = f"sources: [{{name: a, static: {{backends: {backends}}}}}]\n"
    [line] = said(manifest(f"service: {{{policy}}}\n" + PORTS + sources))
    assert "warning: spec.sources[0].static.backends[1]: 2 of 3 backends without nodeName are local to no node" in line


def test_a_backend_without_a_zone_turns_the_traffic_distribution_off() -> None:
    [line] = said(manifest("service: {trafficDistribution: PreferClose}\n" + PORTS + SOURCES))
    assert "1 of 1 backends without zone have no zone: one such endpoint turns trafficDistribution off" in line


def test_endpoints_that_will_be_cut_off_are_a_warning() -> None:
    backends = ", ".join(f"{{address: 10.0.{n // 250}.{n % 250 + 1}}}" for n in range(1001))
    text = manifest(PORTS + f"sources: [{{name: a, static: {{backends: [{backends}]}}}}]\n")
    [line] = said(text)
    assert "warning: spec.publish: Endpoints are cut off at 1000 addresses, and 1001 are declared" in line
    assert load_text(text).ok
    assert said(text + "  publish: [EndpointSlice]\n") == []


def pods(selector: str) -> str:
    return f"sources: [{{name: a, pods: {{selector: {selector}}}}}]\n"


def test_pods_beside_slices_are_a_warning_and_in_endpoints_alone_they_are_none() -> None:
    text = PORTS + pods("{matchLabels: {app: db}}")
    [line] = said(manifest(text))
    assert "warning: spec.sources[0].pods: Kubernetes publishes slices of pods by itself" in line
    assert "give the Service a selector and leave this source out" in line
    assert said(manifest(text + "publish: [Endpoints]\n")) == []


def test_a_selector_that_selects_everything_is_a_warning() -> None:
    for selector in ("{}", "{matchLabels: {}}"):
        [line] = said(manifest(PORTS + pods(selector) + "publish: [Endpoints]\n"))
        assert "warning: spec.sources[0].pods.selector: a selector without conditions selects every pod" in line


def test_a_port_to_probe_that_takes_the_place_of_several_is_a_warning() -> None:
    source = "sources: [{name: a, static: {backends: [{address: 10.0.0.1, probe: {port: 8080}}]}}]\n"
    one, other = "{tcpSocket: {port: 80}}", "{httpGet: {port: 8081}}"
    [line] = said(manifest(PORTS + source + f"checks: [{one}, {other}]\n"))
    assert "static.backends[0].probe.port: all 2 checks go to this port, although they name different ones" in line
    assert said(manifest(PORTS + source + f"checks: [{one}, {one.replace('tcpSocket', 'tls')}]\n")) == []
