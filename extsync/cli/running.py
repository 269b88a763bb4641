"""What a running extsync tells doctor, as far as it can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from extsync.cli.answers import NotKept
from extsync.cli.asking import Running, Unanswered, session
from extsync.doctor import facts
from extsync.doctor.facts import Kept, Seen, Unread
from extsync.doctor.gathering.gather import Told
from extsync.errors import ExtsyncError
from extsync.model import ServiceKey
from extsync.web.documents import ProcessDocument, ServiceDocument

NOBODY: Final = "none"
"""In place of a URL: nobody is to be asked."""

MOST: Final = 20
"""Set-aside entries and notices that are taken over."""


@asynccontextmanager
async def told_by(server: str) -> AsyncIterator[Told]:
    """The extsync at the URL ``server``; ``NOBODY``: none is asked."""
    if server == NOBODY:
        yield Told(None, _nobody)
        return
    async with session() as connections:
        running = Running(connections, server)
        try:
            document = await running.ask("status", kind=ProcessDocument)
        except ExtsyncError as error:
            why = _unasked(error)
            yield Told(why, lambda key: _unread(why))
            return

        async def kept(key: ServiceKey) -> Seen[Kept | None]:
            try:
                return _kept(await running.ask("services", key.namespace, key.name, kind=ServiceDocument))
            except NotKept:
                return None
            except ExtsyncError as error:
                return _unasked(error)

        yield Told(_process(document, running.place), kept)


async def _nobody(key: ServiceKey) -> Seen[Kept | None]:
    return Unread("nobody was asked")


def _unasked(error: ExtsyncError) -> Unread:
    """Why there is no answer; what helps the finding says itself, in flags that doctor has."""
    return Unread(error.why if isinstance(error, Unanswered) else str(error))


async def _unread(why: Unread) -> Seen[Kept | None]:
    return why


def _process(document: ProcessDocument, server: str) -> facts.Running:
    return facts.Running(
        place=server,
        version=document.version,
        owner=document.owner,
        synced=document.synced,
        isolated=document.isolated,
        queued=document.queued,
        queue_age=document.queue_age_seconds,
        cache_age=document.cache_age_seconds,
        leads=any(lease.leads for lease in document.leases),
        holders=tuple(lease.holder for lease in document.leases),
    )


def _kept(document: ServiceDocument) -> Kept:
    summary = document.summary
    stale = (one for one in summary.sources if one.stale)
    return Kept(
        ready=summary.ready,
        not_ready=summary.not_ready,
        draining=summary.draining,
        leads=summary.leads,
        isolated=summary.isolated,
        suppressed="" if summary.suppressed is None else summary.suppressed.text,
        stale_sources=tuple(f"{one.name}: {one.detail or one.outcome or 'no report yet'}" for one in stale),
        set_aside=tuple(f"{one.entry} of {one.source}: {one.reason}" for one in document.set_aside[:MOST]),
        notices=document.notices[:MOST],
    )
