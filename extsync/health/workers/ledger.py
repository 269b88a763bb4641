"""What the pool knows of its targets: it outlives every worker, so that verdicts do.

A worker that has replaced another knows nothing and counts from zero; what it concludes is compared with what was known
before, and only a difference is a transition.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from socket import AF_INET, AF_INET6, inet_pton

import msgspec

from extsync.health.target import Sign, Target
from extsync.health.workers.rules import Rule, Rules
from extsync.health.workers.wire import Given, Report
from extsync.model import UNKNOWN, Health, Verdict


class Entry(msgspec.Struct, gc=False, eq=False):
    """One target, and what is known of it.

    ``revision`` changes with its probes, so that what a worker says of the earlier ones is recognised. ``given`` is the
    number of the worker process that was given it last, 0 for none; ``resumed``: an earlier process had it, so the
    initial delay is over. ``failing``: the latest sign said so; ``signer`` is the number of the process that gave it
    and will tell when that is over, 0 for none. ``open``: some of its probes changed while it was unhealthy, and which
    of them had failed is not known here, so what the worker says next is taken, whatever it is.
    """

    target: Target
    rules: tuple[Rule, ...]
    revision: int
    verdict: Verdict = UNKNOWN
    given: int = 0
    resumed: bool = False
    failing: bool = False
    signer: int = 0
    open: bool = False

    @property
    def fault(self) -> str:
        """Why no worker can ever probe it, or ""."""
        return next((rule.fault for rule in self.rules if rule.fault), "")

    @property
    def trouble(self) -> str:
        """Why none can, or one could not, or ""."""
        return next((rule.trouble for rule in self.rules if rule.trouble), "")

    @property
    def lapse(self) -> float:
        """Seconds after which a verdict that is not confirmed is stale, see staleness."""
        return min(rule.lapse for rule in self.rules)


class Unprobed(msgspec.Struct):
    """That no worker probes a target: why, and since when that is known (monotonic seconds)."""

    fault: str
    since: float | None = None


class News:
    """What changed since it was drained; ``wake`` is called when there is something, once until it is drained."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._told = False
        self._verdicts: dict[Hashable, Verdict] = {}
        self._signs: dict[Hashable, Sign] = {}

    def verdict(self, target: Hashable, verdict: Verdict) -> None:
        self._verdicts[target] = verdict
        self._tell()

    def sign(self, target: Hashable, sign: Sign) -> None:
        self._signs[target] = sign
        self._tell()

    def forget(self, target: Hashable) -> None:
        self._verdicts.pop(target, None)
        self._signs.pop(target, None)

    def clear(self) -> None:
        self._verdicts.clear()
        self._signs.clear()

    def drain(self) -> list[tuple[Hashable, Verdict]]:
        changed = list(self._verdicts.items())
        self._verdicts.clear()
        self._told = False
        return changed

    def drain_signs(self) -> list[tuple[Hashable, Sign]]:
        signs = list(self._signs.items())
        self._signs.clear()
        return signs

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._wake()


class Ledger:
    """The targets of one shard; ``stale`` is how many verdicts are.

    ``unprobed`` are the targets that no worker could take, until one says something of them.
    """

    def __init__(self, rules: Rules, news: News) -> None:
        self._rules = rules
        self._news = news
        self._entries: dict[Hashable, Entry] = {}
        self._revisions = itertools.count(1)
        self.stale = 0
        self.unprobed: dict[Hashable, Unprobed] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._entries)

    def get(self, target: Hashable) -> Entry | None:
        return self._entries.get(target)

    def verdict(self, target: Hashable) -> Verdict:
        """The verdict on a target; where it cannot be probed, what it was, and why."""
        entry = self._entries.get(target)
        if entry is None:
            return UNKNOWN
        unprobed = self.unprobed.get(target)
        if unprobed is None or not unprobed.fault:
            return entry.verdict
        return msgspec.structs.replace(entry.verdict, reason=unprobed.fault)

    def put(self, target: Target) -> bool:
        """Takes up a target; returns whether its worker has to be told. Raises ValueError as Prober.upsert does."""
        entry = self._entries.get(target.id)
        if entry is not None and entry.target.probes == target.probes:
            return False
        _check(target)
        rules = tuple(self._rules.acquire(probe, target.id) for probe in target.probes)
        if entry is None:
            entry = self._entries[target.id] = Entry(target, rules, next(self._revisions))
        else:
            before, entry.rules = entry.rules, rules
            for rule in before:
                self._rules.release(rule)
            self._foresee(entry, target)
            entry.target, entry.revision = target, next(self._revisions)
        if entry.fault or target.id in self.unprobed:
            self.set_aside(entry, entry.fault)
        return True

    def drop(self, target: Hashable) -> Entry | None:
        """Forgets a target and returns what it was; None where there is none."""
        entry = self._entries.pop(target, None)
        if entry is not None:
            self.stale -= entry.verdict.stale
            self._news.forget(target)
            self.unprobed.pop(target, None)
            for rule in entry.rules:
                self._rules.release(rule)
        return entry

    def clear(self) -> None:
        for target in list(self._entries):
            self.drop(target)

    def hear(self, report: Report) -> None:
        """Takes over what a worker concluded, as far as it is about the present revisions."""
        for given, sign in report.signs:
            if entry := self._current(given):
                self._note_probed(entry)
                self._take_sign(entry, sign)
        for given, verdict in report.verdicts:
            if entry := self._current(given):
                self._note_probed(entry)
                self._take_verdict(entry, verdict)

    def refuse(self, given: Given, fault: str) -> bool:
        """Notes that the worker has not taken a target; returns whether that is new. ``fault`` "": see BadTarget."""
        entry = self._current(given)
        if entry is None:
            return False
        entry.given = 0
        return self.set_aside(entry, fault or entry.trouble)

    def set_aside(self, entry: Entry, fault: str) -> bool:
        """Notes that no worker probes a target; returns whether the reason is new."""
        entry.signer = 0
        unprobed = self.unprobed.setdefault(entry.target.id, Unprobed(""))
        is_new = unprobed.fault != fault
        unprobed.fault = fault
        return is_new

    def age(self, seconds: float) -> None:
        """Marks as stale what should have been confirmed within ``seconds``, in which no worker held out."""
        for entry in self._entries.values():
            self._age(entry, seconds)

    def age_unprobed(self, now: float) -> None:
        """Marks as stale what should have been confirmed since no worker probes it."""
        for target, unprobed in self.unprobed.items():
            if unprobed.since is None:
                unprobed.since = now
            self._age(self._entries[target], now - unprobed.since)

    def _age(self, entry: Entry, seconds: float) -> None:
        verdict = entry.verdict
        if verdict.health is not Health.UNKNOWN and not verdict.stale and seconds > entry.lapse:
            self._conclude(entry, msgspec.structs.replace(verdict, stale=True))

    def _note_probed(self, entry: Entry) -> None:
        if self.unprobed.pop(entry.target.id, None) is not None:
            for rule in entry.rules:
                rule.refusal = ""

    def _current(self, given: Given) -> Entry | None:
        target, revision = given
        entry = self._entries.get(target)
        return entry if entry is not None and entry.revision == revision else None

    def _foresee(self, entry: Entry, target: Target) -> None:
        """Says at once what the worker will conclude from a change of probes, where that is certain.

        Nobody may read the verdict of the old probes as that of new ones until the worker has answered. Only of an
        unhealthy target it cannot be known here whether the probe that failed is among those that stay.
        """
        old, new = entry.target.probes, target.probes
        kept = [probe for probe in new if probe in old]
        health = entry.verdict.health
        if not kept or (health is Health.HEALTHY and len(kept) < len(new)):
            self._conclude(entry, UNKNOWN)
            self._end_sign(entry)
        entry.open = health is Health.UNHEALTHY

    def _take_verdict(self, entry: Entry, verdict: Verdict) -> None:
        known = entry.verdict
        if verdict.health is Health.UNKNOWN and not entry.open:  # the worker is new and knows less than is known here
            verdict = msgspec.structs.replace(known, stale=verdict.stale)
        elif verdict.health is known.health:
            verdict = msgspec.structs.replace(verdict, since=known.since)
        entry.open = False
        self._conclude(entry, verdict)
        # A new worker gives no sign of what failed under the one before it; who gave a sign says when that is over.
        if verdict.health is Health.HEALTHY and entry.signer != entry.given:
            self._end_sign(entry)

    def _conclude(self, entry: Entry, verdict: Verdict) -> None:
        known, entry.verdict = entry.verdict, verdict
        if (verdict.health, verdict.stale, verdict.note) != (known.health, known.stale, known.note):
            self.stale += verdict.stale - known.stale
            self._news.verdict(entry.target.id, verdict)

    def _take_sign(self, entry: Entry, sign: Sign) -> None:
        entry.signer = entry.given
        if sign.failing is not entry.failing:
            entry.failing = sign.failing
            was_healthy = sign.was_healthy or (entry.resumed and entry.verdict.health is Health.HEALTHY)
            self._news.sign(entry.target.id, Sign(sign.failing, was_healthy))

    def _end_sign(self, entry: Entry) -> None:
        if entry.failing:
            self._take_sign(entry, Sign(failing=False, was_healthy=entry.verdict.health is Health.HEALTHY))


def _check(target: Target) -> None:
    if not target.probes:
        raise ValueError(f"target {target.id} has no probes")
    for probe in target.probes:
        try:
            inet_pton(AF_INET6 if ":" in probe.host else AF_INET, probe.host)
        except OSError:
            raise ValueError(f"target {target.id}: {probe.host!r} is not an IP address") from None
