"""The check ``httpGet``: one request, as kubelet makes it.

Plain HTTP asks on a new connection each time, which is cheap and the truer check. HTTPS keeps its connection for some
attempts, since a handshake costs as much as some ten requests, and the server several times that.

It departs from kubelet in three more things. TLS is verified unless ``insecureSkipVerify``. A ``host`` that is a name
is what the request asks for (Host header, TLS server name) and never a name to look up, since the endpoint itself is
what is probed. And a redirect whose status is listed in ``expectedStatuses`` is an answer, not something to follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urljoin, urlsplit

from extsync import __version__
from extsync.errors import ConfigError
from extsync.health.base import PASSED, CheckContext, Failed, Follow, Keep, Passed, Request, Result, host_port
from extsync.health.http_framing import NEVER, UNKNOWN, end_of_answer
from extsync.health.http_message import BODY_LIMIT, Head, Malformed, parse_body, parse_head
from extsync.health.tls import Tls, asked_name, configured

if TYPE_CHECKING:
    from extsync.config.checks import HttpGet

_ALPN: Final = ("http/1.1",)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DEFAULT_STATUSES: Final = ((200, 399),)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_URL_CHARACTERS: Final = "/%?#:@!$&'()*+,;=~-._[]"
_KEPT: Final = Passed(keep=Keep.YES)
_KEPT_LATER: Final = Passed(keep=Keep.LATER)


@dataclass(init=False, repr=False, slots=True, unsafe_hash=True)  # no repr: headers may hold secrets
class HttpCheck:
    """Passes where the status is expected and, with ``expectedBody``, the body's first 64 KiB contain that text."""

    scheme: str
    method: str
    path: str
    name: str
    authority: str
    headers: bytes
    last_headers: bytes
    keeps: bool
    statuses: tuple[tuple[int, int], ...]
    body: bytes
    tls: Tls
    server_name: str

    def __init__(self, config: HttpGet, context: CheckContext) -> None:
        """Raises ConfigError where a header's variable is not set or a file of ``tlsConfig`` cannot be used."""
        headers = [(header.name, header.value.resolve(context.environ)) for header in config.http_headers]
        self.scheme = config.scheme.lower()
        self.method = config.method
        self.path = config.path.partition("#")[0]
        self.name = config.host or ""
        self.authority = next((value for name, value in headers if name.lower() == "host"), "")
        own = [value.lower() for name, value in headers if name.lower() == "connection"]
        self.keeps = self.scheme == "https" and not any("close" in value for value in own)
        self.last_headers = _header_lines(headers, closes=True)
        self.headers = _header_lines(headers, closes=not self.keeps)
        self.statuses = tuple((low, high) for low, high in config.expected_statuses)
        self.body = (config.expected_body or "").encode()
        # Plain HTTP has parameters too: a redirect may lead to HTTPS.
        https = self.scheme == "https"
        self.tls = (
            configured(config.tls_config, context.base_dir, *_ALPN, roots=context.roots)
            if https
            else Tls(protocols=_ALPN)
        )
        self.server_name = asked_name(config.tls_config, "")

    def request(self, host: str, port: int) -> Request:
        return self._request(self.scheme, self.name or host, port, self.path, self.authority, self.headers)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        try:
            head = parse_head(received)
        except Malformed as error:
            return Failed(str(error))
        if head is None:
            if eof:
                return Failed("connection closed " + ("in the headers" if received else "without an answer"))
            return None
        if head.status in _REDIRECTS and not self._is_answer(head.status):
            followed = self._redirect(request, head)
            if followed is not None:
                return followed
        if not self._is_expected(head.status):
            return Failed(f"{head.status}, expected {self._expected()}")
        if self.body:
            result = self._judge_body(head, received, eof)
            if result is not PASSED:
                return result
        return self._passed(head, received) if self.keeps and request.tls else PASSED

    def awaited(self, request: Request, received: bytes) -> str:
        try:
            return "headers" if parse_head(received) is None else "the body"
        except Malformed:
            return "headers"

    def describe(self, host: str, port: int) -> str:
        path = self.path.partition("?")[0]  # a query may hold a token
        return f"httpGet {self.scheme}://{host_port(host, port)}{path}"

    def _passed(self, head: Head, received: bytes) -> Passed:
        end = end_of_answer(head, received, to_head=self.method == "HEAD")
        if end == NEVER:
            return PASSED
        if end == UNKNOWN:
            return _KEPT_LATER
        return _KEPT if end == len(received) else PASSED

    def _request(self, scheme: str, host: str, port: int, path: str, authority: str, headers: bytes) -> Request:
        if not authority:
            authority = host_port(host, port)
            if port == _DEFAULT_PORTS[scheme]:
                authority = authority[: authority.rindex(":")]
        data = f"{self.method} {path} HTTP/1.1\r\nHost: {authority}\r\n".encode() + headers
        if scheme == "http":
            return Request(port, data, True, host=host, path=path)
        return Request(port, data, True, self.tls, self.server_name or host, host, path)

    def _redirect(self, request: Request, head: Head) -> Result | None:
        """Where the redirect leads; None where that is another host, so that the redirect itself is the answer."""
        location = head.get(b"location")
        if location is None:
            return None
        target = quote(location, safe=_URL_CHARACTERS)
        scheme = "https" if request.tls else "http"
        try:
            absolute = urlsplit(urljoin(f"{scheme}://{host_port(request.host, request.port)}{request.path}", target))
            port = absolute.port or _DEFAULT_PORTS.get(absolute.scheme, 0)
            relative = not urlsplit(target).netloc
        except ValueError:
            return Failed(f"{head.status} to an invalid address")
        if absolute.scheme not in _DEFAULT_PORTS or absolute.hostname != request.host.lower():
            return None
        path = (absolute.path or "/") + (f"?{absolute.query}" if absolute.query else "")
        authority = self.authority if relative else ""
        return Follow(self._request(absolute.scheme, request.host, port, path, authority, self.last_headers))

    def _judge_body(self, head: Head, received: bytes, eof: bool) -> Result | None:
        body = parse_body(head, received, eof)
        if self.body in body.data:
            return PASSED
        if body.fault:
            return Failed(body.fault)
        if not body.complete:
            return None
        where = f"first {BODY_LIMIT} bytes of the body" if len(body.data) >= BODY_LIMIT else "body"
        return Failed(f"{head.status}, but the {where} does not contain the expected text")

    def _is_expected(self, status: int) -> bool:
        for low, high in self.statuses:  # noqa: SIM110 - it is on the way of every attempt, and any() takes three times as long
            if low <= status <= high:
                return True
        return False

    def _is_answer(self, status: int) -> bool:
        return self.statuses != _DEFAULT_STATUSES and self._is_expected(status)

    def _expected(self) -> str:
        return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in self.statuses)


def _header_lines(headers: list[tuple[str, str]], *, closes: bool) -> bytes:
    """All header lines but Host, and the empty line. A header given replaces ours; an empty Accept removes it.

    ``closes``: there will be no other request on the connection.
    """
    given = {name.lower() for name, _ in headers}
    lines = [] if "user-agent" in given else [f"User-Agent: extsync/{__version__}"]
    if "accept" not in given:
        lines.append("Accept: */*")
    if closes and "connection" not in given:
        lines.append("Connection: close")
    for name, value in headers:
        if any(character in value for character in "\r\n\0"):
            raise ConfigError(f"the value of header {name} has a line break, which would begin another header")
        if name.lower() != "host" and (value or name.lower() != "accept"):
            lines.append(f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
