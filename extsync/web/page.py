"""The page at ``/``: files that are part of the package. It asks the status API for all that it shows."""

from __future__ import annotations

import hashlib
import zlib
from importlib import resources
from typing import Final

import msgspec
from aiohttp import web

FOLDER: Final = "assets"
"""Where the files are, in this package and in the paths of requests."""

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from anywhere else, nothing inline, and no text that becomes markup."""

HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


class _File(msgspec.Struct, frozen=True):
    content_type: str
    plain: bytes
    zipped: bytes
    tag: str


class Page:
    """The files, read once."""

    def __init__(self) -> None:
        folder = resources.files(__package__) / FOLDER
        self._files = {
            file.name: _read(file.read_bytes(), file.name.rpartition(".")[2])
            for file in sorted(folder.iterdir(), key=lambda one: one.name)
            if file.name.rpartition(".")[2] in _TYPES
        }

    def add_to(self, application: web.Application) -> None:
        """Adds the routes; paths in the page are relative, so that it works behind the API server's proxy."""
        application.router.add_get("/", self.index)
        application.router.add_get(f"/{FOLDER}/{{name}}", self.file)

    async def index(self, request: web.Request) -> web.Response:
        return self._answer(request, "index.html")

    async def file(self, request: web.Request) -> web.Response:
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            return web.Response(status=404, text="there is no such file of the page\n")
        headers = {**HEADERS, "Content-Type": file.content_type, "ETag": file.tag}
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.zipped, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.plain, headers=headers)


def _read(content: bytes, kind: str) -> _File:
    packer = zlib.compressobj(9, wbits=31)  # as gzip, without a time in it
    zipped = packer.compress(content) + packer.flush()
    return _File(_TYPES[kind], content, zipped, f'W/"{hashlib.sha256(content).hexdigest()[:16]}"')
