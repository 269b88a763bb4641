"""One HTTP request at a time, from the standard library: the tests' own way to the API server, apart from extsync's."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

REQUEST_SECONDS = 10.0


class RequestFailedError(Exception):
    """The answer was an error; ``code`` is its HTTP status, the message has its body."""

    def __init__(self, code: int, body: str) -> None:
        super().__init__(f"{code}: {body}")
        self.code = code


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    ca_file: Path | None = None,
) -> bytes:
    """Send one request and return the body of the answer.

    Raises:
        RequestFailedError: the answer's status is an error.
        OSError: no connection, no answer within ``REQUEST_SECONDS``, or no such ``ca_file``.
    """
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # loopback is behind no proxy
    if ca_file is not None:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=REQUEST_SECONDS) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise RequestFailedError(error.code, error.read().decode(errors="replace")) from error
    return bytes(content)


def is_ok(url: str, *, headers: Mapping[str, str] | None = None, ca_file: Path | None = None) -> bool:
    """Whether a GET is answered with success; a server that is not there yet is a no."""
    try:
        send("GET", url, headers=headers, ca_file=ca_file)
    except (RequestFailedError, OSError):
        return False
    return True
