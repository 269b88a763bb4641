"""The chart as tests use it: rendered to objects, with values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.helm.fixtures import Helm

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "extsync"
KUSTOMIZE = Path(__file__).parents[2] / "deploy" / "kustomize"

EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.com/extsync", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 3,
    "manifests": {
        "text.yaml": "apiVersion: extsync.dev/v1alpha1\nkind: ExternalService\n",
        "object.yaml": {"apiVersion": "extsync.dev/v1alpha1", "kind": "ExternalService", "metadata": {"name": "web"}},
    },
    "settings": {"logFormat": "json", "sentinels": ["192.0.2.1:53"]},
    "secrets": [
        {"name": "consul"},
        {"name": "web.tls", "optional": True, "items": [{"key": "tls.crt", "path": "crt"}]},
    ],
    "env": [
        {"name": "EXTSYNC_SECRET_TOKEN", "valueFrom": {"secretKeyRef": {"name": "inventory", "key": "token"}}},
    ],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "serviceAccount": {"annotations": {"example.com/team": "network"}},
    "service": {"port": 80},
    "serviceMonitor": {"enabled": True, "interval": "30s", "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True, "egress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]},
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {},
        }
    ],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "edge", "operator": "Exists"}],
    "priorityClassName": "system-cluster-critical",
    "podLabels": {"team": "network"},
    "podAnnotations": {"example.com/note": "1"},
}
"""Values that put every part of every template to use."""

OF_TWO_NAMESPACES: dict[str, Any] = {"rbac": {"namespaces": ["shop", "billing"], "clusterRanges": False, "pods": False}}
ALONE: dict[str, Any] = {
    "replicas": 1,
    "leaderElection": False,
    "existingConfigMap": "mine",
    "podDisruptionBudget": {"enabled": False},
    "fullnameOverride": "backends",
}

Objects = list[dict[str, Any]]


def template(helm: Helm, values: dict[str, Any], *, release: str = "extsync", namespace: str = "extsync") -> Objects:
    """The objects of a release with these values."""
    done = helm("template", release, CHART, "--namespace", namespace, "--values", "-", stdin=yaml.safe_dump(values))
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def one(objects: Objects, kind: str, name: str | None = None) -> dict[str, Any]:
    """The only object of that kind, or the only one of that name as well."""
    [found] = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    return found
