"""The ``consul`` source: one watch a service, side by side, and one report of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, Literal, NoReturn, Protocol

from extsync.config.secret import Secret
from extsync.errors import ReadFailed
from extsync.model import Observation, several
from extsync.sources.base import Emit, Source, SourceContext
from extsync.sources.client import Client, ClientConfig
from extsync.sources.client.secrets import SecretSource
from extsync.sources.consul.answer import Rules
from extsync.sources.consul.getter import Getter
from extsync.sources.consul.pace import Pace
from extsync.sources.consul.query import Api, Choice, Query
from extsync.sources.consul.rights import Rights
from extsync.sources.consul.watch import Asker, Watch
from extsync.sources.consul.witness import Witness
from extsync.sources.offload import Offload, in_thread

MAX_BODY: Final = 64 << 20
"""Bytes of an answer: some 40,000 instances with what Consul says of each."""


PACE: Final = Pace()


class ConsulConfig(ClientConfig, Choice, Protocol):
    """The validated ``consul`` block of a manifest. ``wait`` is in seconds."""

    @property
    def services(self) -> tuple[str, ...]: ...
    @property
    def tagged_address(self) -> str | None: ...
    @property
    def tag_separator(self) -> str: ...
    @property
    def warning(self) -> Literal["Ready", "NotReady"]: ...
    @property
    def token(self) -> Secret | None: ...
    @property
    def token_file(self) -> str | None: ...


class ClosableGetter(Getter, Protocol):
    """A client whose connections can be ended."""

    async def close(self) -> None: ...


class ConsulSource:
    """Reports the instances of its services, a part for each. ``client`` reads, ``offload`` reads files and decodes."""

    def __init__(
        self,
        config: ConsulConfig,
        context: SourceContext,
        *,
        client: ClosableGetter | None = None,
        offload: Offload = in_thread,
        pace: Pace = PACE,
    ) -> None:
        self._client = client or Client(config, context, max_body=MAX_BODY, offload=offload)
        self._token = SecretSource("token", config.token, config.token_file, context, offload=offload)
        self._token_changes = config.token_file is not None
        self._clock, self._pace = context.clock, pace
        self._has_token = config.token is not None or config.token_file is not None
        api, clock, random = Api(config), context.clock, context.random
        patience = pace.read_timeout
        self._witness = Witness(api, self._client, self._identify, patience=patience, clock=clock, random=random)
        rights = Rights(api, self._client)
        asker = Asker(self._client, self._identify, offload, pace, clock, random, self._witness, rights)
        self._watches = {
            service: Watch(Query(config, service), _rules(config, service), asker) for service in config.services
        }

    def inherit(self, before: Source) -> None:
        """Takes over what was known of the services that are asked about in the same way."""
        if not isinstance(before, ConsulSource) or self._witness.place != before._witness.place:
            return
        self._witness.inherit(before._witness)
        for service, watch in self._watches.items():
            known = before._watches.get(service)
            if known is not None:
                watch.inherit(known)

    async def run(self, emit: Emit) -> None:
        report = _Report(self._watches, emit)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._witness.run())
                if self._token_changes:
                    tasks.create_task(self._follow_token())
                for service, watch in self._watches.items():
                    tasks.create_task(watch.run(partial(report.take, service)))
        finally:
            self._token.close()
            await self._client.close()

    async def _follow_token(self) -> NoReturn:
        """Another token counts at once, and not only when the queries that wait for a change have ended."""
        known: Mapping[str, str] | None = None
        while True:
            await self._clock.sleep(self._pace.token_look)
            try:
                now = await self._identify()
            except ReadFailed:  # the next read will say so
                continue
            if known is not None and now != known:
                for watch in self._watches.values():
                    watch.interrupt()
            known = now

    async def _identify(self) -> Mapping[str, str]:
        """The token as it is now: files change, and are read again."""
        return {"X-Consul-Token": await self._token.read()} if self._has_token else {}


class _Report:
    """The latest answer on each service, told as one from the moment there is one on each of them."""

    def __init__(self, services: Iterable[str], emit: Emit) -> None:
        self._answers: dict[str, Observation | None] = dict.fromkeys(services)
        self._emit = emit
        self._whole: Observation | None = None

    def take(self, service: str, answer: Observation) -> None:
        """Takes in an answer; the report is the same object as before where the answer is."""
        if self._answers[service] is not answer:
            self._answers[service] = answer
            self._whole = None
        if self._whole is None:
            parts = [(name, known) for name, known in self._answers.items() if known is not None]
            if len(parts) < len(self._answers):
                return
            self._whole = several(parts)
        self._emit(self._whole)


def _rules(config: ConsulConfig, service: str) -> Rules:
    return Rules(
        service=service,
        tagged_address=config.tagged_address,
        warning_is_ready=config.warning == "Ready",
        tag_separator=config.tag_separator,
    )
