"""The client: one request with all that the manifest says goes with it, redirects included, within one deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import yarl

from extsync.errors import ReadFailed
from extsync.sources.base import SourceContext
from extsync.sources.client.config import ClientConfig
from extsync.sources.client.credentials import Carried, Credentials
from extsync.sources.client.exchange import Exchange, Progress, Reply
from extsync.sources.client.urls import MAX_REDIRECTS, REDIRECTS, parse_url, redirected, same_origin, shown_url
from extsync.sources.offload import Offload, in_thread

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

_HARMLESS: Final = frozenset({"accept", "if-none-match", "x-prometheus-refresh-interval-seconds"})
"""Headers of a request that may follow a redirect to anywhere; all others may hold a token."""


class Client:
    """Reads URLs for one source, with the credentials, TLS settings, proxy and headers of its block.

    ``max_body`` is the limit for the bytes of an answer; ``offload`` reads files. What is asked for at the same time
    goes out at the same time, up to ``exchange.MAX_CONNECTIONS``.
    """

    def __init__(
        self, config: ClientConfig, context: SourceContext, *, max_body: int, offload: Offload = in_thread
    ) -> None:
        self._follows = config.follow_redirects
        self._server_name = config.tls_config.server_name if config.tls_config else None
        self._clock = context.clock
        self._credentials = Credentials(config, context, offload=offload)
        self._exchange = Exchange(context.dialer, context.clock, context.contacts, max_body=max_body)

    async def get(
        self, url: str, *, headers: Mapping[str, str] = _NO_HEADERS, timeout: float, resend: bool = True
    ) -> Reply:
        """The answer for ``url``, whatever its status, complete within ``timeout`` seconds.

        Files with credentials and certificates are read anew. Redirects are followed if the manifest says so; what
        ``headers`` and the manifest add is sent to the origin of ``url`` only, and once a redirect has led elsewhere,
        not again. Where the connection is lost before the answer begins, as may be with one that was kept open for
        long, the request is sent once more, unless ``resend`` is False. Raises ReadFailed where there is no answer, or
        one that is too large or compressed.
        """
        return await self._within(timeout, url, partial(self._follow, url, headers, resend))

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] = _NO_HEADERS, timeout: float) -> Reply:
        """The answer to ``body``, which is JSON, as ``get`` would have it; redirects are not followed.

        It is sent once. Raises ReadFailed.
        """
        headers = {"Content-Type": "application/json", **headers}
        return await self._within(timeout, url, partial(self._post, url, headers, body))

    async def close(self) -> None:
        """Ends all connections; a later ``get`` makes new ones."""
        self._credentials.close()
        await self._exchange.close()

    async def _within(self, timeout: float, url: str, ask: Callable[[Progress], Awaitable[Reply]]) -> Reply:
        progress = Progress()
        try:
            async with self._clock.timeout(timeout):
                return await ask(progress)
        except TimeoutError:
            raise ReadFailed(
                f"{shown_url(url)}: gave no complete answer within {timeout:g} s (it ended while {progress.stage})"
            ) from None

    async def _post(self, text: str, headers: Mapping[str, str], body: bytes, progress: Progress) -> Reply:
        url = _parsed(text)
        return await self._ask(url, headers, shown_url(text), progress, at_home=True, resend=False, body=body)

    async def _follow(self, text: str, headers: Mapping[str, str], resend: bool, progress: Progress) -> Reply:
        asked = shown_url(text)
        first = url = _parsed(text)
        at_home = True
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._ask(url, headers, asked, progress, at_home=at_home, resend=resend)
            location = reply.headers.get("Location", "")
            if not self._follows or reply.status not in REDIRECTS or not location:
                return reply
            url = redirected(url, location)
            at_home = at_home and same_origin(first, url)
            asked = f"{shown_url(first)}, redirected to {shown_url(url)}"
        raise ReadFailed(f"{asked}: redirects more than {MAX_REDIRECTS} times")

    async def _ask(
        self,
        url: yarl.URL,
        headers: Mapping[str, str],
        asked: str,
        progress: Progress,
        *,
        at_home: bool,
        resend: bool,
        body: bytes | None = None,
    ) -> Reply:
        """One hop; away from home it goes without anything that is meant for home."""
        try:
            carried = await self._credentials.carried(url.scheme)
        except ReadFailed as error:
            raise ReadFailed(f"{asked}: was not asked: {error}") from error
        return await self._exchange.ask(
            url,
            asked=asked,
            headers=_merged(headers, carried) if at_home else _harmless(headers),
            proxy=carried.proxy,
            tls=carried.contexts and (carried.contexts.own if at_home else carried.contexts.others),
            server_name=self._server_name if at_home else None,
            progress=progress,
            resend=resend,
            body=body,
        )


def _parsed(text: str) -> yarl.URL:
    try:
        return parse_url(text)
    except ValueError as error:
        raise ReadFailed(f"{shown_url(text)}: {error}") from error


def _merged(headers: Mapping[str, str], carried: Carried) -> dict[str, str]:
    """All headers; those that the manifest names win over a source's own."""
    named = {name.lower() for name in carried.headers}
    return {name: value for name, value in headers.items() if name.lower() not in named} | dict(carried.headers)


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS}
