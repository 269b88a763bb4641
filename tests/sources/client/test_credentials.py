"""What requests carry: from the manifest, the environment and files, in virtual time where something hangs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from extsync.errors import ReadFailed
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.client.credentials import Carried, Credentials
from extsync.sources.client.secrets import MAX_SECRET, READ_TIMEOUT
from extsync.sources.offload import Offload, inline
from tests.sources.client.support import block
from tests.sources.support import context

T = TypeVar("T")


def credentials(
    base_dir: Path = Path(), *, environ: Mapping[str, str] | None = None, offload: Offload = inline, **keys: Any
) -> Credentials:
    surroundings = msgspec.structs.replace(context(base_dir, clock=VirtualClock()), environ=environ or {})
    return Credentials(block(**keys), surroundings, offload=offload)


async def carried(base_dir: Path = Path(), *, environ: Mapping[str, str] | None = None, **keys: Any) -> Carried:
    return await credentials(base_dir, environ=environ, **keys).carried("http")


async def refusal(base_dir: Path = Path(), **keys: Any) -> str:
    with pytest.raises(ReadFailed) as refused:
        await carried(base_dir, **keys)
    return str(refused.value)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@virtual_time
async def test_a_password_and_a_token_come_from_the_manifest_or_the_environment() -> None:
    found = await carried(basicAuth={"username": "anna", "password": "pässword"})
    assert found.headers == {"Authorization": basic("anna:pässword")}
    found = await carried(environ={"TOKEN": "t0k"}, authorization={"credentials": "${TOKEN}"})
    assert found.headers == {"Authorization": "Bearer t0k"}
    found = await carried(authorization={"type": "Token", "credentials": "a=b"}, httpHeaders={"X-Team": "shop"})
    assert found.headers == {"X-Team": "shop", "Authorization": "Token a=b"}


@virtual_time
async def test_a_file_is_read_for_every_request(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("one\n")
    made = credentials(tmp_path, basicAuth={"username": "u", "passwordFile": "password"})
    assert (await made.carried("http")).headers == {"Authorization": basic("u:one")}
    (tmp_path / "password").write_text(" two ")
    assert (await made.carried("http")).headers == {"Authorization": basic("u:two")}
    (tmp_path / "password").unlink()
    with pytest.raises(ReadFailed, match="there is no such file"):
        await made.carried("http")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such file"),
        (b"", "is empty, and should hold a password or a token"),
        (b"\n \n", "is empty"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"hunter2\r\nX-Admin: yes", "has a line break or another control character"),
        (b"x" * (MAX_SECRET + 1), "is larger than 64 KiB"),
    ],
)
async def test_a_file_that_holds_no_credentials_is_named_without_what_it_holds(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    reason = await refusal(tmp_path, authorization={"credentialsFile": "token"})
    assert reason.startswith(f"{tmp_path}/token: ")
    assert told in reason
    assert "hunter2" not in reason


async def test_a_variable_that_is_not_set_or_no_header_is_named() -> None:
    assert "the environment variable TOKEN is not set" in await refusal(authorization={"credentials": "${TOKEN}"})
    environ = {"KEY": "hunter2\nX-Admin: yes"}
    reason = await refusal(environ=environ, httpHeaders={"X-Key": "${KEY}"})
    assert reason == "the header X-Key: has a line break or another control character, which no header can carry"


async def test_a_proxy_keeps_its_credentials_to_itself() -> None:
    proxy = (await carried(environ={"P": "h%40x"}, proxyUrl="http://anna:${P}@proxy.example.com:3128")).proxy
    assert proxy is not None
    assert str(proxy.url) == "http://proxy.example.com:3128/"
    assert proxy.headers == {"Proxy-Authorization": basic("anna:h@x")}
    reason = await refusal(environ={"P": "hunter2"}, proxyUrl="${P}")
    assert reason == "proxyUrl is not the URL of a proxy: write http://host:port"


async def test_tls_contexts_are_made_where_tls_is_spoken() -> None:
    assert (await credentials().carried("http")).contexts is None
    made = credentials()
    contexts = (await made.carried("https")).contexts
    assert contexts is not None
    assert (await made.carried("https")).contexts is contexts
    assert (await credentials(proxyUrl="https://proxy.example.com").carried("http")).contexts is not None


async def test_nothing_shows_a_secret() -> None:
    made = credentials(authorization={"credentials": "hunter2"}, proxyUrl="http://u:hunter2@proxy.example.com")
    found = await made.carried("http")
    assert not any("hunter2" in repr(thing) for thing in (made, found, found.proxy))


@virtual_time
async def test_a_file_that_hangs_is_told_and_waited_for_by_one_thread_only(tmp_path: Path) -> None:
    begun = 0
    release = asyncio.Event()

    async def hanging(work: Callable[[], T], /) -> T:
        nonlocal begun
        begun += 1
        await release.wait()
        return work()

    (tmp_path / "token").write_text("abc")
    made = credentials(tmp_path, offload=hanging, authorization={"credentialsFile": "token"})
    for _ in range(3):
        with pytest.raises(ReadFailed, match=f"token: reading has not ended after {READ_TIMEOUT:g} s: is a mount gone"):
            await made.carried("http")
    assert begun == 1
    release.set()
    assert (await made.carried("http")).headers == {"Authorization": "Bearer abc"}
    made.close()


@virtual_time
async def test_one_request_that_gives_up_leaves_the_others_reading(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(work: Callable[[], T], /) -> T:
        await release.wait()
        return work()

    (tmp_path / "token").write_text("abc")
    made = credentials(tmp_path, offload=slow, authorization={"credentialsFile": "token"})
    first, second = (asyncio.create_task(made.carried("http")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    release.set()
    assert (await second).headers == {"Authorization": "Bearer abc"}
