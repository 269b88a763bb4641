"""A service that a run keeps, and what was last said of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from extsync.changes import Change
from extsync.engine.flapping import Flapping
from extsync.engine.journal import Journal, Topic
from extsync.engine.marks import Marks
from extsync.engine.news import Happening, News
from extsync.engine.service import Decision, ServiceState
from extsync.engine.sources import RunningSources
from extsync.engine.tally import PublishedTally, Tally, tally
from extsync.engine.telling import transitions
from extsync.engine.tidings import Tidings
from extsync.kube.writer import ObjectKey
from extsync.model import Endpoint, Outcome
from extsync.plan.deference import Deference
from extsync.plan.policy import Refusal
from extsync.plan.published import Published

log = logging.getLogger(__name__)

RESTS: Final = "another replica writes for it; this one does not probe for it, as the setting standbyProbes says"


class OtherWriter:
    """Another process that writes a service: its mark (see ``marks``), what is said of it, when it last wrote."""

    def __init__(self, mark: str, text: str, seen_at: float) -> None:
        self.mark = mark
        self.text = text
        self.seen_at = seen_at


class Kept:
    """A service that is kept: its state, its running sources and what was last said of it.

    ``frozen``: its failures are not believed. ``withheld`` is the hash of the removal of which an event tells,
    None where that is for the objects to say.
    ``unanswered`` are writes of which it is not known whether they were made. ``rests_until`` is the monotonic time
    before which no change of verdicts causes a look at it. ``leads``: this replica has led for it without a gap since
    the last look. ``reports`` are how many there were of each source, by outcome, ``journal`` is what was said
    lately. ``refused`` is of what there have been events, ``contested_fields`` are the conflicts of fields, in words,
    and ``denied`` the denied backends, in words, of which there have been. ``marks`` are on its objects, and
    ``other_writer`` is who writes them besides this installation.
    """

    def __init__(self, state: ServiceState, sources: RunningSources, journal: Journal) -> None:
        self.state = state
        self.sources = sources
        self.journal = journal
        self.remarks: tuple[str, ...] = ()
        """What there is to say of it now."""
        self.decision: Decision | None = None
        self.leaving = False
        self.rests_until = 0.0
        self.frozen = False
        self.leads = False
        self.deference = Deference()
        self.denied: frozenset[str] = frozenset()
        self.withheld: str | None = None
        self.unanswered: dict[ObjectKey, Change] = {}
        self.refused: frozenset[Refusal] = frozenset()
        self.contested_fields: frozenset[str] = frozenset()
        self.marks = Marks()
        self.other_writer: OtherWriter | None = None
        self.reports: Counter[tuple[str, Outcome]] = Counter()
        self.flapping = Flapping()
        self.news = News()
        """What was told of it by events."""
        self._tidings = Tidings()
        self._remarked: frozenset[str] = frozenset()
        self._warned: frozenset[str] = frozenset()
        self.published_tally = PublishedTally()
        self._tallied: tuple[tuple[Endpoint, ...], Tally] = (), Tally()

    def tally(self) -> Tally | None:
        """How many of the endpoints of the latest decision are how; None where there is none."""
        if self.decision is None:
            return None
        endpoints = self.decision.endpoints
        if endpoints is not self._tallied[0]:
            self._tallied = endpoints, tally(endpoints)
        return self._tallied[1]

    def begin_to_lead(self, now: float) -> None:
        """What was decided beside another replica is to be published from now on."""
        timings = [rule.timing for rule in self.state.prepared.rules]
        patience = (t.period * max(t.failure_threshold, t.success_threshold) + t.timeout for t in timings)
        self.state.take_over(self.deference.take_over(now, max(patience, default=0.0)))
        self.rests_until = 0.0
        self.news = News()  # until now another replica told of it
        self.leads = True
        self.withheld = None
        self.marks.forget()
        self.other_writer = None

    def rest(self) -> None:
        """Another replica writes for it and probes for it as well: what this one decided before is no more so."""
        self.state.rest()
        self.decision = None
        self.remarks = (RESTS,)

    def of_others(self) -> list[str]:
        """What there is to say of another process that writes the service, too."""
        return [] if self.other_writer is None or not self.leads else [self.other_writer.text]

    def tell_sources(self, now: float) -> None:
        """Logs what turned in the sources: what leaves after a hold, and what is back."""
        for line in self.flapping.look(self.state.gathering.reports.standings(), now):
            self.say(Topic.SOURCE, line, level=logging.WARNING)
        for line in self._tidings.tell(self.state.sources, now, hushed=self.flapping.hushed):
            self.say(Topic.SOURCE, line)

    def report(self, decision: Decision, more: list[str]) -> None:
        """Logs what is new in ``decision``: endpoints that changed, and what there is to say of the service."""
        before, self.decision = self.decision, decision
        for line in transitions(before, decision, rejected=self.state.merged.rejected):
            self.say(Topic.ENDPOINT, line.text, addresses=line.addresses, reason=line.reason)
        more = [*self.state.waits, *more]
        said = self.remarks = tuple(dict.fromkeys((*self.state.remarks(decision), *more)))
        if hushed := self.flapping.hushed:
            said = (*self.state.remarks(decision, besides=hushed), *more)
        self._remarked = self._say_new(Topic.NOTICE, said, self._remarked)

    def happenings(self, decision: Decision, published: Published, now: float) -> Iterator[Happening]:
        """What happened by ``now`` since the last time, for events."""
        state, tally = self.state, self.tally() or Tally()
        min_ready, settled = state.prepared.manifest.spec.policy.min_ready, state.gathering.settled
        yield from self.news.of_endpoints(decision, published, now)
        yield from self.news.of_level(decision, tally, min_ready=min_ready, settled=settled)
        yield from self.news.of_sources(state.sources, self.flapping.hushed)

    def warn(self, lines: list[str]) -> None:
        """Logs what went wrong with the last writes, where it is not what went wrong the time before."""
        self._warned = self._say_new(Topic.WRITE, lines, self._warned)

    def say(
        self,
        topic: Topic,
        line: str,
        *,
        level: int = logging.INFO,
        addresses: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Logs a line about the service and keeps it in the journal.

        For machines the line has, besides, the ``addresses`` of the endpoints that it is about and its ``reason``.
        """
        fields = {"service": str(self.state.key), "topic": topic.value, "addresses": addresses, "reason": reason}
        fields = {name: value for name, value in fields.items() if value}
        log.log(level, "%s: %s", self.state.key, line, extra={"fields": fields})
        self.journal.add(topic, line)

    def _say_new(self, topic: Topic, lines: Iterable[str], said: frozenset[str]) -> frozenset[str]:
        """Says those of ``lines`` that were not ``said`` the last time; returns what to compare with next time."""
        now = dict.fromkeys(lines)
        for line in now:
            if line not in said:
                self.say(topic, line, level=logging.WARNING)
        return frozenset(now)
