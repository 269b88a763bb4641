"""What a source counts for: its last good set of backends, and how long a worse answer is held off. Pure.

The rule of each outcome (only a good answer may shrink a set, and a failure never does):

========  ==========================================================================================================
FOUND     replaces the set; a backend that the answer no longer names stays until ``hold.obsolete`` has passed
EMPTY     empties the set once ``hold.nodata`` has passed since the first of an unbroken run of EMPTY and GONE
GONE      the same, after ``hold.nx``
ERROR     keeps the set, for ever, and marks it stale
SUSPECT   the same
========  ==========================================================================================================

While the latest outcome is ERROR or SUSPECT nothing leaves, even if it was on its way out: a source that cannot be read
has no chance to name a backend again. The run of EMPTY and GONE is ended by FOUND only, so that a server that answers
"none" and fails in turn is believed in the end, at one of its answers.

A source that asks several questions (names, services, address families) reports them as parts, and each part is held to
these rules by itself: what it had stays while it fails, and the others go on. A report without parts and backends
speaks of each part. A part that a report no longer has is one that is no longer asked for, and goes at once.

Parts that another part named (``Observation.named_by``) come and go with its answers:

========  ==========================================================================================================
FOUND     a part that it no longer names stays as it is until ``hold.obsolete`` has passed
EMPTY     counts for each part that it named, too, and so empties them after ``hold.nodata`` or ``hold.nx``
GONE      the same
ERROR     the same: each part that it named keeps its set, and nothing leaves, even if it was on its way out
SUSPECT   the same
========  ==========================================================================================================

Times are seconds of one monotonic clock and come in as parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import is_not
from typing import Final

import msgspec

from extsync.model import Backend, Observation, Outcome
from extsync.sources.part import FAILED, NEGATIVE, Hold, Part
from extsync.sources.standing import Standing, together

_WHOLE: Final = ""
"""The name under which a source without parts is kept."""


class LastGood:
    """The last good set of one source.

    ``backends`` is what counts now; it is the same object as long as nothing changes. ``hold`` may be exchanged.
    """

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._parts: dict[str, Part] = {}
        self._departing: dict[str, float] = {}
        self._sets: tuple[tuple[Backend, ...], ...] = ()
        self.backends: tuple[Backend, ...] = ()

    @property
    def hold(self) -> Hold:
        return self._hold

    @hold.setter
    def hold(self, hold: Hold) -> None:
        self._hold = hold
        for part in self._parts.values():
            part.hold = hold

    @property
    def reported(self) -> bool:
        """True from the moment a good answer has taken effect of each part that the manifest asks for.

        Until then the removals of the service wait.
        """
        return bool(self._parts) and all(part.reported for part in self._parts.values() if not part.named_by)

    @property
    def complete(self) -> bool:
        """True once that goes for each part that an answer named as well, for which alone it is asked then.

        Until then something that was found published may belong to a part that has only failed so far. A part that is
        named later has nothing published, so that its failures take nothing back.
        """
        return bool(self._parts) and all(part.complete for part in self._parts.values() if not part.named_by)

    @property
    def is_silent(self) -> bool:
        """Whether there was no report at all yet, not even of a failure."""
        return not self._parts

    def observe(self, observation: Observation, now: float) -> bool:
        """Takes in a report that came at ``now``, and lets whatever is due by then take effect.

        Returns whether that makes a difference to anything but the age of the source.
        """
        if observation.parts:
            changed = self._take(observation.parts, now)
        elif observation.backends or not self._parts:
            changed = self._take(((_WHOLE, observation),), now)
        else:  # it speaks of the source as a whole
            differences = [part.observe(observation, now) for part in self._parts.values()]
            changed = any(differences)
        self._gather(now)
        return changed

    def advance(self, now: float) -> None:
        """Lets what is due by ``now`` take effect; to be called at ``due()`` at the latest."""
        for part in self._parts.values():
            part.advance(now)
        self._gather(now)

    def negative(self) -> tuple[str, ...]:
        """The parts whose latest answer is that there are no backends; "" is a source without parts.

        EMPTY beside a part that is FOUND is not among them: a name that has addresses of one family only.
        """
        asked = {name: part for name, part in self._parts.items() if name not in self._departing}
        found = any(part.outcome is Outcome.FOUND and part.backends for part in asked.values())
        said = (Outcome.GONE,) if found else NEGATIVE
        return tuple(name for name, part in asked.items() if part.outcome in said)

    def doubt(self, parts: Iterable[str], why: str, now: float) -> None:
        """Takes back that an answer of these parts was ever believed, and has them SUSPECT instead."""
        for name in parts:
            namer = self._parts[name].named_by
            part = self._parts[name] = Part(self._hold)
            part.named_by = namer
            part.observe(Observation(Outcome.SUSPECT, detail=why), now)
            if namer:
                self._parts[namer].complete = False
        self._gather(now)

    def due(self) -> float | None:
        """When ``advance`` has something to do next; None where only a report can change anything."""
        times = [part.due() for part in self._parts.values()]
        times += [until for name, until in self._departing.items() if self._named_by(name).outcome not in FAILED]
        return min((time for time in times if time is not None), default=None)

    def standing(self) -> Standing:
        """Everything there is to say of the source besides its backends."""
        parts = {name: part for name, part in self._parts.items() if name not in self._departing}
        standings = {name: part.standing() for name, part in parts.items()}
        if len(standings) == 1 and _WHOLE in standings:
            return standings[_WHOLE]
        whole = together(standings, {name: part.named_by for name, part in parts.items()})
        departing = [(one, until) for name, until in self._departing.items() for one in self._parts[name].backends]
        return msgspec.structs.replace(whole, reported=self.reported, leaving=(*whole.leaving, *departing))

    def _take(self, answers: tuple[tuple[str, Observation], ...], now: float) -> bool:
        """Takes in the answers of all parts; returns whether that makes a difference."""
        before, self._parts = self._parts, {}
        asked = {name for name, answer in answers if not answer.named_by}
        namers = {answer.named_by for _, answer in answers}
        changed = False
        for name, answer in answers:
            part = self._parts[name] = before.get(name) or Part(self._hold)
            part.named_by = answer.named_by if answer.named_by in asked else ""
            changed = part.observe(answer, now, is_namer=name in namers) or changed
            changed = self._departing.pop(name, None) is not None or changed
        for name, part in before.items():
            if name not in self._parts:
                changed = self._miss(name, part, now) or changed
        return changed

    def _miss(self, name: str, part: Part, now: float) -> bool:
        """What becomes of a part that a report does not have; returns whether that makes a difference."""
        namer = self._parts.get(part.named_by)
        if not part.named_by or namer is None:
            self._departing.pop(name, None)
            return True
        self._parts[name] = part
        if namer.outcome is not Outcome.FOUND:
            return part.follow(namer, now)
        part.end_run()
        is_news = name not in self._departing
        self._departing.setdefault(name, now + namer.obsolete)
        return is_news

    def _named_by(self, name: str) -> Part:
        return self._parts[self._parts[name].named_by]

    def _is_over(self, name: str, part: Part, now: float) -> bool:
        """Whether a part has left for good: its time is up, or there is nothing of it any more."""
        outcome = self._named_by(name).outcome if part.named_by else None
        if outcome is None or outcome in FAILED:
            return False
        if name in self._departing and self._departing[name] <= now:
            return True
        return outcome in NEGATIVE and part.reported and not part.backends

    def _gather(self, now: float) -> None:
        """Lets go of the parts that are over, and renews ``backends`` where the set of a part is another one."""
        for name in [name for name, part in self._parts.items() if self._is_over(name, part, now)]:
            del self._parts[name]
            self._departing.pop(name, None)
        awaited = {part.named_by for part in self._parts.values() if not part.reported}
        for name, part in self._parts.items():
            part.complete = part.complete or (part.reported and name not in awaited)
        sets = tuple(part.backends for part in self._parts.values())
        if len(sets) != len(self._sets) or any(map(is_not, sets, self._sets)):
            self._sets = sets
            self.backends = sets[0] if len(sets) == 1 else tuple(chain.from_iterable(sets))
