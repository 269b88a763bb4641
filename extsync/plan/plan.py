"""Plan: from what a service should show and what the cluster shows to the changes that are needed."""

from __future__ import annotations

from operator import is_

import msgspec

from extsync.changes import ApplyService
from extsync.model import Endpoint, ServiceKey
from extsync.objects import Service
from extsync.plan.changes import Changes
from extsync.plan.difference import changed_places
from extsync.plan.policy import Notice, PackPolicy, Refusal
from extsync.plan.publication import Current, PublicationMemo, outlived_changes, publish
from extsync.plan.service import ServiceWish, release_change, service_change, use_refusal

__all__ = ["Current", "Plan", "PlanMemo", "plan"]


class Plan(msgspec.Struct, frozen=True):
    """The changes that make the cluster show what is desired, and what there is to say besides.

    ``refusals`` are what the manifest asks for and is not done. A refusal starts nothing: where nothing of the service
    is published yet, there are no changes. And it stops nothing: what is published already is kept true.
    ``warnings`` are about what is published, ``notes`` say what a later plan waits for.
    """

    changes: Changes = Changes()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Notice, ...] = ()
    notes: tuple[Notice, ...] = ()


class PlanMemo:
    """What the last plan of one service worked out. It makes the next one cost what changed, and changes no result."""

    def __init__(self) -> None:
        self.publication = PublicationMemo()
        self.asked: _Question | None = None
        self.answer = Plan()
        self._service: tuple[Service | None, ServiceWish, ApplyService | Refusal | None] | None = None

    def service_change(self, service: Service | None, wish: ServiceWish) -> ApplyService | Refusal | None:
        """``plan.service.service_change``, worked out once a version of the Service."""
        known = self._service
        if known is None or known[0] is not service or known[1] != wish:
            known = self._service = service, wish, service_change(service, wish)
        return known[2]


class _Question(msgspec.Struct, frozen=True):
    """The inputs of a plan, without the trigger time."""

    current: Current
    endpoints: tuple[Endpoint, ...]
    policy: PackPolicy
    wish: ServiceWish | None
    settled: bool

    def same_as(self, other: _Question) -> bool:
        mine, others = self.current, other.current
        return (
            publish_alike(self.endpoints, other.endpoints)
            and mine.service is others.service
            and mine.endpoints is others.endpoints
            and len(mine.slices) == len(others.slices)
            and all(map(is_, mine.slices, others.slices))
            and self.policy == other.policy
            and self.wish == other.wish
            and self.settled is other.settled
        )


def plan(
    key: ServiceKey,
    current: Current,
    endpoints: tuple[Endpoint, ...],
    policy: PackPolicy,
    *,
    wish: ServiceWish | None = None,
    settled: bool = True,
    triggered: str | None = None,
    memo: PlanMemo | None = None,
) -> Plan:
    """The changes that make ``current`` publish ``endpoints``, in the order in which they are to be made.

    ``wish`` is the Service that the manifest keeps, None where it has to exist. ``settled``: every source has reported,
    so that what is not among ``endpoints`` is not wanted. ``triggered`` is the time of what
    caused this plan (``metadata.trigger_time``); it goes onto what is written and by itself causes no write. With the
    same ``memo`` in the next call for this service the cost of that follows what changed since.

    Each plan is made from the present state of everything: what cannot be done yet is left to a later one.
    """
    memo = PlanMemo() if memo is None else memo
    question = _Question(current, endpoints, policy, wish, settled)
    if memo.asked is None or not memo.answer.changes.is_empty or not question.same_as(memo.asked):
        memo.answer = _plan(key, question, triggered, memo)
    memo.asked = question
    return memo.answer


def publish_alike(endpoints: tuple[Endpoint, ...], others: tuple[Endpoint, ...]) -> bool:
    """Whether the endpoints are the same but for their reasons, which are not published.

    After a start most verdicts change no more than that: what was kept as published is found to be healthy.
    """
    if endpoints is others:
        return True
    return len(endpoints) == len(others) and all(
        msgspec.structs.replace(endpoints[place], why=others[place].why) == others[place]
        for place in changed_places(others, endpoints)
    )


def _plan(key: ServiceKey, question: _Question, triggered: str | None, memo: PlanMemo) -> Plan:
    service = question.current.service
    change = _change_of_service(service, question, memo)
    applies = (change,) if isinstance(change, ApplyService) else ()
    refusals: tuple[Refusal, ...] = (change,) if isinstance(change, Refusal) else ()
    if service is None:
        outlived = outlived_changes(question.current.slices, question.policy.owner)
        return Plan(Changes((*applies, *outlived)), () if applies else (_no_service(key),))
    publication = publish(
        question.current,
        service,
        question.endpoints,
        question.policy,
        triggered,
        memo.publication,
        settled=question.settled,
    )
    refusals += publication.refusals
    if refusals and not publication.is_started:
        return Plan(refusals=refusals)
    if applies and publication.is_ahead:
        return Plan(Changes(applies), refusals, notes=(_FOR_THE_SERVICE,))
    return Plan(Changes((*applies, *publication.changes)), refusals, publication.warnings, publication.notes)


def _change_of_service(service: Service | None, question: _Question, memo: PlanMemo) -> ApplyService | Refusal | None:
    if question.wish is not None:
        return memo.service_change(service, question.wish)
    if service is None:
        return None
    return use_refusal(service, question.policy.owner) or release_change(service, question.policy.owner)


_FOR_THE_SERVICE = Notice(
    "WaitingForService",
    "not yet: endpoints have ports that the Service is to get first, or nothing would reach them",
)


def _no_service(key: ServiceKey) -> Refusal:
    return Refusal(
        "NoService",
        f"there is no Service {key}",
        "create it; or let extsync keep it, with spec.service in the manifest",
    )
