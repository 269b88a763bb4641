"""Credentials are renewed when they age or the server refuses them."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from extsync.errors import ConfigError
from extsync.kube.credentials import Plugin, TokenFile, use_issued_certificate
from extsync.kube.exec_plugin import ExecPlugin, Issued
from extsync.seams.virtual import EPOCH, VirtualClock, virtual_time
from tests.kube.certificates import CERTIFICATE, KEY


class ScriptedPlugin:
    """Issues one after another what it was given, each after ``seconds``."""

    def __init__(self, *answers: Issued | ConfigError, seconds: float = 0.0) -> None:
        self.answers = list(answers)
        self.runs = 0
        self._seconds = seconds

    def __str__(self) -> str:
        return "exec plugin 'scripted'"

    async def issue(self) -> Issued:
        self.runs += 1
        await asyncio.sleep(self._seconds)
        answer = self.answers.pop(0)
        if isinstance(answer, ConfigError):
            raise answer
        return answer


def credentials(plugin: ScriptedPlugin) -> Plugin:
    return Plugin(cast(ExecPlugin, plugin), clock=VirtualClock(), tls=ssl.create_default_context())


def token(value: str, *, lasts: float | None = None) -> Issued:
    expires = None if lasts is None else datetime.fromtimestamp(EPOCH + lasts, UTC)
    return Issued(token=value, expiration_timestamp=expires)


def bearer(value: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {value}"),)


# ---- token files ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_rotated_token_is_used_within_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    tokens = TokenFile(path, clock=VirtualClock())
    assert await tokens.headers() == bearer("first")
    path.write_text("second\n")
    await asyncio.sleep(59)
    assert await tokens.headers() == bearer("first")
    await asyncio.sleep(1)
    assert await tokens.headers() == bearer("second")


@virtual_time
async def test_a_refused_token_is_read_again_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    tokens = TokenFile(path, clock=VirtualClock())
    await tokens.headers()
    assert not tokens.renew()
    path.write_text("second")
    assert tokens.renew()
    assert await tokens.headers() == bearer("second")


@virtual_time
async def test_a_token_stays_while_its_file_is_away_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    tokens = TokenFile(path, clock=VirtualClock())
    await tokens.headers()
    path.write_text("")
    await asyncio.sleep(60)
    assert await tokens.headers() == bearer("first")
    path.unlink()
    await asyncio.sleep(60)
    assert await tokens.headers() == bearer("first")


@virtual_time
async def test_a_token_file_must_be_there_at_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: FileNotFoundError"):
        await TokenFile(tmp_path / "token", clock=VirtualClock()).headers()
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        await TokenFile(tmp_path / "token", clock=VirtualClock()).headers()


@virtual_time
async def test_a_file_that_holds_something_else_than_a_token_is_refused_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\nInjected: header")
    with pytest.raises(ConfigError, match="control characters") as error:
        await TokenFile(path, clock=VirtualClock()).headers()
    assert "s3cret" not in str(error.value)


# ---- exec plugins ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_credential_without_expiry_is_kept_until_it_is_refused() -> None:
    plugin = ScriptedPlugin(token("first"), token("second"))
    issued = credentials(plugin)
    assert await issued.headers() == bearer("first")
    await asyncio.sleep(1e6)
    assert await issued.headers() == bearer("first")
    assert issued.renew()
    assert await issued.headers() == bearer("second")
    assert plugin.runs == 2


@virtual_time
async def test_a_credential_is_replaced_half_a_minute_before_it_expires() -> None:
    plugin = ScriptedPlugin(token("first", lasts=3600), token("second", lasts=7200))
    issued = credentials(plugin)
    assert await issued.headers() == bearer("first")
    await asyncio.sleep(3569)
    assert await issued.headers() == bearer("first")
    await asyncio.sleep(1)
    assert await issued.headers() == bearer("second")


@virtual_time
async def test_requests_at_the_same_time_share_one_run_of_the_plugin() -> None:
    plugin = ScriptedPlugin(token("first"), seconds=5)
    issued = credentials(plugin)
    assert await asyncio.gather(*(issued.headers() for _ in range(10))) == [bearer("first")] * 10
    assert plugin.runs == 1


@virtual_time
async def test_a_request_that_gives_up_does_not_end_the_plugin() -> None:
    plugin = ScriptedPlugin(token("first"), seconds=60)
    issued = credentials(plugin)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await issued.headers()
    assert await issued.headers() == bearer("first")
    assert plugin.runs == 1


@virtual_time
async def test_a_plugin_that_fails_is_asked_again_by_the_next_request() -> None:
    issued = credentials(ScriptedPlugin(ConfigError("not logged in"), token("first")))
    with pytest.raises(ConfigError, match="not logged in"):
        await issued.headers()
    assert await issued.headers() == bearer("first")


@virtual_time
async def test_a_plugin_that_hangs_is_given_up_after_five_minutes() -> None:
    plugin = ScriptedPlugin(token("late"), token("first"), seconds=1e9)
    issued = credentials(plugin)
    with pytest.raises(ConfigError, match="exec plugin 'scripted' gave no answer within 300 s"):
        await issued.headers()
    assert asyncio.get_running_loop().time() == 300


@virtual_time
async def test_an_issued_certificate_is_used_for_connections_instead_of_a_header() -> None:
    loaded: list[tuple[str, str]] = []

    class Recording(ssl.SSLContext):
        def load_cert_chain(self, certfile: object, keyfile: object = None, password: object = None) -> None:
            loaded.append((Path(str(certfile)).read_text(), Path(str(keyfile)).read_text()))

    plugin = ScriptedPlugin(Issued(client_certificate_data="certificate", client_key_data="key"))
    issued = Plugin(cast(ExecPlugin, plugin), clock=VirtualClock(), tls=Recording(ssl.PROTOCOL_TLS_CLIENT))
    assert await issued.headers() == ()
    assert loaded == [("certificate", "key")]


async def test_what_holds_a_secret_shows_none_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    file = TokenFile(tmp_path / "token", clock=VirtualClock())
    await file.headers()
    plugin = credentials(ScriptedPlugin(token("s3cret")))
    await plugin.headers()
    for holder in (file, plugin):
        assert "s3cret" not in repr(holder)


# ---- client certificates --------------------------------------------------------------------------------------------


def test_a_key_that_was_issued_is_never_on_disk_and_leaves_no_descriptor() -> None:
    opened: list[str] = []
    before = len(os.listdir("/dev/fd"))

    class Recording(ssl.SSLContext):
        def load_cert_chain(self, certfile: object, keyfile: object = None, password: object = None) -> None:
            opened.extend([str(certfile), str(keyfile)])
            super().load_cert_chain(str(certfile), str(keyfile))

    use_issued_certificate(Recording(ssl.PROTOCOL_TLS_CLIENT), CERTIFICATE, KEY)
    assert all(re.fullmatch("/dev/fd/[0-9]+", path) for path in opened)
    assert len(os.listdir("/dev/fd")) == before


def test_a_certificate_of_any_length_ends_in_time() -> None:
    with pytest.raises(ConfigError, match="too long"):
        use_issued_certificate(ssl.create_default_context(), CERTIFICATE + "#" * (1 << 20), KEY)


def test_a_certificate_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="client certificate and its key cannot be used"):
        use_issued_certificate(ssl.create_default_context(), "certificate", "key")
