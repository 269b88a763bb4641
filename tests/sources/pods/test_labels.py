"""The metadata of pods has Prometheus's names."""

from __future__ import annotations

from extsync.objects import OwnerReference
from extsync.sources.pods.labels import labels_of, with_address
from tests.sources.pods.cluster import pod

OWNERS = (
    OwnerReference(api_version="v1", kind="ConfigMap", name="notes", uid="1"),
    OwnerReference(api_version="apps/v1", kind="StatefulSet", name="db", uid="2", controller=True),
)


def test_a_pod_has_the_labels_of_prometheus() -> None:
    found = pod(
        "db-0",
        "192.0.2.1",
        labels={"app.kubernetes.io/name": "db"},
        annotations={"example.com/shard-id": "7"},
        owners=OWNERS,
    )
    assert with_address(labels_of(found, "True"), "192.0.2.1") == (
        ("__meta_kubernetes_namespace", "default"),
        ("__meta_kubernetes_pod_annotation_example_com_shard_id", "7"),
        ("__meta_kubernetes_pod_annotationpresent_example_com_shard_id", "true"),
        ("__meta_kubernetes_pod_controller_kind", "StatefulSet"),
        ("__meta_kubernetes_pod_controller_name", "db"),
        ("__meta_kubernetes_pod_host_ip", "192.0.2.250"),
        ("__meta_kubernetes_pod_ip", "192.0.2.1"),
        ("__meta_kubernetes_pod_label_app_kubernetes_io_name", "db"),
        ("__meta_kubernetes_pod_labelpresent_app_kubernetes_io_name", "true"),
        ("__meta_kubernetes_pod_name", "db-0"),
        ("__meta_kubernetes_pod_node_name", "node-1"),
        ("__meta_kubernetes_pod_phase", "Running"),
        ("__meta_kubernetes_pod_ready", "true"),
        ("__meta_kubernetes_pod_uid", "uid-db-0"),
    )


def test_what_a_pod_does_not_have_is_empty_as_in_prometheus() -> None:
    labels = labels_of(pod("db-0", node=None), "Unknown")
    assert labels["__meta_kubernetes_pod_node_name"] == ""
    assert labels["__meta_kubernetes_pod_ready"] == "unknown"
    assert "__meta_kubernetes_pod_controller_kind" not in labels
