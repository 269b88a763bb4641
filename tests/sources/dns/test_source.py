"""What the dns source reports and when: in virtual time, with name servers that tests script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from extsync.config.sources import DnsSource as Block
from extsync.errors import ConfigError
from extsync.model import Observation, Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.dns import DnsSource
from extsync.sources.dns.exchange import Server
from extsync.sources.dns.refresh import TICK
from extsync.sources.dns.servers import SystemNameservers
from extsync.sources.dns.source import COALESCE, CONFIRM_EVERY, GRACE
from extsync.sources.holds import LastGood
from extsync.sources.part import HoldTimes
from extsync.sources.supervise import first_report
from tests.sources.dns.scripted import NEGATIVE_TTL, SECOND, SERVER, ScriptedExchange, code
from tests.sources.support import Reports, context, running

CLOCK = VirtualClock()
NAME = "db.example.com"
A_PART = f"{NAME} A"
AAAA_PART = f"{NAME} AAAA"
SLACK = COALESCE + 0.01
"""Seconds in which a change of an answer is reported."""


def source(exchange: ScriptedExchange, **block: Any) -> DnsSource:
    block = {"names": [NAME], "type": "A", "nameservers": [str(SERVER)]} | block
    return DnsSource(Block.model_validate(block), context(clock=CLOCK), exchange=exchange)


def exchange(*addresses: str, ttl: int = 30) -> ScriptedExchange:
    made = ScriptedExchange()
    made.have(NAME, "A", *(addresses or ("192.0.2.1",)), ttl=ttl)
    return made


def parts(report: Observation) -> dict[str, tuple[Outcome, list[str]]]:
    return {name: (answer.outcome, [backend.address for backend in answer.backends]) for name, answer in report.parts}


def part(report: Observation, name: str = A_PART) -> Observation:
    return dict(report.parts)[name]


async def first(reports: Reports) -> Observation:
    return await reports.until(lambda report: True)


def says(*addresses: str, name: str = A_PART) -> Callable[[Observation], bool]:
    return lambda report: parts(report)[name] == (Outcome.FOUND, list(addresses))


def ends(outcome: Outcome, name: str = A_PART) -> Callable[[Observation], bool]:
    return lambda report: parts(report)[name][0] is outcome


class TestParts:
    @virtual_time
    async def test_a_host_is_asked_for_both_families_each_by_itself(self) -> None:
        made = exchange()
        made.script(NAME, "AAAA", code(dns.rcode.SERVFAIL))
        async with running(source(made, type="Host")) as reports:
            report = await first(reports)
        assert parts(report) == {A_PART: (Outcome.FOUND, ["192.0.2.1"]), AAAA_PART: (Outcome.ERROR, [])}
        assert report.detail.startswith(f"{AAAA_PART}: 192.0.2.53:53 answers SERVFAIL")

    @virtual_time
    async def test_a_name_with_one_family_is_empty_in_the_other(self) -> None:
        async with running(source(exchange(), type="Host", port=3306)) as reports:
            report = await first(reports)
        assert parts(report)[AAAA_PART] == (Outcome.EMPTY, [])
        assert part(report).backends[0].port == 3306

    @pytest.mark.parametrize("kind", ["A", "AAAA", "SRV"])
    @virtual_time
    async def test_other_types_are_one_question_a_name(self, kind: str) -> None:
        made = exchange()
        async with running(source(made, type=kind, names=[NAME, "other.example.com", NAME])) as reports:
            report = await first(reports)
        assert list(parts(report)) == [f"{NAME} {kind}", f"other.example.com {kind}"]
        assert len(made.asked) == 2

    @virtual_time
    async def test_srv_records_are_resolved(self) -> None:
        made = exchange()
        made.have("_db._tcp", "SRV", f"0 0 3306 {NAME}.")
        async with running(source(made, type="SRV", names=["_db._tcp"])) as reports:
            report = await first(reports)
        (backend,) = part(report, f"_db._tcp SRV {NAME} A").backends
        assert (backend.address, backend.port) == ("192.0.2.1", 3306)
        assert parts(report)["_db._tcp SRV"] == (Outcome.FOUND, [])

    @virtual_time
    async def test_search_domains_are_tried_and_the_name_is_told_as_it_is_written(self) -> None:
        async with running(source(exchange(), names=["db"], searchDomains=["nowhere.test", "example.com"])) as reports:
            (backend,) = part(await first(reports), "db A").backends
        assert backend.labels == (("__meta_dns_name", "db"),)

    @virtual_time
    async def test_both_families_are_those_of_one_name_in_the_search_domains(self) -> None:
        made = exchange()
        made.have("db.example.net", "AAAA", "2001:db8::1")
        block = {"names": ["db"], "searchDomains": ["example.com", "example.net"]}
        async with running(source(made, type="Host", **block)) as reports:
            report = await first(reports)
        assert parts(report) == {"db A": (Outcome.FOUND, ["192.0.2.1"]), "db AAAA": (Outcome.EMPTY, [])}

    @virtual_time
    async def test_the_servers_of_the_manifest_are_asked_in_their_order(self) -> None:
        made = exchange()
        made.script_server(SERVER, code(dns.rcode.REFUSED))
        async with running(source(made, nameservers=[str(SERVER), str(SECOND)])) as reports:
            assert parts(await first(reports)) == {A_PART: (Outcome.FOUND, ["192.0.2.1"])}
        assert [asked.server for asked in made.asked] == [SERVER, SECOND]

    @virtual_time
    async def test_without_nameservers_the_systems_are_asked(self, tmp_path: Path) -> None:
        made = exchange()
        path = tmp_path / "resolv.conf"
        path.write_text("nameserver 192.0.2.99\n")
        config = Block.model_validate({"names": [NAME], "type": "A", "maxTTL": "10s"})
        system = SystemNameservers(CLOCK, port=53, path=path)
        async with running(DnsSource(config, context(clock=CLOCK), exchange=made, system=system)) as reports:
            await first(reports)
            path.unlink()
            report = await reports.until(ends(Outcome.ERROR))
        assert made.asked[0].server == Server("192.0.2.99", 53)
        assert "resolv.conf: there is no such file or directory" in part(report).detail

    def test_a_name_that_cannot_be_one_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="too long"):
            source(exchange(), names=[".".join(["a" * 60] * 4)], searchDomains=["example.com"])


class TestRefresh:
    @virtual_time
    async def test_a_name_is_asked_again_within_its_ttl_and_never_later(self) -> None:
        made = exchange(ttl=20)
        async with running(source(made)):
            await CLOCK.sleep(400)
        times = made.times(NAME, "A")
        waits = [after - before for before, after in pairwise(times)]
        assert waits[0] <= 20
        assert all(18 <= wait <= 20 for wait in waits[1:])

    @virtual_time
    async def test_a_record_that_is_added_is_reported_within_the_ttl(self) -> None:
        made = exchange(ttl=5)
        async with running(source(made)) as reports:
            await first(reports)
            await CLOCK.sleep(17)
            made.have(NAME, "A", "192.0.2.1", "192.0.2.2", ttl=5)
            began = CLOCK.monotonic()
            await reports.until(says("192.0.2.1", "192.0.2.2"))
        assert CLOCK.monotonic() - began <= 5 + SLACK

    @virtual_time
    async def test_a_name_that_comes_to_exist_is_reported_within_the_negative_ttl(self) -> None:
        made = ScriptedExchange()
        async with running(source(made)) as reports:
            assert parts(await first(reports)) == {A_PART: (Outcome.GONE, [])}
            made.have(NAME, "A", "192.0.2.1")
            await reports.until(says("192.0.2.1"))
        assert CLOCK.monotonic() <= NEGATIVE_TTL + SLACK

    @virtual_time
    async def test_a_ttl_of_0_does_not_make_it_spin(self) -> None:
        made = exchange(ttl=0)
        async with running(source(made)):
            await CLOCK.sleep(100)
        assert len(made.asked) <= 115

    @virtual_time
    async def test_a_name_whose_server_fails_is_asked_more_slowly_and_recovers_soon(self) -> None:
        made = exchange()
        made.script_server(SERVER, code(dns.rcode.SERVFAIL))
        async with running(source(made)) as reports:
            assert parts(await first(reports)) == {A_PART: (Outcome.ERROR, [])}
            await CLOCK.sleep(600)
            assert len(made.asked) < 45
            made.mend_server(SERVER)
            await reports.until(says("192.0.2.1"))
        assert CLOCK.monotonic() <= 630 + SLACK

    @virtual_time
    async def test_how_long_an_answer_counts_is_told_with_what_is_found_only(self) -> None:
        made = exchange(ttl=45)
        async with running(source(made)) as reports:
            assert part(await first(reports)).refresh == 45
            made.forget(NAME)
            assert part(await reports.until(ends(Outcome.GONE))).refresh == 0

    @virtual_time
    async def test_names_that_start_together_do_not_stay_together(self) -> None:
        made = exchange()
        names = [f"n{number}.example.com" for number in range(100)]
        for name in names:
            made.have(name, "A", "192.0.2.1", ttl=30)
        async with running(source(made, names=names)):
            await CLOCK.sleep(200)
        seconds = [int(asked.at) for asked in made.asked if asked.at >= 170]
        assert len(set(seconds)) > 25
        assert max(map(seconds.count, seconds)) < 15
        assert {asked.at % TICK for asked in made.asked} == {0}


class TestReports:
    @virtual_time
    async def test_the_same_answer_is_the_same_report_and_tells_that_it_still_holds(self) -> None:
        made = exchange("192.0.2.1", "192.0.2.2", ttl=10)
        async with running(source(made)) as reports:
            await first(reports)
            made.have(NAME, "A", "192.0.2.2", "192.0.2.1", ttl=10)
            await CLOCK.sleep(100)
        assert len(reports.seen) == 1
        assert reports.reads >= 6

    @virtual_time
    async def test_a_cache_that_counts_the_ttl_down_makes_no_news(self) -> None:
        made = exchange(ttl=30)
        async with running(source(made)) as reports:
            for ttl in (12, 3, 30, 8):
                await CLOCK.sleep(5)
                made.have(NAME, "A", "192.0.2.1", ttl=ttl)
            await CLOCK.sleep(60)
        assert len(reports.seen) == 1

    @virtual_time
    async def test_a_change_does_not_wait_for_the_time_of_a_report_without_one(self) -> None:
        made = exchange(ttl=1)
        async with running(source(made)) as reports:
            await CLOCK.sleep(20)
            made.have(NAME, "A", "192.0.2.9", ttl=1)
            await reports.until(says("192.0.2.9"))
        assert CLOCK.monotonic() <= 21 + SLACK < 20 + CONFIRM_EVERY

    @virtual_time
    async def test_changes_of_many_names_make_few_reports(self) -> None:
        made = ScriptedExchange()
        names = [f"n{number}.example.com" for number in range(300)]
        for name in names:
            made.have(name, "A", "192.0.2.1", ttl=1)
        async with running(source(made, names=names)) as reports:
            await CLOCK.sleep(5)
            for name in names:
                made.have(name, "A", "192.0.2.2", ttl=1)
            await CLOCK.sleep(1 + SLACK)
        assert len(reports.seen) <= 2 + 1 / COALESCE
        assert all(answer == (Outcome.FOUND, ["192.0.2.2"]) for answer in parts(reports.seen[-1]).values())

    @virtual_time
    async def test_a_failure_and_the_recovery_from_it_are_both_reported(self) -> None:
        made = exchange(ttl=5)
        async with running(source(made)) as reports:
            before = await first(reports)
            made.script(NAME, "A", code(dns.rcode.REFUSED))
            report = await reports.until(ends(Outcome.ERROR))
            assert "REFUSED" in report.detail
            made.mend(NAME, "A")
            assert await reports.until(says("192.0.2.1")) == before

    @virtual_time
    async def test_a_server_that_keeps_failing_is_told_of_once(self) -> None:
        made = exchange()
        made.script_server(SERVER, None)
        async with running(source(made)) as reports:
            await CLOCK.sleep(300)
        assert len(reports.seen) == 1

    @virtual_time
    async def test_an_unexpected_exception_leaves_as_it_is(self) -> None:
        made = exchange()
        made.script(NAME, "A", RuntimeError("a defect"))
        with pytest.raises(RuntimeError, match="a defect"):
            await source(made).run(lambda report: None)

    @virtual_time
    async def test_nothing_is_left_behind_when_it_is_cancelled(self) -> None:
        made = exchange()
        made.script("silent.example.com", "A", None)
        async with running(source(made, names=[NAME, "silent.example.com"])):
            await CLOCK.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestFirstReport:
    @virtual_time
    async def test_it_comes_at_once_where_everything_is_answered(self) -> None:
        report = await first_report(source(exchange(), type="Host"), CLOCK, 60)
        assert parts(report)[A_PART] == (Outcome.FOUND, ["192.0.2.1"])
        assert CLOCK.monotonic() == 0

    @virtual_time
    async def test_it_comes_at_once_where_everything_failed(self) -> None:
        made = exchange()
        made.script_server(SERVER, code(dns.rcode.REFUSED))
        assert (await first_report(source(made), CLOCK, 60)).outcome is Outcome.ERROR
        assert CLOCK.monotonic() == 0

    @virtual_time
    async def test_it_waits_for_a_silent_name_as_long_as_a_look_up_may_take(self) -> None:
        made = exchange()
        made.script("silent.example.com", "A", None)
        report = await first_report(source(made, names=[NAME, "silent.example.com"], timeout="2s"), CLOCK, 60)
        assert parts(report)[A_PART] == (Outcome.FOUND, ["192.0.2.1"])
        assert "gave no valid answer in time" in part(report, "silent.example.com A").detail
        assert CLOCK.monotonic() == pytest.approx(2)

    @virtual_time
    async def test_a_silent_server_does_not_delay_it_however_many_the_names(self) -> None:
        made = ScriptedExchange()
        made.script_server(SERVER, None)
        names = [f"n{number}.example.com" for number in range(2000)]
        report = await first_report(source(made, names=names), CLOCK, 60)
        assert {outcome for outcome, _ in parts(report).values()} == {Outcome.ERROR}
        assert part(report, "n1999.example.com A").detail == "has not been answered yet"
        assert CLOCK.monotonic() == 5 + GRACE

    @virtual_time
    async def test_it_is_whole_where_answers_take_longer_together_than_one_may_alone(self) -> None:
        made = ScriptedExchange()
        made.latency = 0.2
        names = [f"n{number}.example.com" for number in range(500)]
        report = await first_report(source(made, names=names, timeout="1s"), CLOCK, 60)
        assert {outcome for outcome, _ in parts(report).values()} == {Outcome.GONE}
        assert CLOCK.monotonic() > 1 + GRACE


class TestSilentNames:
    @virtual_time
    async def test_they_keep_no_other_name_from_being_asked_in_time(self) -> None:
        made = exchange(ttl=10)
        silent = [f"silent{number}.example.com" for number in range(200)]
        for name in silent:
            made.script(name, "A", None)
        async with running(source(made, names=[*silent, NAME])):
            await CLOCK.sleep(120)
        times = made.times(NAME, "A")
        assert max(after - before for before, after in pairwise(times)) <= 10 + 1


class TestHolds:
    """Together with what keeps the last good set."""

    @staticmethod
    def held(reports: Reports, good: LastGood) -> list[str]:
        good.observe(reports.seen[-1], CLOCK.monotonic())
        return sorted(backend.address for backend in good.backends)

    @virtual_time
    async def test_servfail_for_many_ttls_changes_nothing(self) -> None:
        made = exchange(ttl=5)
        good = LastGood(HoldTimes())
        async with running(source(made)) as reports:
            await first(reports)
            assert self.held(reports, good) == ["192.0.2.1"]
            made.script_server(SERVER, code(dns.rcode.SERVFAIL))
            await CLOCK.sleep(1000)
            assert self.held(reports, good) == ["192.0.2.1"]
            assert good.standing().stale

    @virtual_time
    async def test_a_family_that_fails_keeps_back_nothing_of_the_other(self) -> None:
        made = exchange(ttl=5)
        made.have(NAME, "AAAA", "2001:db8::1", ttl=5)
        good = LastGood(HoldTimes(obsolete=0))
        async with running(source(made, type="Host")) as reports:
            await first(reports)
            assert self.held(reports, good) == ["192.0.2.1", "2001:db8::1"]
            made.script(NAME, "AAAA", None)
            made.have(NAME, "A", "192.0.2.2", ttl=5)
            await CLOCK.sleep(30)
            assert self.held(reports, good) == ["192.0.2.2", "2001:db8::1"]

    @virtual_time
    async def test_what_rotating_answers_lack_for_a_while_stays(self) -> None:
        made = exchange("192.0.2.1", "192.0.2.2", ttl=10)
        good = LastGood(HoldTimes())
        async with running(source(made)) as reports:
            await first(reports)
            for turn in range(6):
                assert self.held(reports, good) == ["192.0.2.1", "192.0.2.2"], turn
                made.have(NAME, "A", f"192.0.2.{turn % 2 + 1}", ttl=10)
                await reports.until(says(f"192.0.2.{turn % 2 + 1}"))
            assert self.held(reports, good) == ["192.0.2.1", "192.0.2.2"]
            good.advance(CLOCK.monotonic() + 21)
            assert [backend.address for backend in good.backends] == ["192.0.2.2"]

    @virtual_time
    async def test_where_no_address_can_be_used_the_set_stays(self) -> None:
        made = exchange(ttl=5)
        good = LastGood(HoldTimes())
        async with running(source(made)) as reports:
            await first(reports)
            self.held(reports, good)
            made.have(NAME, "A", "127.0.0.1", ttl=5)
            await CLOCK.sleep(100)
            assert self.held(reports, good) == ["192.0.2.1"]
            assert "its only entry cannot be used" in good.standing().detail


SERVICE = "_db._tcp.example.com"


def _keep(good: LastGood, report: Observation) -> None:
    good.observe(report, CLOCK.monotonic())


class TestTargetsOfSrvRecords:
    """Each target is held to its own outcome, and only a set of records that was read takes one away."""

    @staticmethod
    def exchange(*targets: str) -> ScriptedExchange:
        made = ScriptedExchange()
        TestTargetsOfSrvRecords.name(made, *(targets or ("a", "b")))
        for number, target in enumerate("abcdefghij", 1):
            made.have(f"{target}.example.com", "A", f"192.0.2.{number}", ttl=5)
        return made

    @staticmethod
    def name(made: ScriptedExchange, *targets: str) -> None:
        """What the set of records names from now on."""
        made.have(SERVICE, "SRV", *(f"0 0 80 {target}.example.com." for target in targets), ttl=5)

    @staticmethod
    @asynccontextmanager
    async def keeping(made: ScriptedExchange, good: LastGood) -> AsyncIterator[None]:
        run = source(made, names=[SERVICE], type="SRV").run(lambda report: _keep(good, report))
        task = asyncio.create_task(run)
        await CLOCK.sleep(30)
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    @staticmethod
    async def after(seconds: float, good: LastGood) -> list[int]:
        """The last numbers of the addresses that count then."""
        await CLOCK.sleep(seconds)
        good.advance(CLOCK.monotonic())
        return sorted(int(backend.address.rpartition(".")[2]) for backend in good.backends)

    @virtual_time
    async def test_one_that_does_not_exist_leaves_after_hold_nx(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(nx=300, obsolete=0))
        async with self.keeping(made, good):
            made.forget("b.example.com")
            assert await self.after(300, good) == [1, 2]
            assert await self.after(6, good) == [1]

    @virtual_time
    async def test_one_without_addresses_any_more_leaves_after_hold_nodata(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(nodata=300, obsolete=0))
        async with self.keeping(made, good):
            made.have("b.example.com", "A")
            assert await self.after(300, good) == [1, 2]
            assert await self.after(6, good) == [1]

    @virtual_time
    async def test_all_of_them_leave_as_one_does(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(nx=300))
        async with self.keeping(made, good):
            made.forget("a.example.com")
            made.forget("b.example.com")
            assert await self.after(300, good) == [1, 2]
            assert await self.after(6, good) == []

    @virtual_time
    async def test_one_that_the_records_no_longer_name_leaves_after_hold_obsolete(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(nx=0, nodata=0, obsolete=60))
        async with self.keeping(made, good):
            self.name(made, "a")
            assert await self.after(60, good) == [1, 2]
            assert await self.after(6, good) == [1]

    @virtual_time
    async def test_all_of_them_leave_after_hold_nx_of_the_records(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(nx=300, obsolete=0))
        async with self.keeping(made, good):
            made.forget(SERVICE)
            assert await self.after(300, good) == [1, 2]
            assert await self.after(10, good) == []

    @virtual_time
    async def test_records_that_cannot_be_read_take_none_away(self) -> None:
        made, good = self.exchange(), LastGood(HoldTimes(obsolete=60))
        async with self.keeping(made, good):
            self.name(made, "a")
            await CLOCK.sleep(20)
            made.script(SERVICE, "SRV", code(dns.rcode.SERVFAIL))
            assert await self.after(7200, good) == [1, 2]

    @virtual_time
    async def test_one_that_fails_from_the_start_keeps_back_none_of_the_others(self) -> None:
        made, good = self.exchange(*"abcdefghi"), LastGood(HoldTimes(obsolete=10))
        made.script("d.example.com", "A", code(dns.rcode.SERVFAIL))
        async with self.keeping(made, good):
            assert await self.after(0, good) == [1, 2, 3, 5, 6, 7, 8, 9]
            self.name(made, *"bcdefghij")
            assert await self.after(40, good) == [2, 3, 5, 6, 7, 8, 9, 10]
            assert good.reported
            made.mend("d.example.com", "A")
            assert 4 in await self.after(30, good)

    @virtual_time
    async def test_one_that_fails_is_asked_again_before_the_ttl_of_the_records(self) -> None:
        made = self.exchange("a", "b")
        made.have(SERVICE, "SRV", "0 0 80 a.example.com.", "0 0 80 b.example.com.", ttl=300)
        for name in ("a.example.com", "b.example.com"):
            made.have(name, "A", "192.0.2.1", ttl=300)
            made.have(name, "AAAA", "2001:db8::1", ttl=300)
        made.script("b.example.com", "A", code(dns.rcode.SERVFAIL))
        async with self.keeping(made, LastGood(HoldTimes())):
            assert 4 <= len(made.times("b.example.com", "A")) <= 8

    @virtual_time
    async def test_what_it_was_asked_for_by_is_told_with_it(self) -> None:
        async with running(source(self.exchange("a"), names=[SERVICE], type="SRV")) as reports:
            report = await first(reports)
        assert {name: part.named_by for name, part in report.parts} == {
            f"{SERVICE} SRV": "",
            f"{SERVICE} SRV a.example.com A": f"{SERVICE} SRV",
            f"{SERVICE} SRV a.example.com AAAA": f"{SERVICE} SRV",
        }

    @virtual_time
    async def test_an_unexpected_exception_leaves_as_it_is(self) -> None:
        made = self.exchange("a")
        made.script("a.example.com", "A", RuntimeError("a defect"))
        with pytest.raises(RuntimeError, match="a defect"):
            await source(made, names=[SERVICE], type="SRV").run(lambda report: None)


# ---- which servers may be asked --------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
def test_a_name_server_of_the_manifest_that_may_not_be_asked_is_an_error(transport: str) -> None:
    config = Block.model_validate({"names": ["a."], "nameservers": ["168.63.129.16:53"], "transport": transport})
    with pytest.raises(ConfigError, match=r"^name server 168\.63\.129\.16:53 is not asked: .*contactAllowedCidrs"):
        DnsSource(config, context(clock=CLOCK))


@virtual_time
async def test_the_machines_own_name_servers_are_asked_wherever_they_are() -> None:
    made, own = exchange(), Server("169.254.169.253", 53)
    config = Block.model_validate({"names": [NAME], "type": "A"})
    async with running(DnsSource(config, context(clock=CLOCK), exchange=made, system=lambda: (own,))) as reports:
        await first(reports)
    assert made.asked[0].server == own
