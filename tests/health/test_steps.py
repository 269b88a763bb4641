"""Protocols of several steps, by checks as another package brings them, in virtual time on a scripted network."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pytest

from extsync.health.base import PASSED, Check, Passed, Request, Result, Say
from extsync.health.target import Timing
from extsync.model import Health
from extsync.seams.virtual import virtual_time
from extsync.seams.virtual_net import BlackHole, Listening
from tests.health.support import Bench, context, probing, target
from tests.plugins.smtp.extsync_smtp import SmtpCheck

SMTP = SmtpCheck({}, context())
ONCE = Timing(period=10.0, failure_threshold=1)


class Server:
    """Answers each line of a dialogue, and keeps what it heard."""

    def __init__(self, answer: bytes = b"250 ok\r\n") -> None:
        self.heard: list[bytes] = []
        self._answer = answer

    def __call__(self, line: bytes) -> bytes:
        self.heard.append(line)
        return self._answer


async def outcome(bench: Bench, check: Check) -> str:
    """How one attempt ends."""
    bench.prober.upsert([target(check=check, timing=ONCE)])
    await bench.sleep(5)
    return bench.prober.evidence("a")[0].reason


@virtual_time
async def test_a_greeting_is_answered_and_the_answer_to_that_passes() -> None:
    server = Server()
    async with probing() as bench:
        bench.script(Listening(greeting=b"220 ready\r\n", answer=server))
        assert await outcome(bench, SMTP) == "passed"
        assert server.heard == [b"HELO probe.example.com\r\n"]  # who is gone after the farewell gets no answer to it


@virtual_time
async def test_each_step_is_judged_by_what_came_in_answer_to_it_alone() -> None:
    async with probing() as bench:
        bench.script(Listening(greeting=b"220 ready\r\n", answer=b"554 go away\r\n"))
        assert await outcome(bench, SMTP) == "the server says: 554 go away"


@virtual_time
async def test_a_time_out_tells_the_step() -> None:
    async with probing() as bench:
        bench.script(Listening(greeting=b"220 ready\r\n", answer=b"250"))
        assert await outcome(bench, SMTP) == "timed out after 1 s waiting for the answer to HELO"
    async with probing() as bench:
        bench.script(Listening(greeting=b"220"))
        assert await outcome(bench, SMTP) == "timed out after 1 s waiting for the greeting"


@virtual_time
async def test_a_connection_that_ends_before_the_next_step_fails_but_not_before_the_farewell() -> None:
    async with probing() as bench:
        bench.script(Listening(greeting=b"220 ready\r\n", answer=b"250 ok\r\n", closes=True))
        assert await outcome(bench, SMTP) == "passed"
    async with probing() as bench:
        bench.script(Listening(greeting=b"220 ready\r\n", closes=True, answer=b"2"))
        assert await outcome(bench, SMTP) == "connection closed waiting for the answer to HELO"


@dataclass(frozen=True)
class Chatter:
    """Never comes to an end."""

    def request(self, host: str, port: int) -> Request:
        return Request(port, b"and", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return Say(request)

    def awaited(self, request: Request, received: bytes) -> str:
        return "more"

    def describe(self, host: str, port: int) -> str:
        return "chatter"


@virtual_time
async def test_a_dialogue_without_end_is_ended() -> None:
    server = Server(b"then")
    async with probing() as bench:
        bench.script(Listening(answer=server, delay=0.0001))
        assert await outcome(bench, Chatter()) == "the answer comes in more than 512 pieces"
        assert len(server.heard) <= 514


@dataclass(frozen=True)
class Noting:
    """Passes with a note."""

    note: str

    def request(self, host: str, port: int) -> Request:
        return Request(port, listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        return Passed(self.note) if received else None

    def awaited(self, request: Request, received: bytes) -> str:
        return "anything"

    def describe(self, host: str, port: int) -> str:
        return "noting"


@virtual_time
async def test_a_note_stands_in_the_evidence_until_the_next_result() -> None:
    timing = Timing(period=1.0, timeout=0.5, failure_threshold=3)
    async with probing() as bench:
        bench.script(Listening(greeting=b"hello"))
        bench.prober.upsert([target(check=Noting("mind the gap"), timing=timing)])
        await bench.sleep(0.5)
        assert bench.prober.evidence("a")[0].note == "mind the gap"
        assert bench.prober.verdict("a").health is Health.HEALTHY
        bench.script(BlackHole())
        await bench.sleep(1.2)
        assert bench.prober.evidence("a")[0].note == ""


@pytest.mark.parametrize("result", [Say(Request(1, b"x", stage="y")), Passed("note"), PASSED])
def test_results_survive_pickling(result: Result) -> None:
    assert pickle.loads(pickle.dumps(result)) == result
