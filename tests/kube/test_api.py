"""KubeStore against a server that misbehaves: what it sends, and what comes of each way to be answered badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from extsync import __version__
from extsync.errors import (
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from extsync.kube import transport
from extsync.kube.api import KubeStore
from extsync.kube.credentials import Headers, TokenFile
from extsync.kube.store import Store, WatchType
from extsync.objects import EndpointSlice, Node, ObjectMeta, Service
from extsync.seams import SystemClock
from tests.kube.fake_api import FakeApi, answer, fake_api, refusal, silence, stream, text

pytestmark = pytest.mark.sockets

SLICE: dict[str, Any] = {
    "metadata": {"name": "orders-1", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {}}],
}
OBJECT = EndpointSlice(
    metadata=ObjectMeta(name="orders-1", namespace="shop", uid="u", resource_version="7"), address_type="IPv4"
)
PATH = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with fake_api() as fake:
        yield fake


@pytest.fixture
async def store(api: FakeApi) -> AsyncIterator[KubeStore]:
    async with api.store() as store:
        yield store


def line(type_: str, content: dict[str, Any]) -> bytes:
    return json.dumps({"type": type_, "object": content}).encode() + b"\n"


async def events(store: Store, version: str | None = "1") -> list[WatchType]:
    return [event.type async for event in store.watch(EndpointSlice, resource_version=version, namespace="shop")]


# ---- what is sent ---------------------------------------------------------------------------------------------------


async def test_how_far_the_server_has_come_is_asked_without_objects(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer({"metadata": {"resourceVersion": "12"}, "items": [{"metadata": {"name": "orders-1"}}]})]
    assert await store.version(EndpointSlice, namespace="shop") == "12"
    assert api.asked == [f"GET {PATH}?limit=1"]
    assert api.requests[0].headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")


async def test_a_list_of_no_version_is_unavailable(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer({"items": []})]
    with pytest.raises(Unavailable, match="not from a Kubernetes API"):
        await store.version(EndpointSlice)


class Halted(SystemClock):
    """Deadlines of tasks pass, but its time goes on only when it is told to, as while a machine is suspended."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


async def test_writes_tell_the_server_who_writes_and_how_long_it_may_take(api: FakeApi) -> None:
    api.answers = [answer(SLICE)]
    async with api.store(clock=Halted()) as store:
        await store.create(OBJECT, timeout=7.5)
        await store.delete(EndpointSlice, "shop", "orders-1", uid="u", resource_version="7", timeout=3)
    assert api.asked == [
        f"POST {PATH}?fieldManager=extsync&fieldValidation=Ignore&timeout=7500ms",
        f"DELETE {PATH}/orders-1?fieldManager=extsync&timeout=3000ms",
    ]
    assert api.bodies[1]["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert api.requests[0].headers["Content-Type"] == "application/json"
    assert api.requests[0].headers["User-Agent"] == f"extsync/{__version__}"


async def test_an_apply_is_never_forced(api: FakeApi, store: KubeStore) -> None:
    service = {"metadata": {"name": "orders", "namespace": "shop"}}
    api.answers = [answer(service)]
    await store.apply_service(service, field_manager="extsync")
    request = api.requests[0]
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert "force" not in request.query
    assert api.bodies[0] == service | {"apiVersion": "v1", "kind": "Service"}


async def test_objects_outside_of_namespaces_and_servers_below_a_path_are_found(api: FakeApi) -> None:
    api.answers = [answer({"metadata": {"name": "a/b"}})]
    async with api.store(prefix="/k8s/clusters/c-1/") as store:
        await store.get(Node, "", "a/b")
        await store.get(Service, "shop", "orders")
    assert api.asked == [
        "GET /k8s/clusters/c-1/api/v1/nodes/a%2Fb",
        "GET /k8s/clusters/c-1/api/v1/namespaces/shop/services/orders",
    ]


async def test_an_update_of_what_the_store_wrote_itself_is_one_request(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer(SLICE)]
    created = await store.create(OBJECT)
    await store.update(created)
    assert [request.method for request in api.requests] == ["POST", "PUT"]


async def test_an_update_of_another_version_first_reads_what_there_is(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer(SLICE | {"future": 1}), answer(SLICE | {"future": 1})]
    await store.update(OBJECT)
    await store.update(OBJECT)  # the answer had a field that has to be carried again
    assert [request.method for request in api.requests] == ["GET", "PUT", "GET", "PUT"]
    assert api.bodies[1]["future"] == api.bodies[3]["future"] == 1


@pytest.mark.parametrize("there", [{"uid": "other", "resourceVersion": "7"}, {"uid": "u", "resourceVersion": "8"}])
async def test_an_update_of_what_is_not_there_any_more_is_not_sent(
    api: FakeApi, store: KubeStore, there: dict[str, str]
) -> None:
    api.answers = [answer(SLICE | {"metadata": SLICE["metadata"] | there})]
    with pytest.raises(Conflict):
        await store.update(OBJECT)
    assert [request.method for request in api.requests] == ["GET"]


async def test_a_conflict_over_nothing_is_not_found(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer(SLICE), refusal(409, "Precondition failed: UID in object meta: "), refusal(404)]
    with pytest.raises(NotFound):
        await store.update(OBJECT)


async def test_a_conflict_stays_one_where_no_more_can_be_learnt(api: FakeApi, store: KubeStore) -> None:
    api.answers = [answer(SLICE), refusal(409), refusal(503)]
    with pytest.raises(Conflict):
        await store.update(OBJECT)


# ---- lists ----------------------------------------------------------------------------------------------------------


async def test_pages_follow_each_other_by_their_tokens(api: FakeApi, store: KubeStore) -> None:
    api.answers = [
        answer({"metadata": {"resourceVersion": "9", "continue": "a b"}, "items": [SLICE]}),
        answer({"metadata": {"resourceVersion": "9"}, "items": [SLICE]}),
    ]
    listing = await store.list(EndpointSlice, namespace="shop", label_selector="a=b")
    assert (len(listing.items), listing.resource_version) == (2, "9")
    assert [dict(request.query) for request in api.requests] == [
        {"labelSelector": "a=b", "limit": "500"},
        {"labelSelector": "a=b", "limit": "500", "continue": "a b"},
    ]


async def test_a_list_whose_pages_expire_is_read_again_in_one_piece(api: FakeApi, store: KubeStore) -> None:
    api.answers = [
        answer({"metadata": {"resourceVersion": "9", "continue": "t"}, "items": [SLICE]}),
        refusal(410),
        answer({"metadata": {"resourceVersion": "99"}, "items": [SLICE, SLICE]}),
    ]
    listing = await store.list(EndpointSlice, namespace="shop")
    assert (len(listing.items), listing.resource_version) == (2, "99")
    assert api.asked[-1] == f"GET {PATH}"


async def test_a_list_that_expires_twice_is_expired(api: FakeApi, store: KubeStore) -> None:
    api.answers = [refusal(410)]
    with pytest.raises(Expired):
        await store.list(EndpointSlice)
    assert len(api.requests) == 2


# ---- watches --------------------------------------------------------------------------------------------------------


async def test_a_watch_asks_for_bookmarks_and_a_watch_list_for_all_objects(api: FakeApi, store: KubeStore) -> None:
    api.answers = [stream()]
    await events(store, "5")
    await events(store, None)
    common = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "300"}
    assert [dict(request.query) for request in api.requests] == [
        common | {"resourceVersion": "5"},
        common | {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    ]


async def test_events_are_found_however_the_network_cuts_them(api: FakeApi, store: KubeStore) -> None:
    whole = line("ADDED", SLICE) + line("MODIFIED", SLICE) + line("DELETED", SLICE)
    api.answers = [stream(*(whole[start : start + 7] for start in range(0, len(whole), 7)))]
    assert await events(store) == [WatchType.ADDED, WatchType.MODIFIED, WatchType.DELETED]


@pytest.mark.parametrize("then", ["cut", "end"])
async def test_a_watch_that_ends_within_a_line_is_unavailable(api: FakeApi, store: KubeStore, then: str) -> None:
    api.answers = [stream(line("ADDED", SLICE), line("ADDED", SLICE)[:20], then=then)]
    found = store.watch(EndpointSlice, resource_version="1")
    await anext(found)
    with pytest.raises(Unavailable):
        await anext(found)


async def test_a_watch_that_falls_silent_is_unavailable(api: FakeApi) -> None:
    api.answers = [stream(line("ADDED", SLICE), then="hang")]
    async with api.store(watch_inactivity=0.1) as store:
        found = store.watch(EndpointSlice, resource_version="1")
        await anext(found)
        with pytest.raises(Unavailable, match="did not answer in time"):
            await anext(found)


async def test_a_watch_on_which_bytes_drip_is_unavailable(api: FakeApi) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line("ADDED", SLICE))
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    api.answers = [drip]
    async with api.store(watch_inactivity=0.2) as store:
        found = store.watch(EndpointSlice, resource_version="1")
        await anext(found)
        with pytest.raises(Unavailable, match="did not answer in time"):
            await anext(found)


async def test_a_watch_that_is_not_answered_is_unavailable(api: FakeApi) -> None:
    api.answers = [silence]
    async with api.store(watch_inactivity=0.1) as store:
        with pytest.raises(Unavailable, match="did not answer in time"):
            await events(store)


async def test_a_watch_ends_also_where_the_server_forgets_to(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extsync.kube.api.WATCH_GRACE", 0.0)
    api.answers = [stream(line("ADDED", SLICE), then="hang")]
    async with api.store() as store:
        found = [event.type async for event in store.watch(EndpointSlice, resource_version="1", timeout=0.1)]
    assert found == [WatchType.ADDED]


async def test_an_old_version_is_expired_inside_a_success(api: FakeApi, store: KubeStore) -> None:
    api.answers = [stream(line("ERROR", {"code": 410, "reason": "Expired", "message": "too old resource version"}))]
    with pytest.raises(Expired):
        await events(store)


async def test_an_old_version_is_expired_as_an_answer(api: FakeApi, store: KubeStore) -> None:
    api.answers = [refusal(410)]
    with pytest.raises(Expired):
        await events(store)


async def test_a_watch_list_that_an_old_server_refuses_is_invalid(api: FakeApi, store: KubeStore) -> None:
    api.answers = [refusal(422)]
    with pytest.raises(Invalid):
        await events(store, None)


async def test_a_watch_list_that_an_old_etcd_refuses_is_invalid(api: FakeApi, store: KubeStore) -> None:
    failure = {"code": 500, "message": "etcdserver: RequestWatchProgress is disabled"}
    api.answers = [stream(line("ERROR", failure))]
    with pytest.raises(Invalid, match="RequestWatchProgress"):
        await events(store, None)


async def test_a_failure_after_the_initial_events_is_no_refusal_of_them(api: FakeApi, store: KubeStore) -> None:
    end = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
    api.answers = [stream(line("BOOKMARK", end), line("ERROR", {"code": 500, "message": "etcdserver: no leader"}))]
    with pytest.raises(Unavailable):
        await events(store, None)


async def test_an_event_that_is_not_json_is_unavailable(api: FakeApi, store: KubeStore) -> None:
    api.answers = [stream(b"<html>\n")]
    with pytest.raises(Unavailable, match="not from a Kubernetes API"):
        await events(store)


async def test_a_line_without_end_is_not_read_for_ever(
    api: FakeApi, store: KubeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_LINE", 100)
    api.answers = [stream(b"x" * 50, b"x" * 51, then="hang")]
    with pytest.raises(TooLarge):
        await events(store)


# ---- answers that are none ------------------------------------------------------------------------------------------


async def test_a_throttled_request_says_when_to_come_back(api: FakeApi, store: KubeStore) -> None:
    api.answers = [refusal(429, headers={"Retry-After": "4"}), refusal(429, retryAfterSeconds=6), refusal(429)]
    waits = []
    for _ in range(3):
        with pytest.raises(TooManyRequests) as refused:
            await store.get(EndpointSlice, "shop", "orders-1")
        waits.append(refused.value.retry_after)
    assert waits == [4.0, 6.0, None]


async def test_an_overloaded_server_may_say_when_to_come_back(api: FakeApi, store: KubeStore) -> None:
    api.answers = [refusal(503, headers={"Retry-After": "2"}), refusal(503, headers={"Retry-After": "soon"})]
    waits = []
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            await store.get(EndpointSlice, "shop", "orders-1")
        waits.append(refused.value.retry_after)
    assert waits == [2.0, None]


@pytest.mark.parametrize(
    "bad",
    [
        text("<html>Sign in</html>"),
        text("<html>Bad gateway</html>", status=502),
        text('{"metadata": {"name": "orders', content_type="application/json"),
        text("", content_type="application/json"),
        answer([]),
        answer({"metadata": {"name": 5}}),
        text("busy", status=500, content_type="text/plain"),
        stream(b'{"meta', then="cut"),
    ],
    ids=["page", "bad-gateway", "cut-json", "empty", "a-list", "wrong-type", "plain-text", "cut-connection"],
)
async def test_an_answer_that_makes_no_sense_is_unavailable(api: FakeApi, store: KubeStore, bad: Any) -> None:
    api.answers = [bad]
    with pytest.raises(Unavailable):
        await store.get(EndpointSlice, "shop", "orders-1")
    with pytest.raises(Unavailable):
        await store.list(EndpointSlice)


async def test_a_page_of_a_proxy_is_called_that(api: FakeApi, store: KubeStore) -> None:
    api.answers = [text("<html>Forbidden by the company</html>", status=403)]
    with pytest.raises(Forbidden, match="a web page instead of an answer from the Kubernetes API"):
        await store.get(EndpointSlice, "shop", "orders-1")


async def test_a_redirect_is_not_followed(api: FakeApi, store: KubeStore) -> None:
    api.answers = [text("", status=302, headers={"Location": "/login"})]
    with pytest.raises(Unavailable, match="302"):
        await store.get(EndpointSlice, "shop", "orders-1")
    assert len(api.requests) == 1


async def test_a_request_that_is_not_answered_ends_at_its_deadline(api: FakeApi, store: KubeStore) -> None:
    api.answers = [silence]
    with pytest.raises(Unavailable, match=r"get EndpointSlice shop/orders-1: .* did not answer in time"):
        await store.get(EndpointSlice, "shop", "orders-1", timeout=0.1)


async def test_an_answer_that_stops_half_way_ends_at_its_deadline(api: FakeApi, store: KubeStore) -> None:
    api.answers = [stream(b'{"metadata"', then="hang")]
    with pytest.raises(Unavailable, match="did not answer in time"):
        await store.get(EndpointSlice, "shop", "orders-1", timeout=0.1)


async def test_an_answer_without_end_is_not_read_for_ever(
    api: FakeApi, store: KubeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 100)
    api.answers = [stream(b"x" * 101, then="hang")]
    with pytest.raises(TooLarge):
        await store.get(EndpointSlice, "shop", "orders-1")


# ---- credentials ----------------------------------------------------------------------------------------------------


class Tokens:
    """Credentials that have a new token after each refusal, until there is no other."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    async def headers(self) -> Headers:
        return (("Authorization", f"Bearer {self._tokens[0]}"),)

    def renew(self) -> bool:
        if len(self._tokens) == 1:
            return False
        self._tokens.pop(0)
        return True


async def test_a_refused_token_is_renewed_once_for_a_request(api: FakeApi) -> None:
    api.answers = [refusal(401), answer(SLICE)]
    async with api.store(credentials=Tokens("old", "new")) as store:
        await store.update(msgspec.structs.replace(OBJECT))
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer old", "Bearer new", "Bearer new"]


class SlowTokens(Tokens):
    """Each request of a token takes so many seconds of ``clock``."""

    def __init__(self, clock: Halted, seconds: float, *tokens: str) -> None:
        super().__init__(*tokens)
        self._clock = clock
        self._seconds = seconds

    async def headers(self) -> Headers:
        self._clock.now += self._seconds
        return await super().headers()


async def test_a_write_tells_the_server_what_is_left_when_it_is_sent(api: FakeApi) -> None:
    """And not what there was before the credentials were there, or before it was refused the first time."""
    api.answers = [refusal(401), answer(SLICE)]
    clock = Halted()
    async with api.store(clock=clock, credentials=SlowTokens(clock, 2.0, "old", "new")) as store:
        await store.create(OBJECT, timeout=7.5)
    assert [request.query["timeout"] for request in api.requests] == ["5500ms", "3500ms"]


async def test_a_write_that_was_suspended_for_too_long_before_it_was_sent_is_not_sent(api: FakeApi) -> None:
    api.answers = [answer(SLICE)]
    clock = Halted()
    async with api.store(clock=clock, credentials=SlowTokens(clock, 60.0, "old")) as store:
        with pytest.raises(Unavailable, match="did not answer in time"):
            await store.create(OBJECT, timeout=7.5)
    assert api.requests == []


async def test_whom_to_impersonate_is_sent_with_every_request(api: FakeApi) -> None:
    api.answers = [answer(SLICE)]
    headers = (("Impersonate-User", "jane"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops"))
    async with api.store(headers=headers) as store:
        await store.get(EndpointSlice, "shop", "orders-1")
    assert api.requests[0].headers["Impersonate-User"] == "jane"
    assert api.requests[0].headers.getall("Impersonate-Group") == ["dev", "ops"]


async def test_missing_credentials_make_a_request_unavailable(api: FakeApi) -> None:
    api.answers = [answer(SLICE)]
    async with api.store(credentials=TokenFile(Path("/none/token"), clock=SystemClock())) as store:
        with pytest.raises(Unavailable, match="there are no credentials: the token file /none/token"):
            await store.get(EndpointSlice, "shop", "orders-1")
    assert api.requests == []


async def test_a_token_that_cannot_be_renewed_is_forbidden(api: FakeApi) -> None:
    api.answers = [refusal(401, "Unauthorized")]
    async with api.store(credentials=Tokens("old")) as store:
        with pytest.raises(Forbidden) as refused:
            await store.get(EndpointSlice, "shop", "orders-1")
    assert len(api.requests) == 1
    assert "old" not in str(refused.value)
