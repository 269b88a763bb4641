"""Sources: what they say of the backends of "fleet", "legacy" and "estate", and what the server of "ledger" answers."""

from __future__ import annotations

from extsync.model import Observation, Outcome
from tests.simulation.accidents.parts import some
from tests.simulation.accidents.registry import accident
from tests.simulation.feeds import PARTS, Feed
from tests.simulation.scenario import DENIED, RESTLESS
from tests.simulation.stage import Stage


@accident("source answers in part")
async def source_answers_in_part(stage: Stage) -> None:
    feed = _restless(stage)
    stage.strike("source answers in part")
    feed.found(some(stage, feed.members), parts=stage.script.choice([PARTS[:1], PARTS[1:]]))


@accident("source changes")
async def source_changes(stage: Stage) -> None:
    feed = _restless(stage)
    stage.strike("source changes")
    feed.found(some(stage, feed.members))


@accident("source fails")
async def source_fails(stage: Stage) -> None:
    await _source_says(stage, "source fails", Outcome.ERROR)


@accident("source is suspect")
async def source_is_suspect(stage: Stage) -> None:
    await _source_says(stage, "source is suspect", Outcome.SUSPECT)


async def _source_says(stage: Stage, kind: str, outcome: Outcome) -> None:
    feed = _feed(stage)
    feed.say(Observation(outcome, detail="scripted"), part=stage.script.choice([None, *PARTS]))
    stage.begin(kind, stage.script.uniform(1.0, 120.0), lambda: feed.found(tuple(sorted(feed.good))))


@accident("source is empty for a moment")
async def source_is_empty_for_a_moment(stage: Stage) -> None:
    """An empty answer that is taken back before its hold is over has no effect."""
    feed = _feed(stage)
    with stage.coverage.lasting("source is empty for a moment"):
        outcome = stage.script.choice([Outcome.EMPTY, Outcome.GONE])
        feed.say(Observation(outcome), part=stage.script.choice([None, *PARTS]))
        await stage.pass_(stage.script.uniform(0.0, 25.0))
        feed.found(tuple(sorted(feed.good)))


@accident("source names what is denied")
async def source_names_what_is_denied(stage: Stage) -> None:
    """As a registry does that somebody has got into: each of the others is served on."""
    feed = _restless(stage)
    feed.found(some(stage, feed.members), also=DENIED)
    stage.begin("source names what is denied", stage.script.uniform(1.0, 90.0), lambda: feed.found(feed.shown))


@accident("source repeats a secret")
async def source_repeats_a_secret(stage: Stage) -> None:
    """It answers with what it was asked, or fails in another way that makes people look at the request."""
    server = stage.world.server
    server.way = stage.script.choice(list(server.WAYS))

    def mend() -> None:
        server.way = ""

    stage.begin("source repeats a secret", stage.script.uniform(5.0, 60.0), mend)


def _feed(stage: Stage) -> Feed:
    return stage.world.feeds[stage.script.choice(list(stage.world.feeds))]


def _restless(stage: Stage) -> Feed:
    """One of those that name others now and then; "estate" is kept for where its guard is looked at."""
    return stage.world.feeds[stage.script.choice(RESTLESS)]
