"""The files of the page: served with a strict policy, whole in the wheel, and no text in them becomes markup."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from extsync.web.page import Page

FILES = {
    file.name: file.read_text() for file in (resources.files("extsync.web") / "assets").iterdir() if file.is_file()
}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))
ROOT = Path(__file__).parents[2]


async def asked(name: str, **headers: str) -> web.Response:
    page = Page()
    request = make_mocked_request(
        "GET", "/", headers={key.replace("_", "-"): value for key, value in headers.items()}, match_info={"name": name}
    )
    return await (page.file(request) if name else page.index(request))


def body(answer: web.Response) -> bytes:
    assert isinstance(answer.body, bytes)
    return answer.body


async def test_the_page_runs_nothing_but_its_own_files() -> None:
    answer = await asked("")
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert answer.content_type == "text/html"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert {policy[kind] for kind in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_with_the_same_headers(name: str) -> None:
    answer = await asked(name)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"]
    assert body(answer).decode() == FILES[name]


async def test_what_has_not_changed_is_not_sent_again_and_the_rest_is_compressed() -> None:
    plain = await asked("app.js")
    zipped = await asked("app.js", Accept_Encoding="br, gzip")
    assert gzip.decompress(body(zipped)) == body(plain)
    assert zipped.headers["Content-Encoding"] == "gzip"
    again = await asked("app.js", If_None_Match=plain.headers["ETag"])
    assert (again.status, again.body) == (304, None)


@pytest.mark.parametrize("name", ["nothing.js", "../page.py", "..%2fpage.py", "/etc/passwd"])
async def test_nothing_else_is_served(name: str) -> None:
    assert (await asked(name)).status == 404


def test_nothing_comes_from_elsewhere() -> None:
    for name, text in FILES.items():
        known = ("http://www.w3.org/2000/svg",)
        assert [url for url in re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[^\s\"']*", text) if url not in known] == [], (
            name
        )
    assert re.findall(r"<(?:script|style)(?![^>]*\bsrc=)[^>]*>|\son\w+=|\sstyle=", FILES["index.html"]) == []
    absolute = re.findall(r"""(?:src|href)="/|from "/|fetch\([`"]/|EventSource\([`"]/""", "".join(FILES.values()))
    assert absolute == []  # behind the API server's proxy there is a path before each


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_text_becomes_markup_or_code(name: str) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc|javascript:"
    assert re.findall(sinks, FILES[name]) == []


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r'(?:src|href)="assets/([^"]+)"', FILES["index.html"])
    named += re.findall(r'from "\./([^"]+)"', "".join(FILES.values()))
    assert set(named) | {"index.html"} == set(FILES)


def test_the_page_is_small() -> None:
    assert sum(len(gzip.compress(text.encode())) for text in FILES.values()) < 40_000


def test_the_files_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    packed = zipfile.ZipFile(wheel).namelist()
    assert {f"extsync/web/assets/{name}" for name in FILES} <= set(packed)
