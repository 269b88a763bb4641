"""What a check on a kept connection costs beside plain HTTP. ``python -m benchmarks.kept``.

The goal: an HTTPS check, with the certificate verified, takes at most three times the CPU of a plain HTTP check, which
is made on a new connection each time; a gRPC check, too. The kept connections stand before the window
begins; those that are renewed in it are part of the cost. Targets are one nginx and one gRPC server on loopback.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import probes, servers
from benchmarks.figures import SHORT, Row, all_good, print_table
from benchmarks.probes import Load
from extsync.config.checks import Grpc, HttpGet
from extsync.health.base import Check, CheckContext
from extsync.health.grpc import GrpcCheck
from extsync.health.http import HttpCheck
from tests.health.certificates import Authority

PART = "kept"
LOAD = Load(endpoints=2_000, period=2.0, window=4.0)
SHORT_LOAD = Load(endpoints=100, period=1.0, window=1.0, rounds=1)
NAME = "targets.test"
GOALS = {"HTTPS": 3.0, "grpc": 3.0}


def rows(load: Load | None = None) -> list[Row]:
    """HTTPS and gRPC against HTTP."""
    load = load or (SHORT_LOAD if SHORT else LOAD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        tls = authority.issue("server", names=f"DNS:{NAME}")
        with servers.nginx(folder, tls=tls) as target, servers.grpc_server() as grpc_port:
            checks: dict[str, tuple[Check, int]] = {
                "HTTP": (probes.HTTP, target.port),
                "HTTPS": (https(authority.certificate), target.tls_port),
                "grpc": (grpc(), grpc_port),
            }
            medians = measure(checks, load)
    return [
        Row(
            part=PART,
            what=f"CPU of a check by {kind} on a kept connection, {load}",
            figure=medians[kind],
            unit="us",
            reference=medians["HTTP"],
            reference_is="plain HTTP, new connection",
            goal=goal,
        )
        for kind, goal in GOALS.items()
    ]


def https(ca: Path) -> Check:
    """The check ``httpGet`` by HTTPS, which trusts ``ca`` alone."""
    config = {
        "port": 443,
        "path": "/healthz",
        "scheme": "HTTPS",
        "tlsConfig": {"serverName": NAME, "caFile": str(ca)},
    }
    return HttpCheck(HttpGet.model_validate(config), CheckContext(Path(), {}))


def grpc() -> Check:
    """The check ``grpc`` of the server as a whole."""
    return GrpcCheck(Grpc.model_validate({"port": 50051}), CheckContext(Path(), {}))


def measure(checks: dict[str, tuple[Check, int]], load: Load) -> dict[str, float]:
    """Median microseconds of CPU of a check for each kind, of rounds in turn; connections stand before the window."""
    taken: dict[str, list[float]] = {kind: [] for kind in checks}
    for _ in range(load.rounds):
        for kind, (check, port) in checks.items():
            cost = asyncio.run(probes.prober(check, port, load))
            taken[kind].append(cost * 1e6)
            gc.collect()
    return {kind: statistics.median(costs) for kind, costs in taken.items()}


def serve() -> None:
    """Runs a gRPC server with the health service until it is killed."""
    import grpc as library
    from grpc_health.v1 import health, health_pb2_grpc

    server = library.server(ThreadPoolExecutor(max_workers=4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    print(server.add_insecure_port("0.0.0.0:0"), flush=True)
    server.start()
    server.wait_for_termination()


def main() -> int:
    found = rows()
    print_table(found)
    return 0 if all_good(found) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case _:
            sys.exit(main())
