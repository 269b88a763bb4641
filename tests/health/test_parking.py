"""Connections that are kept between attempts, by a check as another package brings it, in virtual time."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from socket import AF_INET

import pytest

from extsync.health import parking
from extsync.health.base import PASSED, Check, Failed, Keep, Passed, Request, Result
from extsync.health.conversation import Conversation
from extsync.health.target import Timing
from extsync.model import Health
from extsync.seams import epoll
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.seams.virtual_net import REFUSING, BlackHole, Listening, ScriptedProbeIO
from tests.health.support import HOST, LISTENING, PORT, TCP, Bench, probing, target

SELDOM = Timing(period=30.0)
ONCE = Timing(period=1.0, timeout=0.5, failure_threshold=1)
UP = b"up\n"


@dataclass(frozen=True)
class Ask:
    """Asks on a kept connection; the answer is a line, "more" announces another one that is not waited for."""

    keep: Keep = Keep.YES

    def request(self, host: str, port: int) -> Request:
        return Request(port, b"?", listens=True)

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        first, _, rest = received.partition(b"\n")
        if first == b"more":
            return Passed(keep=Keep.YES if rest.endswith(b"\n") else Keep.LATER)
        if first == b"up":
            return Passed(keep=Keep.NO if rest else self.keep)
        if b"\n" in received:
            return Failed(f"it says {first.decode()}")
        return Failed("closed") if eof else None

    def awaited(self, request: Request, received: bytes) -> str:
        return "a line"

    def describe(self, host: str, port: int) -> str:
        return "ask"


@dataclass
class Server:
    """Gives its answers one after another, the last one over and over, and counts what it is asked."""

    answers: list[bytes] = field(default_factory=lambda: [UP])
    asked: int = 0

    def __call__(self, request: bytes) -> bytes:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


ASK = Ask()


def begin(bench: Bench, server: Server, check: Check = ASK, *, timing: Timing = ONCE) -> None:
    bench.script(Listening(answer=server))
    bench.prober.upsert([target(check=check, timing=timing)])


def results(bench: Bench) -> tuple[int, int]:
    """How many attempts have passed and failed."""
    [evidence] = bench.prober.evidence("a")
    return evidence.passed, evidence.failed


@virtual_time
async def test_attempts_follow_each_other_on_one_connection() -> None:
    server = Server()
    async with probing() as bench:
        begin(bench, server)
        await bench.sleep(9.5)
        assert (server.asked, len(bench.times())) == (10, 1)
        assert bench.prober.stats.kept == 1
        assert results(bench) == (10, 0)


@virtual_time
async def test_a_check_that_does_not_ask_for_it_gets_a_new_connection_each_time() -> None:
    server = Server()
    async with probing() as bench:
        begin(bench, server, Ask(Keep.NO))
        await bench.sleep(9.5)
        assert (server.asked, len(bench.times())) == (10, 10)
        assert bench.prober.stats.kept == 0
        assert bench.net.open_sockets == 0


@virtual_time
async def test_a_connection_is_renewed_after_some_attempts_not_everywhere_at_once() -> None:
    async with probing() as bench:
        names = [f"{number}" for number in range(40)]
        for number, name in enumerate(names):
            bench.script(Listening(answer=UP), port=1000 + number)
            bench.prober.upsert([target(name, check=ASK, timing=ONCE, port=1000 + number)])
        await bench.sleep(parking.ATTEMPTS + 0.5)
        renewals = [bench.times(port=1000 + number)[1] for number in range(40)]
        assert all(parking.ATTEMPTS * 2 / 3 - 1 <= moment <= parking.ATTEMPTS + 0.01 for moment in renewals)
        assert len(set(renewals)) > 5


@virtual_time
async def test_a_connection_is_renewed_after_some_time() -> None:
    async with probing() as bench:
        begin(bench, Server(), timing=Timing(period=30.0))
        await bench.sleep(parking.LIFETIME + 61)
        first, second, *_ = bench.times()
        assert parking.LIFETIME * 2 / 3 - 30 <= second - first <= parking.LIFETIME


@virtual_time
async def test_what_the_next_attempt_would_not_use_any_more_is_not_kept() -> None:
    async with probing() as bench:
        begin(bench, Server(), timing=Timing(period=parking.IDLE + 1))
        await bench.sleep(1)
        assert results(bench) == (1, 0)
        assert bench.net.open_sockets == 0


@pytest.mark.parametrize("code", [0, errno.ECONNRESET], ids=["closed", "reset"])
def test_a_server_that_ends_a_waiting_connection_gets_a_new_one(code: int) -> None:
    @virtual_time
    async def story() -> None:
        async with probing() as bench:
            begin(bench, Server())
            await bench.sleep(2.5)
            bench.net.hang_up(HOST, PORT, code=code)
            await bench.sleep(0.1)
            assert bench.net.open_sockets == 0  # at once, not with the next attempt
            await bench.sleep(2)
            assert results(bench) == (5, 0)
            assert len(bench.times()) == 2

    story()


@pytest.mark.parametrize("code", [0, errno.ECONNRESET], ids=["closed", "reset"])
def test_a_server_that_ends_the_connection_as_it_is_asked_is_asked_again_within_the_attempt(code: int) -> None:
    @virtual_time
    async def story() -> None:
        async with probing() as bench:
            begin(bench, Server([UP, b""]))
            await bench.sleep(0.9)
            bench.script(Listening(answer=UP))
            await bench.sleep(0.1 + 0.0005)  # the second attempt has asked
            bench.net.hang_up(HOST, PORT, code=code)
            await bench.sleep(0.4)
            assert results(bench) == (2, 0)
            assert len(bench.times()) == 2

    story()


@virtual_time
async def test_where_the_new_connection_fails_as_well_the_attempt_has_failed() -> None:
    async with probing() as bench:
        begin(bench, Server([UP, b""]))
        await bench.sleep(0.9)
        bench.script(REFUSING)
        await bench.sleep(0.1 + 0.0005)
        bench.net.hang_up(HOST, PORT)
        await bench.sleep(0.4)
        assert bench.prober.verdict("a").reason == "ask: connection refused"
        assert results(bench) == (1, 1)


@virtual_time
async def test_a_new_connection_in_place_of_a_stale_one_has_what_is_left_of_the_deadline() -> None:
    async with probing() as bench:
        begin(bench, Server([UP, b""]))
        await bench.sleep(0.9)
        bench.script(BlackHole())
        await bench.sleep(0.1 + 0.3)
        bench.net.hang_up(HOST, PORT)
        await bench.sleep(0.2 + 0.05)
        assert bench.prober.verdict("a").reason == "ask: timed out after 0.5 s connecting"


@virtual_time
async def test_half_an_answer_on_a_kept_connection_is_an_answer() -> None:
    async with probing() as bench:
        begin(bench, Server([UP, b"u"]))
        await bench.sleep(1.1)
        bench.net.hang_up(HOST, PORT)
        await bench.sleep(0.1)
        assert bench.prober.verdict("a").reason == "ask: closed"
        assert len(bench.times()) == 1


@virtual_time
async def test_a_kept_connection_that_leads_nowhere_times_out_and_the_next_one_is_new() -> None:
    server = Server([UP, b"", UP])
    async with probing() as bench:
        begin(bench, server)
        await bench.sleep(1.6)
        assert bench.prober.verdict("a").reason == "ask: timed out after 0.5 s waiting for a line"
        assert bench.net.open_sockets == 0
        await bench.sleep(1)
        assert bench.prober.verdict("a").health is Health.HEALTHY
        assert len(bench.times()) == 2


@virtual_time
async def test_a_failure_ends_the_connection() -> None:
    async with probing() as bench:
        begin(bench, Server([UP, b"down\n"]))
        await bench.sleep(1.5)
        assert bench.prober.verdict("a").reason == "ask: it says down"
        assert bench.net.open_sockets == 0


@virtual_time
async def test_what_nobody_asked_for_ends_the_connection() -> None:
    async with probing() as bench:
        begin(bench, Server([UP + b"up\n"]))
        await bench.sleep(2.5)
        assert results(bench) == (3, 0)
        assert len(bench.times()) == 3


@virtual_time
async def test_an_answer_that_comes_with_the_end_leaves_nothing_to_keep() -> None:
    async with probing() as bench:
        bench.script(Listening(answer=UP, closes=True))
        bench.prober.upsert([target(check=ASK, timing=ONCE)])
        await bench.sleep(0.5)
        assert results(bench) == (1, 0)
        assert bench.net.open_sockets == 0


@virtual_time
async def test_what_came_unseen_before_an_attempt_is_not_its_answer() -> None:
    clock = VirtualClock()
    net = ScriptedProbeIO(clock)
    net.script(HOST, PORT, Listening(answer=UP))
    sock = net.socket(AF_INET)
    sock.connect_ex((HOST, PORT))
    await clock.sleep(0.1)
    talk = Conversation(ASK, ASK.request(HOST, PORT), sock, 0)
    assert talk.advance(epoll.OUT) is None
    await clock.sleep(0.1)
    passed = talk.advance(epoll.IN)
    assert isinstance(passed, Passed)
    assert talk.rests(passed, epoll.IN)
    net.say(HOST, PORT, b"down\n")
    assert not talk.resume()
    sock.close()


@virtual_time
async def test_the_rest_of_an_answer_may_come_after_the_attempt_has_passed() -> None:
    async with probing() as bench:
        begin(bench, Server([b"more\n"]))
        await bench.sleep(1.5)
        assert len(bench.times()) == 2  # it has not come: nothing can be asked on that connection
    async with probing() as bench:
        begin(bench, Server([b"more\nup\n"]))
        await bench.sleep(5.5)
        assert len(bench.times()) == 1


@virtual_time
async def test_a_target_that_leaves_or_changes_takes_its_connection_along() -> None:
    async with probing() as bench:
        begin(bench, Server())
        await bench.sleep(1.5)
        assert bench.net.open_sockets == 1
        bench.prober.upsert([target(check=TCP, timing=ONCE)])
        assert bench.net.open_sockets == 0
        bench.prober.upsert([target(check=ASK, timing=ONCE)])
        await bench.sleep(0.5)
        assert bench.net.open_sockets == 1
        bench.prober.remove(["a"])
        assert bench.net.open_sockets == 0


@virtual_time
async def test_kept_connections_give_way_before_an_attempt_is_skipped() -> None:
    async with probing(descriptors=10_000) as bench:
        bench.script(Listening(answer=UP))
        bench.prober.upsert([target(f"kept {number}", check=ASK, timing=SELDOM) for number in range(10_000)])
        await bench.sleep(1)
        assert bench.net.open_sockets == 10_000
        bench.script(LISTENING, port=81)
        bench.prober.upsert([target(f"bare {number}", port=81) for number in range(100)])
        await bench.sleep(1)
        assert bench.prober.stats.skipped == 0
        assert all(bench.prober.verdict(f"bare {number}").health is Health.HEALTHY for number in range(100))


@virtual_time
async def test_attempts_and_kept_connections_share_the_limit_of_descriptors() -> None:
    async with probing(descriptor_limit=100) as bench:  # of which a quarter is for others
        open_sockets: list[int] = []
        bench.on_start = lambda: open_sockets.append(bench.net.open_sockets)
        bench.script(Listening(answer=UP))
        bench.prober.upsert([target(f"kept {number}", check=ASK, timing=SELDOM) for number in range(75)])
        await bench.sleep(1)
        assert bench.prober.stats.kept == 75
        bench.script(BlackHole(), port=81)
        bench.prober.upsert([target(f"bare {number}", timing=SELDOM, port=81) for number in range(50)])
        await bench.sleep(0.5)
        assert max(open_sockets) == 75
        assert (bench.prober.stats.in_flight, bench.prober.stats.kept) == (50, 25)


@virtual_time
async def test_no_more_are_kept_than_fit_under_the_limit_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    async with probing(descriptor_limit=100) as bench:  # of which a quarter is for others
        bench.script(Listening(answer=UP))
        bench.prober.upsert([target(f"{number}", check=ASK, timing=SELDOM) for number in range(200)])
        await bench.sleep(5)
        assert bench.prober.stats.passed == 200
        assert bench.net.open_sockets <= 75
    monkeypatch.setattr(parking, "LIMIT", 10)
    async with probing() as bench:
        bench.script(Listening(answer=UP))
        bench.prober.upsert([target(f"{number}", check=ASK, timing=SELDOM) for number in range(50)])
        await bench.sleep(5)
        assert bench.net.open_sockets == 10


@dataclass(frozen=True)
class Faulty(Ask):
    """Raises when it is called for the rest of an answer."""

    def judge(self, request: Request, received: bytes, eof: bool) -> Result | None:
        if received.count(b"\n") > 1:
            raise ValueError("two")
        return Passed(keep=Keep.LATER) if received else PASSED


@virtual_time
async def test_a_check_that_raises_between_attempts_loses_its_connection_and_nothing_else() -> None:
    async with probing() as bench:
        bench.script(Listening(answer=lambda _: b"more\n"))
        bench.prober.upsert([target(check=Faulty(), timing=ONCE), target("b", check=Faulty(), timing=ONCE)])
        await bench.sleep(0.5)
        assert bench.net.open_sockets == 2
        bench.net.say(HOST, PORT, b"rest\n")
        await bench.sleep(0.1)
        assert bench.net.open_sockets == 0
        assert bench.prober.stats.passed == 2
