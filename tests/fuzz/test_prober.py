"""The whole prober against damaged dialogues, in virtual time: connections that are kept, redirects, several steps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from extsync.health.base import Check
from extsync.health.target import Timing
from extsync.model import Health
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import Listening
from tests.fuzz.mutations import edited, random_edits
from tests.fuzz.subjects import without_tls
from tests.health.support import grpc, http, mysql, postgres, probing, redis, target, tcp, udp

SEEDS = {subject.name: subject.seeds for subject in without_tls()}
KINDS: dict[str, tuple[Check, str, str]] = {
    "http": (http(), "", "http"),
    "http-body": (http(expectedBody="all fine"), "", "http-body"),
    "mysql": (mysql(), "mysql-greeting", "mysql-login"),
    "postgres": (postgres(), "", "postgres"),
    "redis": (redis(), "", "redis"),
    "tcp": (tcp(send="?", expect="220 "), "", "tcp"),
    "udp": (udp(), "", "udp"),
    "grpc": (grpc(service="orders"), "", "grpc"),
}
ENDPOINTS = 200
PERIODS = 4


def damaged(random: Random, name: str) -> bytes:
    """A dialogue that is damaged, but not always."""
    seed = random.choice(SEEDS[name])
    return edited(seed, random_edits(random)) if random.getrandbits(2) else seed


def answering(random: Random, name: str) -> Callable[[bytes], bytes]:
    return lambda request: damaged(random, name)


@pytest.mark.parametrize("kind", KINDS)
@virtual_time
async def test_every_attempt_ends_with_a_verdict_in_words_and_no_check_breaks(kind: str) -> None:
    check, greeting, answer = KINDS[kind]
    async with probing() as bench:
        timing = Timing(period=2.0, timeout=1.0, failure_threshold=1)
        for number in range(ENDPOINTS):
            random = Random(f"{kind}/{number}")
            host = f"192.0.2.{number + 1}"
            bench.script(
                Listening(
                    greeting=damaged(random, greeting) if greeting else b"",
                    answer=answering(random, answer),
                    closes=not random.getrandbits(2),
                    resets=not random.getrandbits(3),
                ),
                host,
            )
            bench.prober.upsert([target(host, check=check, timing=timing, host=host, immediate=False)])
        for period in range(1, PERIODS + 1):
            await bench.sleep(2.0)
            for number in range(ENDPOINTS):
                evidence = bench.prober.evidence(f"192.0.2.{number + 1}")[0]
                assert evidence.skipped == 0, evidence.reason
                assert evidence.passed + evidence.failed >= period - 1
                assert evidence.reason.isprintable()
                assert evidence.note.isprintable()
                assert len(evidence.reason) < 400
        await bench.sleep(1.0)
        healths = {bench.prober.verdict(f"192.0.2.{number + 1}").health for number in range(ENDPOINTS)}
        assert healths == {Health.HEALTHY, Health.UNHEALTHY}
