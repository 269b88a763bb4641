"""When the pods source reports, and what it says of a cluster that it cannot read: in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from extsync.config.sources import PodsSource as PodsBlock
from extsync.errors import Forbidden, ReadFailed, Unavailable
from extsync.model import Observation, Outcome
from extsync.objects import Node, Pod
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.pods import PodsSource
from extsync.sources.pods.source import COALESCE, FIRST_ANSWER, NO_CLUSTER, OUT_OF_STEP, REPEAT
from tests.sources.pods.cluster import NAMESPACE, Question, ScriptedWatcher, node, pod
from tests.sources.support import Reports, addresses, context, running

CLOCK = VirtualClock()
SOON = 2 * COALESCE
DB = {"matchLabels": {"app": "db"}}
AWAY = Unavailable("watch pods: no connection")
DENIED = Forbidden("watch nodes: nodes is forbidden")


def source(watcher: ScriptedWatcher | None, selector: dict[str, Any] = DB) -> PodsSource:
    surroundings = msgspec.structs.replace(context(clock=CLOCK), watcher=watcher)
    return PodsSource(PodsBlock.model_validate({"selector": selector}), surroundings)


@asynccontextmanager
async def watched(watcher: ScriptedWatcher, *, seconds: float = SOON) -> AsyncIterator[Reports]:
    """The source while it runs, after some seconds."""
    async with running(source(watcher)) as reports:
        await CLOCK.sleep(seconds)
        yield reports


def zones(report: Observation) -> list[str | None]:
    return [backend.zone for backend in report.backends]


# ---- what is found ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_pods_of_the_own_namespace_are_watched_and_all_nodes() -> None:
    watcher = ScriptedWatcher()
    async with watched(watcher):
        assert watcher.open == [Question(Pod, NAMESPACE, "app=db"), Question(Node, None, "")]
    assert watcher.open == []


@virtual_time
async def test_the_first_report_is_complete() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1", node="node-1"), pod("b", "192.0.2.2", node="node-2", ready=False))
    async with watched(watcher) as reports:
        assert reports.seen == []  # without the nodes, zones that are published would be taken away
        watcher.nodes.show(node("node-1", "dc-1a"), node("node-2"))
        await CLOCK.sleep(SOON)
        [report] = reports.seen
        assert (report.outcome, report.detail) == (Outcome.FOUND, "")
        assert [(b.address, b.ready, b.zone) for b in report.backends] == [
            ("192.0.2.1", True, "dc-1a"),
            ("192.0.2.2", False, None),
        ]


@virtual_time
async def test_changes_of_pods_and_of_nodes_are_reported() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1"))
    watcher.nodes.show(node("node-1", "dc-1a"))
    async with watched(watcher) as reports:
        watcher.pods.show(pod("a", "192.0.2.1"), pod("b", "192.0.2.2"))
        await CLOCK.sleep(SOON)
        watcher.nodes.show(node("node-1", "dc-1b"))
        await CLOCK.sleep(SOON)
        assert [(addresses(report), zones(report)) for report in reports.seen] == [
            (["192.0.2.1"], ["dc-1a"]),
            (["192.0.2.1", "192.0.2.2"], ["dc-1a", "dc-1a"]),
            (["192.0.2.1", "192.0.2.2"], ["dc-1b", "dc-1b"]),
        ]


@virtual_time
async def test_a_rollout_costs_few_reports() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show()
    async with watched(watcher) as reports:
        for number in range(1, 101):
            watcher.pods.show(*(pod(f"p{n}", f"192.0.2.{n}") for n in range(1, number + 1)))
            await CLOCK.sleep(0.01)
        await CLOCK.sleep(SOON)
        assert len(reports.seen[-1].backends) == 100
        assert reports.reads <= 2 + 1 / COALESCE


@virtual_time
async def test_what_stays_the_same_is_repeated_as_the_same_object() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(pod("a", "192.0.2.1"))
    async with watched(watcher, seconds=3 * REPEAT + 1) as reports:
        assert (reports.reads, len(reports.seen)) == (4, 1)
        watcher.pods.show(pod("a", "192.0.2.1"))  # another version of it that says the same
        await CLOCK.sleep(SOON)
        assert len(reports.seen) == 1


@virtual_time
async def test_an_address_that_cannot_be_used_is_set_aside() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(pod("a", "127.0.0.1"))
    async with watched(watcher) as reports:
        [report] = reports.seen
        assert (report.outcome, report.backends) == (Outcome.FOUND, ())
        assert [rejected.entry for rejected in report.rejected] == ["pod a"]


@pytest.mark.parametrize(
    ("pods", "detail"),
    [
        ((), "there are no pods app=db in namespace 'default'"),
        (
            (pod("a"), pod("b", "192.0.2.1", phase="Failed")),
            "none of the 2 pods app=db in namespace 'default' has an address and still runs",
        ),
    ],
)
@virtual_time
async def test_no_pods_at_all_is_empty(pods: tuple[Pod, ...], detail: str) -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(*pods)
    async with watched(watcher) as reports:
        assert reports.seen == [Observation(Outcome.EMPTY, detail=detail)]


# ---- nodes -----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_without_the_right_to_see_nodes_pods_have_no_zone_and_the_report_says_so() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1"))
    watcher.nodes.fail(DENIED)
    async with watched(watcher, seconds=0) as reports:
        await asyncio.sleep(0)
        [report] = reports.seen
        assert (report.outcome, addresses(report), zones(report)) == (Outcome.FOUND, ["192.0.2.1"], [None])
        assert report.detail == (
            "nodes cannot be read, so no pod has a zone: watch nodes: nodes is forbidden;"
            " deploy/kustomize/base/clusterrole.yaml has the rights that extsync needs"
        )


@virtual_time
async def test_nodes_that_do_not_come_are_waited_for_only_so_long() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1"))
    watcher.nodes.fail(Unavailable("watch nodes: no connection"))
    async with watched(watcher, seconds=FIRST_ANSWER - 0.1) as reports:
        assert reports.seen == []
        await CLOCK.sleep(0.2)
        [report] = reports.seen
        assert report.detail == "nodes cannot be read, so no pod has a zone: watch nodes: no connection"
        watcher.nodes.show(node("node-1", "dc-1a"))
        await CLOCK.sleep(SOON)
        assert (zones(reports.seen[-1]), reports.seen[-1].detail) == (["dc-1a"], "")


@virtual_time
async def test_nodes_that_were_read_once_keep_their_zones_while_they_cannot_be_read() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1"))
    watcher.nodes.show(node("node-1", "dc-1a"))
    async with watched(watcher) as reports:
        watcher.nodes.fail(DENIED)
        watcher.pods.show(pod("a", "192.0.2.2"))
        await CLOCK.sleep(SOON)
        assert (addresses(reports.seen[-1]), zones(reports.seen[-1])) == (["192.0.2.2"], ["dc-1a"])


@virtual_time
async def test_pods_on_nodes_that_are_not_there_are_published_and_counted() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1", node="node-1"), pod("b", "192.0.2.2", node="lost"))
    watcher.nodes.show(node("node-1", "dc-1a"))
    async with watched(watcher) as reports:
        [report] = reports.seen
        assert zones(report) == ["dc-1a", None]
        assert report.detail == "1 of 2 pods have no zone: their nodes are not known"


# ---- a cluster that cannot be read -----------------------------------------------------------------------------------


@virtual_time
async def test_without_the_right_to_see_pods_that_is_said_at_once_with_the_cure() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.fail(Forbidden("watch pods: pods is forbidden"))
    async with watched(watcher, seconds=0) as reports:
        await asyncio.sleep(0)
        detail = (
            "pods app=db in namespace 'default' cannot be read: watch pods: pods is forbidden;"
            " deploy/kustomize/base/clusterrole.yaml has the rights that extsync needs"
        )
        assert reports.seen == [Observation(Outcome.ERROR, detail=detail)]


@virtual_time
async def test_a_first_answer_that_does_not_come_is_an_error_after_a_while() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    async with watched(watcher, seconds=FIRST_ANSWER - 0.1) as reports:
        assert reports.seen == []
        await CLOCK.sleep(0.2)
        assert reports.seen[-1].detail == "pods app=db in namespace 'default' cannot be read: no answer within 8 s"
        watcher.pods.fail(AWAY)
        await CLOCK.sleep(SOON)
        assert reports.seen[-1].detail.endswith("cannot be read: watch pods: no connection")
        watcher.pods.show(pod("a", "192.0.2.1"))
        await CLOCK.sleep(SOON)
        assert [report.outcome for report in reports.seen] == [Outcome.ERROR, Outcome.ERROR, Outcome.FOUND]


@pytest.mark.parametrize("error", [AWAY, Forbidden("watch pods: pods is forbidden")])
@virtual_time
async def test_a_short_interruption_says_nothing(error: Exception) -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(pod("a", "192.0.2.1"))
    async with watched(watcher) as reports:
        reads = reports.reads
        watcher.pods.fail(error)
        await CLOCK.sleep(OUT_OF_STEP - 1)
        watcher.pods.fail(None)
        await CLOCK.sleep(SOON)
        assert (len(reports.seen), reports.reads) == (1, reads + 1)


@virtual_time
async def test_an_interruption_that_lasts_is_an_error_and_its_end_is_reported() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(pod("a", "192.0.2.1"))
    async with watched(watcher) as reports:
        watcher.pods.fail(AWAY)
        await CLOCK.sleep(OUT_OF_STEP + SOON)
        assert reports.seen[-1].outcome is Outcome.ERROR
        assert reports.seen[-1].detail.endswith("cannot be read: watch pods: no connection")
        watcher.pods.fail(None)
        await CLOCK.sleep(SOON)
        assert [report.outcome for report in reports.seen] == [Outcome.FOUND, Outcome.ERROR, Outcome.FOUND]


@virtual_time
async def test_a_second_interruption_has_its_own_time() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show(pod("a", "192.0.2.1"))
    async with watched(watcher) as reports:
        for _ in range(3):
            watcher.pods.fail(AWAY)
            await CLOCK.sleep(OUT_OF_STEP / 2)
            watcher.pods.fail(None)
            await CLOCK.sleep(1)
        assert len(reports.seen) == 1


@virtual_time
async def test_a_watch_that_is_dead_ends_the_run_so_that_another_begins() -> None:
    watcher = ScriptedWatcher()
    watcher.pods.show(pod("a", "192.0.2.1"))
    watcher.pods.fail(KeyError("metadata"))
    with pytest.raises(ReadFailed, match=r"the watch on pods app=db in namespace 'default' failed: KeyError"):
        await source(watcher).run(Reports())
    assert watcher.open == []


@virtual_time
async def test_where_there_is_no_cluster_that_is_the_report() -> None:
    async with running(source(None)) as reports:
        await CLOCK.sleep(1)
        assert reports.seen == [Observation(Outcome.ERROR, detail=NO_CLUSTER)]


@virtual_time
async def test_a_selector_without_conditions_selects_all_pods() -> None:
    watcher = ScriptedWatcher()
    watcher.nodes.show()
    watcher.pods.show()
    async with running(source(watcher, {})) as reports:
        await CLOCK.sleep(SOON)
        assert watcher.open[0] == Question(Pod, NAMESPACE, "")
        assert reports.seen[-1].detail == "there are no pods in namespace 'default'"
