"""The plan of one service in a pass, with what commands that run once hold back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from extsync.engine.passes import OnceOptions, Work
from extsync.engine.probing import Probing
from extsync.engine.service import Decision
from extsync.engine.snapshot import Snapshot
from extsync.engine.withhold import EVERY_ONE_FAILS, NONE_IS_ALLOWED, keep_published
from extsync.model import UNKNOWN, Endpoint, Verdict
from extsync.plan.changes import Changes, allowed
from extsync.plan.published import Published
from extsync.plan.retain import retain
from extsync.seams import Clock


class Planner:
    """Plans services of a pass from what ``view`` and ``probing`` know now."""

    def __init__(self, options: OnceOptions, view: Snapshot, probing: Probing, clock: Clock) -> None:
        self._options = options
        self._view = view
        self._probing = probing
        self._clock = clock

    def verdicts(self, work: Work) -> tuple[Verdict | None, ...]:
        """The verdicts on the candidates, aligned; what they are is up to ``OnceOptions.probe``."""
        current = self._view.current(work.key)
        clock = self._clock
        candidates = work.state.candidates(current, clock.monotonic(), wall=clock.wall())
        rules = work.state.prepared.rules
        if self._options.probe:
            return self._probing.sync(work.key, candidates, rules)
        published = work.state.published(current)
        is_kept = (bool(rules) and published.get(candidate.identity) is not None for candidate in candidates)
        return tuple(UNKNOWN if kept else None for kept in is_kept)

    def plan(self, work: Work) -> Changes:
        """One look at a service; what it says replaces what the last look said."""
        clock, result = self._clock, work.result
        current = self._view.current(work.key)
        withheld: list[str] = []
        verdicts = self.verdicts(work)
        decision = work.state.decide(
            current,
            verdicts,
            now=clock.monotonic(),
            wall=clock.wall(),
            adjust=partial(self._adjust, work, withheld),
            failback_delay=0.0 if self._may_fail_back(work, verdicts) else None,
        )
        result.decision, result.current = decision, current
        result.plan_withheld = withheld + self._withheld_by_guard(work, decision)
        self._tell(work, decision)
        return allowed(decision.plan.changes, self._options.policy, service_exists=current.service is not None)

    def _adjust(
        self, work: Work, withheld: list[str], endpoints: tuple[Endpoint, ...], published: Published
    ) -> tuple[Endpoint, ...]:
        """Puts back what is not believed at first sight, or what the policy keeps; why goes into ``withheld``."""
        kept = endpoints if self._options.allow_empty else keep_published(endpoints, published)
        if kept is not endpoints:
            withheld.append(EVERY_ONE_FAILS)
        if self._options.policy == "upsert-only":
            return retain(kept, published.endpoints)
        gathering = work.state.gathering
        if gathering.wholly_denied and not self._options.allow_empty:
            all_of_it = retain(kept, gathering.allowed(published.endpoints))
            if len(all_of_it) > len(kept):
                withheld.append(NONE_IS_ALLOWED)
            return all_of_it
        return kept

    def _tell(self, work: Work, decision: Decision) -> None:
        """Puts into the result what a person has to know of the decision: as errors what makes the command fail."""
        result, gathering = work.result, work.state.gathering
        errors = [str(refusal) for refusal in decision.plan.refusals]
        errors += [f"source {name!r}: none of its backends can be used" for name in gathering.unusable]
        errors += [f"source {name!r}: none of its backends is allowed" for name in gathering.wholly_denied]
        fault = self._probing.fault(work.key)
        if fault:
            errors.append(fault)
        known = work.doubted | gathering.unusable | gathering.wholly_denied
        remarks = (*work.state.remarks(decision, besides=known), *self._probing.remarks(work.key))
        guarded = () if decision.suppressed is None else tuple(decision.suppressed.lines())
        result.plan_errors = errors
        result.plan_remarks = [text for text in remarks if text not in (fault, *guarded, *errors)]

    def _withheld_by_guard(self, work: Work, decision: Decision) -> list[str]:
        """What the guard withholds, where the policy would let it leave."""
        if decision.suppressed is None or self._options.policy != "sync":
            return []
        return list(decision.suppressed.lines(f"--allow-removal {work.key}"))

    def _may_fail_back(self, work: Work, verdicts: Sequence[Verdict | None]) -> bool:
        """Whether a standby tier that is no longer needed goes at once.

        A pass ends before a delay could, and the next one would start it anew. In place of time it takes certainty:
        everything has answered, and every endpoint that is checked has a verdict of this pass.
        """
        if not work.state.gathering.settled:
            return False
        known = all(verdict is None or verdict.health is not UNKNOWN.health for verdict in verdicts)
        return not work.state.prepared.rules or (self._options.probe and known)

    def waiting_for(self, work: Work) -> list[str]:
        """What others have to do before the rest of the plan can be done."""
        decision = work.result.decision
        if decision is None or self._options.policy != "sync":
            return []
        return [str(note) for note in decision.plan.notes]
