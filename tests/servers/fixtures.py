"""Fixtures for tests against real servers, in any room: a test that takes one is marked ``sockets`` or ``api``.

Each test has servers of its own, which start in 0.2 s or less, databases in a second. Where one is not to be had its
tests are skipped with the reason; under ``CI=true`` they fail (``tests/cluster/plugin.py``).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster.assets import Unavailable
from tests.cluster.plugin import Wanted
from tests.servers import programs
from tests.servers.consul import Consul
from tests.servers.knot import Knot
from tests.servers.mariadb import MariaDb
from tests.servers.nginx import Nginx
from tests.servers.postgres import Postgres
from tests.servers.programs import Programs
from tests.servers.redis import Redis


def _wanted(server: str) -> Wanted:
    """Its tests are those that take the fixture of its programs, if only by way of another one."""
    return Wanted(
        name=f"programs of {server}",
        tests=f"tests with {server}",
        concerns=lambda item: f"{server}_programs" in getattr(item, "fixturenames", ()),
        state=lambda: programs.state(server),
        module=("tests.servers.programs", "fetch", server),
        notice=f"fetching {server} from Debian in the background, once",
        minutes=15,
        may_lack_it=True,
    )


WANTED = tuple(_wanted(server) for server in programs.SERVERS)


@pytest.fixture(scope="session")
def blackbox_programs() -> Programs:
    return _programs("blackbox")


@pytest.fixture(scope="session")
def busybox_programs() -> Programs:
    return _programs("busybox")


@pytest.fixture(scope="session")
def chromium_programs() -> Programs:
    return _programs("chromium")


@pytest.fixture(scope="session")
def consul_programs() -> Programs:
    return _programs("consul")


@pytest.fixture(scope="session")
def haproxy_programs() -> Programs:
    return _programs("haproxy")


@pytest.fixture(scope="session")
def knot_programs() -> Programs:
    return _programs("knot")


@pytest.fixture(scope="session")
def mariadb_programs() -> Programs:
    return _programs("mariadb")


@pytest.fixture(scope="session")
def nginx_programs() -> Programs:
    return _programs("nginx")


@pytest.fixture(scope="session")
def postgres_programs() -> Programs:
    return _programs("postgres")


@pytest.fixture(scope="session")
def prometheus_programs() -> Programs:
    return _programs("prometheus")


@pytest.fixture(scope="session")
def redis_programs() -> Programs:
    return _programs("redis")


@pytest.fixture
def make_consul(consul_programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Consul]]:
    """Starts agents, with the keyword arguments of ``Consul``."""
    with ExitStack() as running:

        def make(**options: Any) -> Consul:
            return running.enter_context(Consul(consul_programs, tmp_path_factory.mktemp("consul"), **options))

        yield make


@pytest.fixture
def consul(make_consul: Callable[..., Consul]) -> Consul:
    """One agent without ACLs and TLS, which knows no service yet."""
    return make_consul()


@pytest.fixture
def make_knot(knot_programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Knot]]:
    """Starts name servers, with the zones and the keyword arguments of ``Knot``."""
    with ExitStack() as running:

        def make(zones: dict[str, list[str] | None], **options: Any) -> Knot:
            return running.enter_context(Knot(knot_programs, tmp_path_factory.mktemp("knot"), zones, **options))

        yield make


@pytest.fixture
def make_mariadb(
    mariadb_programs: Programs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., MariaDb]]:
    """Starts databases, with the settings and the keyword arguments of ``MariaDb``."""
    with ExitStack() as running:

        def make(*settings: str, **options: Any) -> MariaDb:
            directory = tmp_path_factory.mktemp("mariadb")
            return running.enter_context(MariaDb(mariadb_programs, directory, *settings, **options))

        yield make


@pytest.fixture
def make_postgres(postgres_programs: Programs) -> Iterator[Callable[..., Postgres]]:
    """Starts databases, with the arguments of ``Postgres``."""
    with ExitStack() as running:

        def make(*access: str, **options: Any) -> Postgres:
            return running.enter_context(Postgres(postgres_programs, *access, **options))

        yield make


@pytest.fixture
def make_redis(redis_programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Redis]]:
    """Starts servers, with the settings of ``Redis``."""
    with ExitStack() as running:

        def make(*settings: str) -> Redis:
            return running.enter_context(Redis(redis_programs, tmp_path_factory.mktemp("redis"), *settings))

        yield make


@pytest.fixture
def make_nginx(nginx_programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Nginx]]:
    """Starts web servers, with the arguments of ``Nginx``."""
    with ExitStack() as running:

        def make(locations: str = "", **options: Any) -> Nginx:
            return running.enter_context(Nginx(nginx_programs, tmp_path_factory.mktemp("nginx"), locations, **options))

        yield make


def _programs(server: str) -> Programs:
    found = programs.state(server)
    if isinstance(found, Programs):
        return found
    if isinstance(found, Unavailable):
        pytest.fail(found.reason)
    log = found.log.read_text(errors="replace") if found.log.exists() else ""
    pytest.fail(f"{server} could not be fetched. The end of {found.log}:\n{log[-2000:]}")
