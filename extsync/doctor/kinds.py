"""The objects that doctor reads, as far as it looks at them: more of Pods and Nodes than the core does."""

from __future__ import annotations

from typing import Any

import msgspec

from extsync.objects import KubeObject, NodeSpec, NodeStatus, PodCondition, PodStatus


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class ContainerPort(_Struct, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Container(_Struct, frozen=True):
    name: str
    image: str = ""
    ports: tuple[ContainerPort, ...] | None = None


class PodSpec(_Struct, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    node_name: str | None = None


class ContainerStatus(_Struct, frozen=True):
    """``state`` has one key: waiting, running or terminated."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: dict[str, dict[str, Any] | None] | None = None


class FullPodStatus(PodStatus, frozen=True, kw_only=True):
    container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(KubeObject, frozen=True, kw_only=True):
    PLURAL = "pods"
    API_VERSION = "v1"
    spec: PodSpec = PodSpec()
    status: FullPodStatus = FullPodStatus()


class NodeInfo(_Struct, frozen=True):
    kubelet_version: str = ""


class FullNodeStatus(NodeStatus, frozen=True, kw_only=True):
    conditions: tuple[PodCondition, ...] | None = None
    node_info: NodeInfo = NodeInfo()


class Node(KubeObject, frozen=True, kw_only=True):
    PLURAL = "nodes"
    API_VERSION = "v1"
    spec: NodeSpec = NodeSpec()
    status: FullNodeStatus = FullNodeStatus()


class ConfigMap(KubeObject, frozen=True, kw_only=True):
    PLURAL = "configmaps"
    API_VERSION = "v1"
    data: dict[str, str] | None = None


class ServiceAccount(KubeObject, frozen=True, kw_only=True):
    PLURAL = "serviceaccounts"
    API_VERSION = "v1"


class PodTemplateSpec(_Struct, frozen=True):
    spec: PodSpec = PodSpec()


class DaemonSetSpec(_Struct, frozen=True):
    template: PodTemplateSpec = PodTemplateSpec()


class DaemonSetStatus(_Struct, frozen=True):
    desired_number_scheduled: int = 0
    number_ready: int = 0


class DaemonSet(KubeObject, frozen=True, kw_only=True):
    PLURAL = "daemonsets"
    API_VERSION = "apps/v1"
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()
