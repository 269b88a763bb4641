"""The chart: what helm says of it, and what its values change."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_snake

from extsync import __version__
from extsync.config.settings import Settings
from tests.deploy.chart import ALONE, CHART, EVERYTHING, OF_TWO_NAMESPACES, one, template
from tests.helm.fixtures import Helm


@pytest.mark.parametrize("values", [{}, EVERYTHING, OF_TWO_NAMESPACES, ALONE], ids=["none", "all", "two", "alone"])
def test_helm_lint_has_nothing_to_say(helm: Helm, values: dict[str, Any]) -> None:
    done = helm("lint", "--strict", "--quiet", CHART, "--values", "-", stdin=yaml.safe_dump(values))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"replica": 3}, "replica"),
        ({"replicas": 2, "leaderElection": False}, "replicas: without leaderElection"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"settings": {"logFromat": "json"}}, "logFromat"),
        ({"settings": {"logLevel": "loud"}}, "/settings/logLevel"),
        ({"settings": {"maxFreeze": "10"}}, "/settings/maxFreeze"),
        ({"settings": {"shards": 4}, "leaderElection": False, "replicas": 1}, "settings.shards: "),
        ({"env": [{"name": "EXTSYNC_OWNER", "value": 5}]}, "/env/0/value"),
        ({"manifests": {"a.yaml": ""}, "existingConfigMap": "mine"}, "manifests and existingConfigMap: "),
        ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels: app.kubernetes.io/name: "),
        ({"rbac": {"namespaces": ["Shop"]}}, "/rbac/namespaces/0"),
        ({"fullnameOverride": "my.extsync"}, "/fullnameOverride"),
        ({"manifests": {"../etc": ""}}, "'/manifests'"),
        ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval"),
        ({"secrets": ["consul"]}, "/secrets/0"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_with_their_place(
    helm: Helm, values: dict[str, Any], place: str
) -> None:
    done = helm("template", "extsync", CHART, "--values", "-", stdin=yaml.safe_dump(values))
    assert done.returncode == 1
    assert place in done.stderr


SET_BY_THE_CHART = ("fileRoots", "leaderElection", "leaseNamespace", "listen", "manifestVariables", "namespaces")


@pytest.mark.parametrize("key", SET_BY_THE_CHART)
def test_a_setting_that_the_chart_sets_is_refused_with_what_to_say_in_its_place(helm: Helm, key: str) -> None:
    variable = f"EXTSYNC_{to_snake(key).upper()}"
    for values, place in (
        ({"settings": {key: "mine"}}, f"settings.{key}: the chart sets it: "),
        ({"env": [{"name": variable, "value": "mine"}]}, f"env: {variable}: the chart sets it: "),
    ):
        done = helm("template", "extsync", CHART, "--values", "-", stdin=yaml.safe_dump(values))
        assert done.returncode == 1
        assert place in done.stderr


def test_values_may_be_taken_away(helm: Helm) -> None:
    """As a chart that has this one for a dependency does it: null takes away what values.yaml has."""
    names = ("settings", "manifests", "env", "secrets", "podLabels", "affinity")
    assert one(template(helm, dict.fromkeys(names)), "Deployment") == one(template(helm, {}), "Deployment")


def test_the_schema_knows_every_value_that_there_is() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _unknown(yaml.safe_load((CHART / "values.yaml").read_text()), schema) == []


def _unknown(values: dict[str, Any], schema: dict[str, Any], place: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        part = schema["properties"].get(key)
        if part is None:
            found.append(f"{place}/{key}")
        elif isinstance(value, dict) and "properties" in part and part.get("additionalProperties") is False:
            found += _unknown(value, part, f"{place}/{key}")
    return found


def test_the_chart_runs_the_version_that_it_comes_with(helm: Helm) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert _container(template(helm, {}))["image"] == f"extsync:{__version__}"


def test_without_leader_election_a_roll_out_ends_the_old_replica_first(helm: Helm) -> None:
    objects = template(helm, ALONE)
    assert one(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert _container(objects)["args"] == ["run", "-f", "/etc/extsync/manifests"]
    assert [o["metadata"]["name"] for o in objects if o["kind"] == "Role"] == []
    assert {o["metadata"]["name"] for o in objects} == {"backends"}


def test_rights_of_namespaces_alone_come_with_the_settings_that_they_need(helm: Helm) -> None:
    objects = template(helm, OF_TWO_NAMESPACES)
    assert [o for o in objects if o["kind"].startswith("ClusterRole")] == []
    roles = [o for o in objects if o["kind"] == "Role" and o["metadata"]["name"] == "extsync"]
    assert [role["metadata"]["namespace"] for role in roles] == ["shop", "billing"]
    assert "pods" not in {resource for role in roles for rule in role["rules"] for resource in rule["resources"]}
    assert _settings(objects) == {"namespaces": ["shop", "billing"], "clusterRanges": "Settings"}


def test_of_the_rights_of_a_whole_cluster_those_to_pods_and_ranges_can_be_left_out(helm: Helm) -> None:
    objects = template(helm, {"rbac": {"pods": False, "clusterRanges": False}})
    resources = {r for rule in one(objects, "ClusterRole")["rules"] for r in rule["resources"]}
    assert resources == {"services", "services/finalizers", "endpoints", "endpointslices", "events"}
    assert _settings(objects) == {"clusterRanges": "Settings"}


def test_settings_are_read_from_a_file_and_their_change_rolls_the_pods(helm: Helm) -> None:
    first, second = (template(helm, {"settings": {"qps": qps}}) for qps in (10, 11))
    assert _container(first)["args"][2:4] == ["--config", "/etc/extsync/settings/settings.yaml"]
    assert Settings(**_settings(first)).qps == 10
    assert _checksum(first) != _checksum(second)


def test_a_changed_manifest_restarts_nothing(helm: Helm) -> None:
    first, second = (template(helm, {"manifests": {"a.yaml": text}}) for text in ("a: 1", "a: 2"))
    assert one(first, "Deployment") == one(second, "Deployment")
    assert one(first, "ConfigMap") != one(second, "ConfigMap")


def test_manifests_may_be_texts_or_objects(helm: Helm) -> None:
    files = one(template(helm, {"manifests": EVERYTHING["manifests"]}), "ConfigMap")["data"]
    assert yaml.safe_load(files["text.yaml"])["kind"] == "ExternalService"
    assert yaml.safe_load(files["object.yaml"]) == EVERYTHING["manifests"]["object.yaml"]


def test_secrets_are_mounted_where_manifests_may_name_files(helm: Helm) -> None:
    container = _container(template(helm, EVERYTHING))
    places = {mount["mountPath"] for mount in container["volumeMounts"] if mount["readOnly"]}
    assert {"/etc/extsync/secrets/consul", "/etc/extsync/secrets/web.tls"} < places
    roots = next(variable["value"] for variable in container["env"] if variable["name"] == "EXTSYNC_FILE_ROOTS")
    assert all(place.startswith(f"{roots}/") for place in places)


def test_secrets_of_similar_names_are_volumes_of_their_own(helm: Helm) -> None:
    objects = template(helm, {"secrets": [{"name": "web.tls"}, {"name": "web-tls"}, {"name": "n" * 253}]})
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert [volume["secret"]["secretName"] for volume in volumes[1:]] == ["web.tls", "web-tls", "n" * 253]
    assert len({volume["name"] for volume in volumes}) == 4
    assert max(len(volume["name"]) for volume in volumes) < 64


def test_a_text_keeps_its_indentation(helm: Helm) -> None:
    [text] = one(template(helm, {"manifests": {"a.yaml": "\n  a:\n    b: 1\n"}}), "ConfigMap")["data"].values()
    assert yaml.safe_load(text) == {"a": {"b": 1}}


def test_two_releases_in_one_namespace_have_nothing_in_common(helm: Helm) -> None:
    names = [
        {(o["kind"], o["metadata"]["name"]) for o in template(helm, EVERYTHING, release=release)}
        for release in ("a", "b")
    ]
    assert not names[0] & names[1]
    selectors = [one(template(helm, {}, release=r), "Service")["spec"]["selector"] for r in ("a", "b")]
    assert selectors[0] != selectors[1]


def _container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    [container] = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def _settings(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(yaml.safe_load(one(objects, "ConfigMap", "extsync-settings")["data"]["settings.yaml"]))


def _checksum(objects: list[dict[str, Any]]) -> str:
    annotations = one(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    return str(annotations["checksum/settings"])
