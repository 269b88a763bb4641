"""Servers of every kind that fail at any byte of what they have to say: each attempt fails, in words, and at once.

The dialogues are valid up to that byte, so that each stage of each protocol has its turn: before the first byte, in the
middle of a message, between two of them, in the TLS handshake, after it. ``LONG`` has a deadline that no test lives to
see, so what passes with it was decided by what the server did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.model import Health
from tests.health.faults.kinds import NAMES, Kind, Kinds
from tests.health.faults.servers import babble, close, dripping, reset, up_to
from tests.health.listeners import (
    LONG,
    LOOPBACK,
    SHORT,
    Handler,
    Live,
    listening,
    live,
    silent,
    until,
)

pytestmark = pytest.mark.sockets

AT_ONCE = 25
CUTS = 60
"""At how many bytes a dialogue is cut, if it is not shorter than that."""

every_kind = pytest.mark.parametrize("name", NAMES)


async def cuts_of(probing: Live, kind: Kind) -> range:
    """Where a dialogue is cut so that the check cannot pass; found by one that passes."""
    said: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaker = kind.speaker()
        said.append(speaker.hear(b""))
        writer.write(said[-1])
        while heard := await reader.read(65536):
            said.append(speaker.hear(heard))
            writer.write(said[-1])

    async with listening(keep) as port:
        assert await probing.passes(kind.check, port)
    enough = sum(map(len, said)) - kind.spare
    cuts = range(0, enough, -(-enough // CUTS))
    assert len(cuts) > 5
    return cuts


def targets_of(kind: Kind, cuts: range, port: int, timing: Timing) -> list[Target]:
    return [Target(f"{number}", (Probe(kind.check, timing, LOOPBACK, port),), immediate=True) for number in cuts]


async def reasons(probing: Live, kind: Kind, ending: Handler, timing: Timing = LONG) -> set[str]:
    """Why attempts fail whose server says some bytes of its dialogue and then ``ending``, without the description."""
    cuts = await cuts_of(probing, kind)
    told: set[str] = set()
    async with listening(up_to(kind.speaker, cuts, ending)) as port:
        description = kind.check.describe(LOOPBACK, port) + ": "
        for first in range(0, len(cuts), AT_ONCE):
            verdicts = await probing.verdicts(targets_of(kind, cuts[first : first + AT_ONCE], port, timing))
            assert {verdict.health for verdict in verdicts.values()} == {Health.UNHEALTHY}, verdicts
            told |= {verdict.reason.removeprefix(description) for verdict in verdicts.values()}
    return told


@every_kind
async def test_a_server_that_falls_silent_at_any_byte_times_out(probing: Live, kinds: Kinds, name: str) -> None:
    for reason in await reasons(probing, kinds[name], silent, SHORT):
        assert reason.startswith(("timed out after 0.2 s waiting for ", "timed out after 0.2 s in the TLS handshake"))


@every_kind
async def test_a_server_that_closes_at_any_byte_fails(probing: Live, kinds: Kinds, name: str) -> None:
    for reason in await reasons(probing, kinds[name], close):
        words = (
            "connection closed ",
            "connection reset by peer (",
            "broken pipe (",
            "the port does not speak HTTP/2: ",
        )
        assert reason.startswith(words)


@every_kind
async def test_a_server_that_resets_at_any_byte_fails(probing: Live, kinds: Kinds, name: str) -> None:
    for reason in await reasons(probing, kinds[name], reset):
        assert reason.startswith(("connection reset by peer (", "broken pipe ("))


@every_kind
async def test_a_server_that_falls_to_babbling_at_any_byte_is_decided_on(
    probing: Live, kinds: Kinds, name: str
) -> None:
    kind = kinds[name]
    cuts = await cuts_of(probing, kind)
    async with listening(up_to(kind.speaker, cuts, babble)) as port:
        for first in range(0, len(cuts), AT_ONCE):
            verdicts = await probing.verdicts(targets_of(kind, cuts[first : first + AT_ONCE], port, LONG))
            # Where a message has begun and says how long it is, babble may be what is in it.
            assert verdicts[f"{cuts[first]}"].health is Health.UNHEALTHY or first
            for verdict in verdicts.values():
                assert "timed out" not in verdict.reason
                assert verdict.reason.isprintable()
                assert len(verdict.reason) < 300


@every_kind
async def test_a_server_that_drips_a_whole_dialogue_in_time_passes(probing: Live, kinds: Kinds, name: str) -> None:
    async with listening(dripping(kinds[name].speaker, pause=0.0005)) as port:
        assert await probing.passes(kinds[name].check, port)


async def test_one_byte_a_second_is_too_slow(probing: Live, kinds: Kinds) -> None:
    async with AsyncExitStack() as servers:
        targets = []
        for name in NAMES:
            port = await servers.enter_async_context(listening(dripping(kinds[name].speaker, pause=1.0)))
            targets.append(Target(name, (Probe(kinds[name].check, SHORT, LOOPBACK, port),), immediate=True))
        for verdict in (await probing.verdicts(targets)).values():
            assert ": timed out after 0.2 s " in verdict.reason


# ---- leaving in the middle ------------------------------------------------------------------------------------------


async def remove_targets(probing: Live, targets: list[Target]) -> None:
    probing.prober.remove([target.id for target in targets])


async def change_targets(probing: Live, targets: list[Target]) -> None:
    probe = targets[0].probes[0]
    later = Probe(probe.check, Timing(initial_delay=1000.0), probe.host, probe.port)
    probing.prober.upsert([Target(target.id, (later,)) for target in targets])


@every_kind
@pytest.mark.parametrize("leave", [remove_targets, change_targets, None], ids=["removed", "changed", "closed"])
async def test_an_attempt_that_is_given_up_at_any_byte_leaves_nothing_behind(
    probing: Live, kinds: Kinds, name: str, leave: Callable[[Live, list[Target]], Awaitable[None]] | None
) -> None:
    kind = kinds[name]
    cuts = await cuts_of(probing, kind)
    waiting = 0

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        waiting += 1
        await silent(reader, writer)

    async with listening(up_to(kind.speaker, cuts, wait)) as port:
        async with live() as leaving:  # which looks for descriptors that are left
            targets = targets_of(kind, cuts, port, LONG)
            leaving.prober.upsert(targets)
            await until(lambda: waiting == len(targets))
            assert leaving.prober.stats.in_flight == len(targets)
            if leave is not None:
                await leave(leaving, targets)
                assert leaving.prober.stats.in_flight == 0
        assert leaving.prober.stats.in_flight == 0
        assert leaving.prober.drain() == []
