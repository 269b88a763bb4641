"""The client asks no address that is denied: not by a URL, a redirect, a proxy or a name."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from extsync.address_policy import AddressPolicy, AddressRules, Lists, Scope
from extsync.errors import ReadFailed
from extsync.seams import SystemDialer
from extsync.seams.resolving import JudgingResolver, Refuse
from extsync.sources.client import Client
from tests.health.listeners import LOOPBACK, listening
from tests.sources.client.support import LIMIT, OK, Asked, block, redirect
from tests.sources.support import GENEROUS, context

pytestmark = pytest.mark.sockets

METADATA = "169.254.169.254"


class Names(AbstractResolver):
    """A name server under somebody else's hand: gives the next addresses each time it is asked, then the last."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
            for address in answer
        ]

    async def close(self) -> None: ...


class NamingDialer(SystemDialer):
    """Resolves by ``names``; what is resolved counts for one connection."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def connector(self, *, tls: Any = True, limit: int = 100, refuse: Refuse | None = None) -> aiohttp.BaseConnector:
        assert refuse is not None
        return aiohttp.TCPConnector(
            ssl=tls, limit=limit, resolver=JudgingResolver(refuse, self._names), use_dns_cache=False, force_close=True
        )


def contacted(*, allowed: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> Scope:
    return AddressPolicy(AddressRules(contacted=Lists(allowed, denied))).contacted("default")


@asynccontextmanager
async def client(scope: Scope | None = None, names: Names | None = None, **keys: Any) -> AsyncIterator[Client]:
    surroundings = msgspec.structs.replace(context(Path()), contacts=scope or contacted(), environ={})
    if names is not None:
        surroundings = msgspec.structs.replace(surroundings, dialer=NamingDialer(names))
    made = Client(block(**keys), surroundings, max_body=LIMIT)
    try:
        yield made
    finally:
        await made.close()


async def refusal(made: Client, url: str) -> str:
    with pytest.raises(ReadFailed) as failed:
        await made.get(url, timeout=GENEROUS)
    return str(failed.value)


@pytest.mark.parametrize(
    "host", [METADATA, f"[::ffff:{METADATA}]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0"]
)
async def test_an_address_in_a_url_that_is_denied_is_not_asked(host: str) -> None:
    async with client() as made:
        told = await refusal(made, f"http://{host}/latest/meta-data?token=hunter2")
    assert "is not asked: " in told
    assert "contactAllowedCidrs" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "①⑥⑨.254.169.254"]
)
async def test_other_spellings_of_a_denied_address_lead_nowhere(host: str) -> None:
    async with client() as made:
        assert "is not asked" in await refusal(made, f"http://{host}/")
        assert "is not asked" in await refusal(made, f"http://{LOOPBACK}.:1/")
    async with client(proxyUrl=f"http://{host}:3128") as made:
        assert "is not asked" in await refusal(made, "http://192.0.2.1/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_a_denied_address_is_refused_before_anything_is_sent(status: int) -> None:
    guarded = Asked(OK)
    scope = contacted(denied=("127.0.0.2/32",))
    async with listening(guarded, host="127.0.0.2") as port:
        asked = Asked(redirect(f"http://127.0.0.2:{port}/secret", status))
        async with listening(asked) as first, client(scope) as made:
            told = await refusal(made, f"http://{LOOPBACK}:{first}/")
    assert len(asked.heads) == 1
    assert guarded.heads == []
    assert "redirected to http://127.0.0.2" in told
    assert "127.0.0.2 is in 127.0.0.2/32, which contactDeniedCidrs of the settings denies" in told


async def test_a_redirect_to_the_metadata_server_is_refused() -> None:
    asked = Asked(redirect(f"http://{METADATA}/latest/meta-data/iam/"))
    async with listening(asked) as port, client() as made:
        assert "the link-local addresses" in await refusal(made, f"http://{LOOPBACK}:{port}/")


async def test_a_redirect_to_a_name_that_resolves_to_a_denied_address_is_refused() -> None:
    names = Names((METADATA,))
    asked = Asked(redirect("http://lists.example.org/"))
    async with listening(asked) as port, client(names=names) as made:
        told = await refusal(made, f"http://{LOOPBACK}:{port}/")
    assert f"lists.example.org resolves to what is denied: {METADATA} is in" in told


async def test_a_name_is_judged_by_what_it_resolves_to_at_each_connection() -> None:
    names = Names((LOOPBACK,), (METADATA,))
    asked = Asked(OK)
    async with listening(asked) as port, client(names=names) as made:
        url = f"http://lists.example.org:{port}/"
        assert (await made.get(url, timeout=GENEROUS)).status == 200
        told = await refusal(made, url)
    assert names.asked == 2
    assert len(asked.heads) == 1
    assert "resolves to what is denied" in told


async def test_of_several_addresses_of_a_name_those_that_are_denied_are_passed_over() -> None:
    guarded = Asked(OK)
    scope, names = contacted(denied=("127.0.0.2/32",)), Names(("127.0.0.2", LOOPBACK))
    async with listening(guarded, host="127.0.0.2") as port, client(scope, names) as made:
        told = await refusal(made, f"http://lists.example.org:{port}/")
    assert guarded.heads == []
    assert "resolves to what is denied" not in told, "the other one was tried, and nobody listens there"


async def test_a_proxy_at_a_denied_address_is_not_asked_nor_a_denied_address_through_a_proxy() -> None:
    proxy = Asked(OK)
    async with listening(proxy) as port:
        async with client(proxyUrl=f"http://{METADATA}:3128") as made:
            assert METADATA in await refusal(made, "http://192.0.2.1/")
        async with client(proxyUrl=f"http://{LOOPBACK}:{port}") as made:
            assert METADATA in await refusal(made, f"http://{METADATA}/")
    assert proxy.heads == []


async def test_where_networks_are_allowed_only_they_are_asked() -> None:
    asked = Asked(OK)
    async with listening(asked) as port:
        async with client(contacted(allowed=("192.0.2.0/24",))) as made:
            assert "in none of the networks of contactAllowedCidrs" in await refusal(made, f"http://{LOOPBACK}:{port}/")
        async with client(contacted(allowed=("127.0.0.0/8",))) as made:
            assert (await made.get(f"http://localhost:{port}/", timeout=GENEROUS)).status == 200
    assert len(asked.heads) == 1
