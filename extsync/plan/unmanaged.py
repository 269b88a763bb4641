"""Unmanaged: who keeps an object that is not ours, and which objects nobody keeps.

With ``policy.adopt: IfUnmanaged`` extsync takes over what nobody keeps: Endpoints and EndpointSlices that were written
by hand, and what Kubernetes's controllers leave behind for ever when the selector of a Service is taken off. Whoever
keeps an object says so in one of these ways:

- the label ``endpointslice.kubernetes.io/managed-by`` of slices or ``endpoints.kubernetes.io/managed-by`` of Endpoints,
  other than the names that Kubernetes's documentation gives to people (``BY_HAND``);
- the owner label of an installation of extsync;
- a controller among the owner references that is not the Service itself;
- a label or annotation of a tool that applies whole sets of objects (``TOOL_LABELS``, ``TOOL_ANNOTATIONS``);
- the annotation of a leader election, of which the Endpoints are only the vehicle.

Kubernetes's controllers copy the labels of the Service: on what they wrote, such a label says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extsync.objects import (
    ENDPOINTS_CONTROLLER,
    MANAGED_BY_LABEL,
    OWNER_LABEL,
    SERVICE_NAME_LABEL,
    SLICE_CONTROLLER,
    Endpoints,
    EndpointSlice,
    KubeObject,
    Service,
)

BY_HAND: Final = frozenset({"staff", "cluster-admins"})
"""Managers that stand for people, by https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#management"""

ENDPOINTS_MANAGED_BY_LABEL: Final = "endpoints.kubernetes.io/managed-by"
LEADER_ANNOTATION: Final = "control-plane.alpha.kubernetes.io/leader"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
"""The field manager of Kubernetes's own controllers."""

TOOL_LABELS: Final = (
    "addonmanager.kubernetes.io/mode",
    "app.kubernetes.io/managed-by",
    "applyset.kubernetes.io/part-of",
    "argocd.argoproj.io/instance",
    "helm.toolkit.fluxcd.io/name",
    "kapp.k14s.io/app",
    "kustomize.toolkit.fluxcd.io/name",
    "objectset.rio.cattle.io/hash",
)
TOOL_ANNOTATIONS: Final = (
    "argocd.argoproj.io/tracking-id",
    "config.k8s.io/owning-inventory",
    "meta.helm.sh/release-name",
)

_API_SERVER: Final = ("default", "kubernetes")
"""The Service whose slices and Endpoints the API server writes, without any mark."""


def endpoints_keeper(endpoints: Endpoints, service: Service) -> str | None:
    """Who keeps the Endpoints of ``service``, in words; None where nobody does."""
    if endpoints.key == _API_SERVER:
        return "the API server"
    if LEADER_ANNOTATION in endpoints.annotations:
        return f"a leader election (annotation {LEADER_ANNOTATION})"
    manager = endpoints.labels.get(ENDPOINTS_MANAGED_BY_LABEL)
    if manager not in (None, ENDPOINTS_CONTROLLER):
        return f"{manager} (label {ENDPOINTS_MANAGED_BY_LABEL})"
    if manager is not None and service.spec.selector:
        return str(manager)
    return _keeper(endpoints, service, copied=_is_of_controllers(endpoints))


def slice_keeper(slice_: EndpointSlice, service: Service) -> str | None:
    """Who keeps a slice of ``service``, in words; None where nobody does."""
    if slice_.labels.get(SERVICE_NAME_LABEL) != service.metadata.name:
        return "another Service"
    if (slice_.metadata.namespace, service.metadata.name) == _API_SERVER:
        return "the API server"
    manager = slice_.labels.get(MANAGED_BY_LABEL)
    left_behind = manager == SLICE_CONTROLLER and not service.spec.selector
    if manager is not None and manager not in BY_HAND and not left_behind:
        return manager
    return _keeper(slice_, service, copied=left_behind)


def left_by_controller(endpoints: Endpoints) -> bool:
    """Whether Kubernetes's own controller wrote the Endpoints, with all labels of their Service, ours too."""
    return endpoints.labels.get(ENDPOINTS_MANAGED_BY_LABEL) == ENDPOINTS_CONTROLLER


def _keeper(obj: KubeObject, service: Service, *, copied: bool) -> str | None:
    labels = _without(obj.labels, service.labels) if copied else obj.labels
    if owner := labels.get(OWNER_LABEL):
        return f"the extsync installation with owner id {owner!r}"
    for reference in obj.metadata.owner_references or ():
        if reference.controller and reference.uid != service.metadata.uid:
            return f"its controller {reference.kind}/{reference.name}"
    for key in TOOL_LABELS:
        if key in labels:
            return f"{labels[key] or 'a tool'} (label {key})"
    for key in TOOL_ANNOTATIONS:
        if key in obj.annotations:
            return f"a tool (annotation {key})"
    return None


def _is_of_controllers(endpoints: Endpoints) -> bool:
    """Servers before 1.33 put no label on what their controller writes; the field managers tell then."""
    fields = endpoints.metadata.managed_fields or ()
    return left_by_controller(endpoints) or any(entry.get("manager") == CONTROLLER_MANAGER for entry in fields)


def _without(labels: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if others.get(key) != value}
