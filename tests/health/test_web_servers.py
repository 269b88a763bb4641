"""What a real web server makes of being probed 10,000 times: it complains of nothing, and nothing stays behind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from extsync.health.base import Check
from extsync.health.target import Probe, Target, Timing
from tests.health.certificates import Authority
from tests.health.listeners import LOOPBACK, Live, until
from tests.health.support import TCP, handshake, http
from tests.servers.nginx import Nginx

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(180)]

PROBES = 10_000
AT_ONCE = 50
FAST = Timing(period=0.01, timeout=30.0, failure_threshold=1)
LOCATIONS = "location = /status { stub_status; } location = /healthz { return 200 'fine'; }"


async def probe_often(probing: Live, check: Check, port: int) -> None:
    """Probes many times, all of which must pass."""
    wanted = probing.prober.stats.passed + PROBES
    targets = [Target(f"{number}", (Probe(check, FAST, LOOPBACK, port),), immediate=True) for number in range(AT_ONCE)]
    probing.prober.upsert(targets)
    await until(lambda: probing.prober.stats.passed >= wanted or probing.prober.stats.failed > 0)
    assert probing.prober.stats.failed == 0, probing.prober.evidence("0")
    probing.prober.remove([target.id for target in targets])


def active(nginx: Nginx) -> int:
    """How many connections the server has open, the one that asks included."""
    with urlopen(f"{nginx.url}/status", timeout=10) as answer:
        found = re.search(rb"Active connections: (\d+)", answer.read())
    assert found is not None
    return int(found[1])


def complaints(nginx: Nginx) -> list[str]:
    """Lines of its log that tell of something wrong.

    Not that a connection was gone when the server was about to close its side, which it notes where it is slower to
    close than the prober.
    """
    lines = nginx.log.read_text(errors="replace").splitlines()
    wrong = [line for line in lines if re.search(r"\[(warn|error|crit|alert|emerg)]|failed|aborted|timed out", line)]
    return [line for line in wrong if not re.search(r"\[info] .* shutdown\(\) failed \(107: ", line)]


async def test_nginx_is_probed_10000_times_by_tcp_and_http(probing: Live, make_nginx: Callable[..., Nginx]) -> None:
    nginx = make_nginx(LOCATIONS)
    port = int(nginx.url.rpartition(":")[2])
    for check in (TCP, http(path="/healthz"), http(path="/healthz", expectedBody="fine")):
        await probe_often(probing, check, port)
        await until(lambda: active(nginx) == 1)
        assert await probing.passes(check, port)
    assert complaints(nginx) == []
    requests = [line for line in nginx.access_log.read_text().splitlines() if "/healthz" in line]
    assert len(requests) >= 2 * PROBES
    assert all('"GET /healthz HTTP/1.1" 200 4 "-" "extsync/' in line for line in requests)


async def test_nginx_is_probed_10000_times_by_tls_and_https(
    probing: Live, make_nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    authority = Authority(tmp_path)
    nginx = make_nginx(LOCATIONS, tls=authority.issue("server"))
    port = int(nginx.https_url.rpartition(":")[2])
    trusting: dict[str, Any] = {"tlsConfig": {"caFile": str(authority.certificate)}}
    secure = http(scheme="HTTPS", path="/healthz", expectedBody="fine", **trusting)
    for check in (handshake(**trusting), secure):
        await probe_often(probing, check, port)
        await until(lambda: active(nginx) == 1)
        assert await probing.passes(check, port)
    assert complaints(nginx) == []
