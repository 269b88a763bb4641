"""The reconcile of one service: current, desired, plan, write."""

from __future__ import annotations

import logging
from functools import partial

from extsync.address_policy import AddressPolicy
from extsync.engine.adoptees import Adoptees
from extsync.engine.denials import record_denials
from extsync.engine.happenings import announce, concerned
from extsync.engine.isolation import Isolation
from extsync.engine.kept import Kept
from extsync.engine.leading import Leadership
from extsync.engine.options import Options
from extsync.engine.other_writers import OtherWriters
from extsync.engine.ownership import Ownership
from extsync.engine.probing import Probing
from extsync.engine.publishing import Publisher
from extsync.engine.queue import WorkQueue
from extsync.engine.rereading import reread_slices
from extsync.engine.service import Decision
from extsync.engine.services import Services
from extsync.engine.view import ClusterView
from extsync.engine.withholding import record
from extsync.errors import StoreError
from extsync.histogram import Histogram
from extsync.kube.answered import is_as_sent, is_in_vain
from extsync.kube.events import Recorder
from extsync.kube.store import Store
from extsync.kube.writer import Written
from extsync.model import ServiceKey
from extsync.plan.plan import Current
from extsync.plan.published import Published
from extsync.plan.removal import removal
from extsync.seams import Clock

log = logging.getLogger(__name__)

SPREAD = 57.0
"""Seconds over which the writes per minute of a service are spread while its verdicts keep changing, as at a start or
when a rack loses its power: then no verdict has to wait until a minute is over."""

PLAN_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""The bounds between which durations of plans are counted."""

SOONEST = 0.01
"""Seconds until the soonest look at a service that nothing but time asks for."""


class Reconciler:
    """Looks at one service at a time, of those whose keys are on ``queue``; several may work at once."""

    def __init__(
        self,
        services: Services,
        view: ClusterView,
        queue: WorkQueue,
        probing: Probing,
        publisher: Publisher,
        leadership: Leadership,
        recorder: Recorder,
        isolation: Isolation,
        others: OtherWriters,
        *,
        store: Store,
        options: Options,
        clock: Clock,
    ) -> None:
        self._services = services
        self._view = view
        self._queue = queue
        self._probing = probing
        self._publisher = publisher
        self._leadership = leadership
        self._recorder = recorder
        self._isolation = isolation
        self._others = others
        self._store, self._timeout = store, options.request_timeout
        self._adoptees = Adoptees(store, timeout=options.request_timeout)
        self._ownership = Ownership(recorder)
        self._owner = options.owner
        self._standby_probes = options.standby_probes
        self._clock = clock
        self.policy: AddressPolicy = options.limits.policy
        """Which addresses are allowed, with what is known of the cluster."""
        self.plan_seconds = Histogram.of(*PLAN_SECONDS)
        """How long plans took."""

    async def work(self) -> None:
        """Takes keys from the queue, one after the other, until the task is cancelled."""
        while True:
            await self._clock.sleep(0)  # sources that have just been started report before they are looked at
            key = await self._queue.get()
            try:
                await self._serve(key)
            finally:
                self._queue.done(key)
                self._services.followers.tell(key)

    async def _serve(self, key: ServiceKey) -> None:
        kept = self._services.get(key)
        if kept is None:
            return
        try:
            written = await self._reconcile(kept)
        except StoreError as error:
            kept.warn([f"what is to be taken over cannot be read: {error}"])
            self._publisher.failed(key)
        except Exception:  # a defect: it must not take the other services down with it
            log.exception("%s: a defect in extsync; tried again in %.0f s", key, self._publisher.failed(key))
        else:
            self._publisher.settle(kept, written)

    async def _reconcile(self, kept: Kept) -> Written:
        """current, desired, plan, write: one look at one service."""
        key, clock = kept.state.key, self._clock
        self._see_who_leads(kept)
        if kept.leaving:
            return await self._remove(kept)
        current = await self._adoptees.completed(key, self._view.current(key), kept.state.prepared.pack_policy)
        now = clock.monotonic()
        kept.state.gathering.policy = self.policy
        candidates = kept.state.candidates(current, now, wall=clock.wall())
        if not (kept.leads or self._standby_probes):
            return self._stand_by(kept, now)
        published = kept.state.published(current)
        verdicts = self._probing.sync(key, candidates, kept.state.prepared.rules, published=published)
        in_doubt = self._probing.in_doubt(key)
        verdicts = kept.deference.apply(candidates, verdicts, now, in_doubt=in_doubt)
        decision = kept.state.decide(current, verdicts, now=now, wall=clock.wall())
        self.plan_seconds.observe(clock.monotonic() - now)
        kept.tell_sources(now)
        others_at = self._others.look(kept, current) if kept.leads else None
        kept.report(decision, [*self._probing.remarks(key), *kept.of_others()])
        for at in filter(None, (decision.look_again, kept.deference.look_again, kept.flapping.due, others_at)):
            self._queue.add_after(key, max(SOONEST, at - now))
        if not kept.leads:
            kept.deference.note(candidates, decision.judged, verdicts, published, now, in_doubt=in_doubt)
            return Written()
        self._announce(kept, decision, current, published, now=now)
        self._ownership.refused(kept, decision.plan.refusals, current)
        if not decision.plan.changes.is_empty:
            kept.rests_until = now + SPREAD / kept.state.prepared.manifest.spec.policy.writes_per_minute
        with self._view.writing(key, decision.plan.changes):
            written = await self._publisher.write(kept, decision.plan.changes, current)
        if written.stale:
            await reread_slices(self._store, self._view, key, timeout=self._timeout)
        made = [one for one in written.done if not is_in_vain(one)]
        if made and (decision.plan.notes or not all(map(is_as_sent, made))):
            self._queue.add(key)  # what was written may make room for more, or was changed on its way
        if written.done:  # nobody looks again for that
            self._probing.show(key, kept.state.published(self._view.current(key)))
        self._others.wrote(kept, written)
        self._ownership.written(kept, written, current.service)
        return written

    def _announce(self, kept: Kept, decision: Decision, current: Current, published: Published, *, now: float) -> None:
        """Tells by events what is new of the service by ``now``."""
        about, waited = concerned(current, published), kept.news.due
        if not about:
            return
        self._isolation.record(kept, about)
        record_denials(kept, about, self._recorder)
        record(kept, about, self._recorder)
        for one in kept.happenings(decision, published, now):
            on = concerned(current, published, one.addresses) if one.addresses else about
            announce(self._recorder, on, one.reason, one.text)
        if waited is None and (due := kept.news.due) is not None:
            self._clock.call_later(due - now, partial(self._announce_later, kept, due))

    def _announce_later(self, kept: Kept, due: float) -> None:
        """Tells what was gathered until ``due``: no plan has to be made for that."""
        if kept.decision is None or not kept.leads or self._services.get(kept.state.key) is not kept:
            return
        current = self._view.current(kept.state.key)
        published, now = kept.state.published(current), max(due, self._clock.monotonic())
        self._announce(kept, kept.decision, current, published, now=now)

    def _see_who_leads(self, kept: Kept) -> None:
        leads = self._leadership.leads(kept.state.key)
        if leads and not kept.leads:
            self._publisher.afresh(kept.state.key)
            kept.begin_to_lead(self._clock.monotonic())
        kept.leads = leads

    def _stand_by(self, kept: Kept, now: float) -> Written:
        """Follows the sources and leaves the probing to the replica that leads."""
        self._probing.forget(kept.state.key)
        kept.rest()
        kept.tell_sources(now)
        if (due := kept.flapping.due) is not None:
            self._queue.add_after(kept.state.key, max(SOONEST, due - now))
        return Written()

    async def _remove(self, kept: Kept) -> Written:
        """Takes away what was made for a service whose manifest is gone."""
        key = kept.state.key
        self._probing.forget(key)
        # A Service that its manifest did not keep stays, also where it could not be released.
        with_service = kept.state.prepared.wish is not None
        current = self._view.current(key)
        changes = removal(current, self._owner, with_service=with_service)
        if not (kept.leads or changes.is_empty):
            return Written()
        written = await self._publisher.write(kept, changes, current)
        if len(written.done) == len(changes) and self._services.forget(kept):
            self._publisher.forget(key)
            self._adoptees.forget(key)
        return written
