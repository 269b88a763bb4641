"""A real gRPC server on loopback, with the health service of its own library, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.cluster.processes import free_ports


class GrpcServer:
    """Runs inside the ``with`` block; its port stays the same over ``kill`` and ``start``."""

    def __init__(
        self,
        statuses: Mapping[str, str] | None = None,
        *,
        tls: tuple[Path, Path] | None = None,
        options: Mapping[str, int] | None = None,
        health: bool = True,
    ) -> None:
        """``statuses`` are those of the services beside "", which is SERVING unless it is among them.

        ``tls`` is a certificate and its key; ``options`` are arguments of gRPC's core. Without ``health`` there is no
        such service.
        """
        [self.port] = free_ports(1)
        self._settings = {
            "port": self.port,
            "statuses": dict(statuses or {}) if health else None,
            "tls": [str(path) for path in tls] if tls else None,
            "options": dict(options or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        arguments = [sys.executable, "-m", "tests.servers.grpc_health", json.dumps(self._settings)]
        self._process = subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError("the gRPC server has ended")

    def kill(self) -> None:
        """Ends it at once: connections break and its port refuses."""
        if self._process is not None and self._process.stdout is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def serve(settings: Mapping[str, Any]) -> None:
    """Serves until it is killed."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    server = grpc.server(ThreadPoolExecutor(2), options=list(settings["options"].items()))
    if settings["statuses"] is not None:
        servicer = health.HealthServicer()
        for service, status in settings["statuses"].items():
            servicer.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{settings['port']}"
    if settings["tls"]:
        certificate, key = (Path(path).read_bytes() for path in settings["tls"])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
