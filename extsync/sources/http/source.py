"""The ``http`` source: reads its URL again and again, and parses an answer only where it is another one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from extsync.config.secret import masked_url
from extsync.errors import ReadFailed
from extsync.model import Observation, Outcome
from extsync.sources import payload
from extsync.sources.base import Emit, SourceContext
from extsync.sources.client import Client, ClientConfig, Reply, shown_url
from extsync.sources.http.contract import Refused, check, validator
from extsync.sources.http.pace import Pace
from extsync.sources.offload import Offload, in_thread
from extsync.sources.payload import Payload

SHORTEST_LIMIT: Final = 8.0
"""Seconds that one read may take, however short the refresh interval."""

LONGEST_LIMIT: Final = 60.0
"""Seconds that one read may take at most; in between it may take as long as the refresh interval."""

OF_PATIENCE: Final = 0.95
"""The share of the time in which the first report has to come that one read may take."""

MAX_CONFIRMED: Final = 10
"""Answers 304 in a row, after which the list itself is asked for: servers of files make an ETag from time and size, and
miss a change within the same second.
"""

URL_LABEL: Final = "__meta_url"


class HttpConfig(ClientConfig, Protocol):
    """The validated ``http`` block of a manifest. ``refresh_interval`` is in seconds."""

    @property
    def url(self) -> str: ...
    @property
    def refresh_interval(self) -> float: ...
    @property
    def max_body_bytes(self) -> int: ...


class Reader(Protocol):
    """What the source needs of a ``Client``."""

    async def get(self, url: str, *, headers: Mapping[str, str], timeout: float) -> Reply: ...
    async def close(self) -> None: ...


class _Known(msgspec.Struct, frozen=True):
    """The latest answer that was a list: its validator ("" without one), a digest of its body, and what it said."""

    etag: str
    digest: bytes
    observation: Observation


class HttpSource:
    """Reports the backends that its URL names. ``client`` reads it, and ``offload`` parses."""

    def __init__(
        self,
        config: HttpConfig,
        context: SourceContext,
        *,
        client: Reader | None = None,
        offload: Offload = in_thread,
    ) -> None:
        self._url = config.url
        self._headers = {
            "Accept": "application/json",
            "X-Prometheus-Refresh-Interval-Seconds": _seconds(config.refresh_interval),
        }
        self._clock = context.clock
        usual = min(max(config.refresh_interval, SHORTEST_LIMIT), LONGEST_LIMIT)
        self._limit = min(usual, OF_PATIENCE * context.patience)
        self._pace = Pace(config.refresh_interval, random=context.random)
        self._client = client or Client(config, context, max_body=config.max_body_bytes)
        self._offload = offload
        self._known: _Known | None = None
        self._confirmed = 0

    async def run(self, emit: Emit) -> None:
        reported = Observation(Outcome.ERROR)
        try:
            while True:
                started = self._clock.monotonic()
                try:
                    observation = await self._read()
                except ReadFailed as error:
                    observation = Observation(Outcome.ERROR, detail=str(error))
                    wait = self._pace.after_failure(error.retry_after if isinstance(error, Refused) else 0.0)
                else:
                    wait = self._pace.after_success(self._clock.monotonic() - started)
                if observation != reported:
                    reported = observation
                emit(reported)
                await self._clock.sleep(wait)
        finally:
            await self._client.close()

    async def _read(self) -> Observation:
        """What the URL says now, the same object where it says what it said before; raises ReadFailed."""
        known = self._known
        etag = known.etag if known is not None and self._confirmed < MAX_CONFIRMED else ""
        headers = self._headers | {"If-None-Match": etag} if etag else self._headers
        reply = await self._client.get(self._url, headers=headers, timeout=self._limit)
        if known is not None and etag and reply.status == 304:
            self._confirmed += 1
            return known.observation
        check(reply, wall=self._clock.wall())
        self._confirmed = 0
        digest = blake2b(reply.body, digest_size=16).digest()
        if known is None or known.digest != digest:
            observation = await self._parsed(reply.body)
        else:
            observation = known.observation
        self._known = _Known(validator(reply.headers), digest, observation)
        return observation

    async def _parsed(self, body: bytes) -> Observation:
        labels = {URL_LABEL: masked_url(self._url)}
        parse = partial(payload.parse, body, shown_url(self._url), labels=labels, only_json=True)
        try:
            found: Payload = await self._offload(parse)
        except ValueError as error:
            raise ReadFailed(str(error)) from error
        if found.declares_none:
            return Observation(Outcome.EMPTY, detail=f"{shown_url(self._url)}: answers []")
        return Observation(Outcome.FOUND, found.backends, found.rejected)


def _seconds(interval: float) -> str:
    """A number of seconds as Prometheus writes it: without an exponent, and without a fraction that is none."""
    return f"{interval:.3f}".rstrip("0").rstrip(".")
