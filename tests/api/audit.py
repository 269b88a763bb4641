"""What was written, as the API server told of it: every version of the slices of a namespace, with its stamp."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from extsync.kube.stamp import Stamp
from tests.cluster.control_plane import ControlPlane


class Version(NamedTuple):
    """One version of one slice of extsync's; ``at`` is the monotonic time at which the watch told of it."""

    at: float
    number: int
    service: str
    stamp: Stamp | None


class Audit:
    """A watch, inside a ``with`` block; ``versions`` are in the order in which it told of them."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        place = urlsplit(control_plane.url)
        context = ssl.create_default_context(cafile=control_plane.ca_file)
        self._connection = http.client.HTTPSConnection(place.hostname or "", place.port, context=context, timeout=170)
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?watch=1&timeoutSeconds=170"
        self._headers = {"Authorization": f"Bearer {control_plane.admin_token}"}
        self._closing = False
        self.versions: list[Version] = []

    def __enter__(self) -> Self:
        self._connection.request("GET", self._path, headers=self._headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread up, which close alone would not
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        try:
            for line in self._answer:
                self._take(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException):
            if not self._closing:
                raise

    def _take(self, event: dict[str, object]) -> None:
        metadata = event["object"]["metadata"]  # type: ignore[index]
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
        if labels.get("endpointslice.kubernetes.io/managed-by") != "extsync.dev":
            return
        self.versions.append(
            Version(
                time.monotonic(),
                int(metadata["resourceVersion"]),
                labels["kubernetes.io/service-name"],
                Stamp.parse(annotations.get("extsync.dev/written-by", "")),
            )
        )
