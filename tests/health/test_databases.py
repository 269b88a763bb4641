"""What real databases make of being probed: 10,000 times they count nothing, and they let the prober in afterwards."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from extsync.health.base import Check
from extsync.health.target import Probe, Target
from extsync.model import Health
from tests.health.certificates import Authority
from tests.health.listeners import LONG, LOOPBACK, Elsewhere, Live, live, until
from tests.health.support import TCP, mysql, postgres, redis
from tests.servers.mariadb import MariaDb
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(180)]

PROBES = 10_000
AT_ONCE = 50

COUNTERS = ("Aborted_connects", "Aborted_connects_preauth", "Aborted_clients", "Access_denied_errors")
ERRORS = "SELECT SUM_CONNECT_ERRORS, COUNT_HANDSHAKE_ERRORS FROM performance_schema.host_cache"


@pytest.fixture(name="stranger")
async def stranger_fixture() -> AsyncIterator[Live]:
    """A prober that connects from another host, as far as a database on loopback can tell."""
    async with live(Elsewhere()) as running:
        yield running


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Authority, tuple[Path, Path]]:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    authority = Authority(tmp_path)
    return authority, authority.issue("server")


async def probe_often(probing: Live, check: Check, port: int, *, probes: int = PROBES) -> None:
    """Probes many times, all of which must pass."""
    for _ in range(probes // AT_ONCE):
        targets = [
            Target(f"{number}", (Probe(check, LONG, LOOPBACK, port),), immediate=True) for number in range(AT_ONCE)
        ]
        verdicts = await probing.verdicts(targets)
        assert {verdict.health for verdict in verdicts.values()} == {Health.HEALTHY}, verdicts["0"].reason


async def note(probing: Live, check: Check, port: int) -> str:
    """The note of one attempt, which must pass."""
    probing.prober.upsert([Target("it", (Probe(check, LONG, LOOPBACK, port),), immediate=True)])
    await until(lambda: probing.prober.verdict("it").health is not Health.UNKNOWN)
    evidence = probing.prober.evidence("it")[0]
    assert evidence.reason == "passed"
    probing.prober.remove(["it"])
    return evidence.note


# ---- MariaDB ---------------------------------------------------------------------------------------------------------


async def test_mariadb_counts_nothing_in_10000_probes_where_the_account_exists(
    stranger: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb("--max-connect-errors=2")
    server.rows("CREATE USER extsync@'127.%'")
    before, log = server.status(*COUNTERS), server.log
    await probe_often(stranger, mysql(), server.port)
    assert server.status(*COUNTERS) == before
    assert server.rows(ERRORS) in ([], [["0", "0"]])
    told = server.log.removeprefix(log)
    assert [line for line in told.splitlines() if re.search("Aborted|denied|blocked|ERROR", line)] == []
    assert await note(stranger, mysql(), server.port) == ""


async def test_mariadb_lets_the_prober_in_after_10000_probes_although_there_is_no_account(
    stranger: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb("--max-connect-errors=2")
    server.rows("CREATE USER other@'%' IDENTIFIED BY 'password'")
    before, log = server.status(*COUNTERS), server.log
    await probe_often(stranger, mysql(), server.port)

    def told() -> list[str]:
        return [line for line in server.log.removeprefix(log).splitlines() if "could not be resolved" not in line]

    # The price, which the note tells: one login that failed and one line in the log for each probe, and nothing else.
    # The server counts a connection only when its thread is done with it, which is after the prober is, and as its
    # threads do so without a lock (statistic_increment) it may miss a few of ten thousand.
    await until(lambda: len(told()) == PROBES)
    counted = {name: value - before[name] for name, value in server.status(*COUNTERS).items()}
    price = counted.pop("Aborted_connects"), counted.pop("Access_denied_errors")
    assert all(0.99 * PROBES < number <= PROBES for number in price)
    assert set(counted.values()) == {0}
    assert server.rows(ERRORS) in ([], [["0", "0"]])
    assert all("[Warning] Access denied for user 'extsync'@" in line for line in told())
    assert "not logged in as 'extsync': Access denied for user 'extsync'@" in await note(stranger, mysql(), server.port)


async def test_mariadb_blocks_a_host_that_only_connects_and_the_check_says_so(
    stranger: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb("--max-connect-errors=2")
    server.rows("CREATE USER extsync@'127.%'")
    for _ in range(5):
        assert await stranger.passes(TCP, server.port)
    await until(lambda: server.status("Aborted_connects_preauth")["Aborted_connects_preauth"] >= 5)
    if not server.rows(ERRORS):
        pytest.skip(f"the name of {Elsewhere.ADDRESS} can neither be looked up nor be known to be missing here")
    reason = await stranger.failure(mysql(), server.port)
    assert f"Host '{Elsewhere.ADDRESS}' is blocked because of many connection errors" in reason
    server.rows("FLUSH HOSTS")
    assert await stranger.passes(mysql(), server.port)


async def test_mariadb_is_alive_where_it_lets_nobody_in_from_here(
    stranger: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb()
    assert "is not allowed to connect to this MariaDB server (1130)" in await note(stranger, mysql(), server.port)


async def test_mariadb_fails_where_it_has_too_many_connections(
    probing: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb("--max-connections=10", "--connect-timeout=60")
    server.rows("CREATE USER extsync@'%'")
    assert await probing.passes(mysql(), server.port)
    with ExitStack() as held:
        for _ in range(12):
            connection = held.enter_context(socket.create_connection((LOOPBACK, server.port), timeout=10))
            connection.recv(1)
        assert await probing.failure(mysql(), server.port) == "the server says: Too many connections (1040)"


async def test_mariadb_is_logged_in_to_behind_tls(
    stranger: Live, make_mariadb: Callable[..., MariaDb], certified: tuple[Authority, tuple[Path, Path]]
) -> None:
    authority, certificate = certified
    server = make_mariadb("--max-connect-errors=2", tls=certificate)
    server.rows("CREATE USER extsync@'127.%' REQUIRE SSL")
    before = server.status(*COUNTERS)
    check = mysql(tlsConfig={"caFile": str(authority.certificate)})
    await probe_often(stranger, check, server.port, probes=200)
    assert server.status(*COUNTERS) == before
    assert "Access denied" in await note(stranger, mysql(), server.port)
    reason = await stranger.failure(mysql(tlsConfig={}), server.port)
    assert reason == "certificate verify failed: unable to get local issuer certificate"


async def test_mariadb_that_is_gone_refuses_and_passes_when_it_is_back(
    probing: Live, make_mariadb: Callable[..., MariaDb]
) -> None:
    server = make_mariadb()
    server.rows("CREATE USER extsync@'%'")
    server.kill()
    assert await probing.failure(mysql(), server.port) == "connection refused"
    server.start()
    assert await probing.passes(mysql(), server.port)


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
async def test_postgres_logs_nothing_in_10000_probes(
    probing: Live, make_postgres: Callable[..., Postgres], method: str
) -> None:
    server = make_postgres(f"host all all 127.0.0.1/32 {method}")
    log = server.log
    await probe_often(probing, postgres(), server.port, probes=PROBES if method == "scram-sha-256" else 200)
    assert server.log == log
    assert await note(probing, postgres(), server.port) == ""


async def test_postgres_logs_nothing_where_it_wants_no_password_of_an_account_that_exists(
    probing: Live, make_postgres: Callable[..., Postgres]
) -> None:
    server = make_postgres("host all all 127.0.0.1/32 trust")
    log = server.log
    await probe_often(probing, postgres(user="postgres"), server.port, probes=200)
    assert server.log == log
    assert await note(probing, postgres(), server.port) == "not logged in as 'extsync': role \"extsync\" does not exist"


async def test_postgres_is_alive_where_it_lets_nobody_in_from_here(
    probing: Live, make_postgres: Callable[..., Postgres]
) -> None:
    server = make_postgres("host all all 192.0.2.1/32 trust")
    assert "no pg_hba.conf entry for host" in await note(probing, postgres(), server.port)


async def test_postgres_is_asked_behind_tls(
    probing: Live, make_postgres: Callable[..., Postgres], certified: tuple[Authority, tuple[Path, Path]]
) -> None:
    authority, certificate = certified
    server = make_postgres("hostssl all all 127.0.0.1/32 scram-sha-256", tls=certificate)
    log = server.log
    check = postgres(tlsConfig={"caFile": str(authority.certificate)})
    await probe_often(probing, check, server.port, probes=200)
    assert server.log == log
    reason = await probing.failure(postgres(tlsConfig={}), server.port)
    assert reason == "certificate verify failed: unable to get local issuer certificate"
    plain = make_postgres("host all all 127.0.0.1/32 scram-sha-256")
    assert await probing.failure(check, plain.port) == "the server does not offer TLS"


async def test_postgres_fails_while_it_accepts_no_connections(
    probing: Live, make_postgres: Callable[..., Postgres]
) -> None:
    server = make_postgres("host all all 127.0.0.1/32 trust", settings=("hot_standby=off",), standby=True)
    reason = await probing.failure(postgres(), server.port)
    assert re.fullmatch(r"the server says: the database system is (not accepting|starting).* \(57P03\)", reason)


async def test_postgres_fails_where_it_has_too_many_connections(
    probing: Live, make_postgres: Callable[..., Postgres]
) -> None:
    server = make_postgres(
        "host all postgres 127.0.0.1/32 trust",
        "host all all 127.0.0.1/32 scram-sha-256",
        settings=("max_connections=3", "superuser_reserved_connections=0", "max_wal_senders=0"),
    )
    startup = postgres(user="postgres").request(LOOPBACK, server.port).data
    with ExitStack() as held:
        for _ in range(3):
            connection = held.enter_context(socket.create_connection((LOOPBACK, server.port), timeout=10))
            connection.sendall(startup)
            while b"Z\0\0\0\5I" not in connection.recv(4096):
                pass
        reason = await probing.failure(postgres(), server.port)
        assert reason == "the server says: sorry, too many clients already (53300)"


# ---- Redis -----------------------------------------------------------------------------------------------------------


async def test_redis_counts_nothing_in_10000_probes(probing: Live, make_redis: Callable[..., Redis]) -> None:
    server = make_redis()
    await probe_often(probing, redis(), server.port)
    counted = server.ask("INFO stats", "INFO errorstats", "ACL LOG")
    assert "rejected_connections:0\r\n" in counted
    assert "total_error_replies:0\r\n" in counted


async def test_redis_counts_no_failed_login_in_10000_probes_where_it_wants_a_password(
    probing: Live, make_redis: Callable[..., Redis]
) -> None:
    server = make_redis("--requirepass", "secret")
    await probe_often(probing, redis(), server.port)
    counted = server.ask("AUTH secret", "INFO stats", "INFO errorstats", "ACL LOG")
    assert "rejected_connections:0\r\n" in counted
    assert "WRONGPASS" not in counted
    assert counted.endswith("*0\r\n+OK\r\n")  # what its log of refused logins has, and the farewell
    assert await probing.passes(redis(), server.port)


async def test_redis_fails_where_it_has_lost_its_master(probing: Live, make_redis: Callable[..., Redis]) -> None:
    server = make_redis("--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no")
    assert (await probing.failure(redis(), server.port)).startswith("the server says: MASTERDOWN Link with MASTER")


async def test_redis_fails_where_it_has_too_many_clients(probing: Live, make_redis: Callable[..., Redis]) -> None:
    server = make_redis("--maxclients", "1")
    with socket.create_connection((LOOPBACK, server.port), timeout=10) as held:
        held.sendall(b"PING\r\n")
        assert held.recv(100) == b"+PONG\r\n"
        reason = await probing.failure(redis(), server.port)
        assert reason == "the server says: ERR max number of clients reached"


async def test_redis_is_asked_behind_tls(
    probing: Live, make_redis: Callable[..., Redis], certified: tuple[Authority, tuple[Path, Path]]
) -> None:
    authority, (certificate, key) = certified
    server = make_redis(
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"),
        *("--tls-ca-cert-file", str(authority.certificate)),
    )
    check = redis(tlsConfig={"caFile": str(authority.certificate)})
    await probe_often(probing, check, server.tls_port, probes=200)
