"""The source against a real web server: files with ETags, basic authentication, TLS."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extsync.model import Outcome
from extsync.sources.http import HttpSource
from tests.health.certificates import Authority
from tests.servers.nginx import Nginx
from tests.sources.http.support import block
from tests.sources.support import context, running

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed"),
]


def source(url: str, base_dir: Path = Path(), **keys: Any) -> HttpSource:
    return HttpSource(block(url=url, refreshInterval="50ms", **keys), context(base_dir))


def publish(server: Nginx, *targets: str) -> None:
    """Renames a new file into place, as one must: a file that is written in place is half there for a moment."""
    text = ", ".join(f'"{target}"' for target in targets)
    (server.root / "new").write_text(f'[{{"targets": [{text}]}}]')
    (server.root / "new").rename(server.root / "sd.json")


async def answers(server: Nginx, status: int) -> None:
    """Waits until it has answered with that status for the file."""
    while not re.search(rf'"GET /sd\.json [^"]*" {status} ', server.access_log.read_text()):  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.01)


async def test_a_file_is_read_again_when_it_has_changed_and_only_confirmed_otherwise(
    make_nginx: Callable[..., Nginx],
) -> None:
    server = make_nginx()
    publish(server, "10.0.0.1:80")
    async with running(source(f"{server.url}/sd.json")) as reports:
        await reports.addresses("10.0.0.1")
        await answers(server, 304)
        publish(server, "10.0.0.1:80", "10.0.0.2:80")
        await reports.addresses("10.0.0.1", "10.0.0.2")
        (server.root / "sd.json").unlink()
        report = await reports.until(lambda report: report.outcome is Outcome.ERROR)
        assert "has nothing there (status 404 Not Found)" in report.detail
        publish(server, "10.0.0.3:80")
        await reports.addresses("10.0.0.3")
        server.kill()
        await reports.until(lambda report: report.outcome is Outcome.ERROR)
        server.start()
        await reports.addresses("10.0.0.3")


async def test_a_file_of_another_type_is_refused(make_nginx: Callable[..., Nginx]) -> None:
    server = make_nginx()
    (server.root / "index.html").write_text("<html></html>")
    (server.root / "sd").write_text("[]")
    for path, told in (("/", "an HTML page instead of JSON"), ("/sd", "Content-Type 'application/octet-stream'")):
        async with running(source(server.url + path)) as reports:
            report = await reports.until(lambda report: True)
            assert (report.outcome, told in report.detail) == (Outcome.ERROR, True)


async def test_a_password_and_a_certificate_are_asked_for_and_given(
    make_nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    authority.issue("client")
    (tmp_path / "users").write_text("anna:{PLAIN}hunter2\n")
    (tmp_path / "password").write_text("hunter2\n")
    settings = f"""
        auth_basic "inventory";
        auth_basic_user_file "{tmp_path}/users";
        ssl_client_certificate "{authority.certificate}";
        ssl_verify_client optional;
        location = /picky.json {{ if ($ssl_client_verify != SUCCESS) {{ return 403; }} try_files /sd.json =404; }}
    """
    server = make_nginx(settings, tls=authority.issue("server"))
    publish(server, "10.0.0.1:80")
    login: dict[str, Any] = {"basicAuth": {"username": "anna", "passwordFile": "password"}}
    trust = {"caFile": "ca.pem"}
    shown = {**trust, "certFile": "client.pem", "keyFile": "client.key"}

    async def outcome(path: str, **keys: Any) -> tuple[Outcome, str]:
        async with running(source(server.https_url + path, tmp_path, **keys)) as reports:
            report = await reports.until(lambda report: True)
            assert "hunter2" not in report.detail
            return report.outcome, report.detail

    assert (await outcome("/sd.json", tlsConfig=trust, **login))[0] is Outcome.FOUND
    assert "authority that is not trusted" in (await outcome("/sd.json", **login))[1]
    assert "wants other credentials (status 401" in (await outcome("/sd.json", tlsConfig=trust))[1]
    assert "refuses access (status 403" in (await outcome("/picky.json", tlsConfig=trust, **login))[1]
    assert (await outcome("/picky.json", tlsConfig=shown, **login))[0] is Outcome.FOUND
    plain = source(server.https_url.replace("https", "http") + "/sd.json", tmp_path)
    async with running(plain) as reports:
        report = await reports.until(lambda report: True)
        assert "speaks TLS: begin the URL with https://" in report.detail
