"""A command in a container of a pod, over a websocket to the API server.

The protocol is Kubernetes's ``v5.channel.k8s.io``, and ``v4.channel.k8s.io`` of servers before 1.30
(k8s.io/apimachinery/pkg/util/remotecommand): each message begins with the number of its channel, and the one for
errors ends with a Status that tells how the command ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from extsync.decoding import decoded
from extsync.errors import TooLarge, Unavailable
from extsync.kube.transport import Transport

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")

MOST_OUTPUT: Final = 64 << 10
"""Bytes of its output that a command may have; what is asked here needs far less."""

_STDOUT, _STDERR, _ERROR = 1, 2, 3


class Executed(msgspec.Struct, frozen=True):
    """How a command ended. ``failure`` is what the cluster says of one that did not end well, "" where it did.

    ``protocol`` is the one that the server chose.
    """

    stdout: str
    stderr: str
    failure: str
    protocol: str


async def execute(
    transport: Transport, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout: float
) -> Executed:
    """Runs ``command`` to its end, within ``timeout`` seconds; raises StoreError where it could not be run.

    It has no input and no terminal.
    """
    what = f"exec in Pod {namespace}/{pod}"
    query = [("stdout", "true"), ("stderr", "true"), ("container", container)]
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
    asked = f"{path}?{urlencode([*query, *(('command', word) for word in command)])}"
    heard: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _ERROR: bytearray()}
    async with transport.websocket(asked, what=what, protocols=PROTOCOLS, deadline=timeout) as socket:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel = heard.get(message.data[0])
            if channel is None:
                continue
            channel += message.data[1:]
            if len(channel) > MOST_OUTPUT:
                raise TooLarge(f"{what}: the command has over {MOST_OUTPUT} bytes of output")
        protocol = socket.protocol or ""
    if not heard[_ERROR]:
        raise Unavailable(f"{what}: the connection ended before the command did")
    return Executed(
        stdout=heard[_STDOUT].decode(errors="replace"),
        stderr=heard[_STDERR].decode(errors="replace"),
        failure=_failure(bytes(heard[_ERROR]), what),
        protocol=protocol,
    )


class _Result(msgspec.Struct):
    status: str = ""
    message: str = ""
    reason: str = ""


def _failure(said: bytes, what: str) -> str:
    try:
        result: _Result = decoded(said, _Result)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{what}: the answer is not from a Kubernetes API or cut off: {error}") from error
    return "" if result.status == "Success" else result.message or result.reason or "it failed"
