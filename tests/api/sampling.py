"""Looks at the slices of a Service all the time, in a thread: what kube-proxy would see at each moment."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self

from tests.cluster.control_plane import ControlPlane

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class Looking:
    """Looks all the time within its block, in a thread; ``faults`` are what it has seen and should not have."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks = 0
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None:
            assert not self.faults, self.faults[:5]
            assert self.looks > 0

    def _run(self) -> None:
        raise NotImplementedError


class Sampler(Looking):
    """Within its block, each of ``addresses`` has to be ready in some slice, and in none not ready, at every look."""

    def __init__(self, control_plane: ControlPlane, namespace: str, *addresses: str, service: str = "orders") -> None:
        super().__init__()
        self._control_plane = control_plane
        self._path = (
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
            f"?labelSelector=kubernetes.io/service-name={service}"
        )
        self._addresses = addresses

    def _run(self) -> None:
        while not self._ended.is_set():
            self._look(self._control_plane.request("GET", self._path)["items"])
            self.looks += 1

    def _look(self, slices: list[dict[str, Any]]) -> None:
        for address in self._addresses:
            states = {
                slice_["metadata"]["name"]: endpoint["conditions"].get("ready", True)
                for slice_ in slices
                for endpoint in slice_["endpoints"] or ()
                if endpoint["addresses"] == [address]
            }
            if set(states.values()) != {True}:
                managers = [slice_["metadata"]["labels"].get(MANAGED_BY) for slice_ in slices]
                self.faults.append(f"{address}: {states} in slices of {managers}")
