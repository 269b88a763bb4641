"""What who asks may do, and what extsync's ServiceAccount may do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from extsync.doctor.checks.rights import LEASES, LOOKS, NEEDED, OPTIONAL
from extsync.doctor.facts import AccountFacts, Seen, Unread
from extsync.doctor.gathering.asking import Asking
from extsync.doctor.kinds import ServiceAccount
from extsync.errors import NotFound
from extsync.kube.enquiries import Answered, Enquiries, Right

AT_ONCE: Final = 8
"""Questions that are under way at a time."""


async def read_rights(asking: Asking, enquiries: Enquiries, namespace: str) -> tuple[tuple[Right, Seen[Answered]], ...]:
    """Which of doctor's own looks who asks is allowed in ``namespace`` ("": in all)."""
    rights = [Right(verb, resource, group, namespace) for verb, group, resource in LOOKS]
    rights += [Right("list", "nodes"), Right("get", "configmaps", "", "kube-system", "kube-proxy")]
    return await _all(asking, rights, lambda right, timeout: enquiries.may(right, timeout=timeout))


async def read_account(
    asking: Asking, enquiries: Enquiries, account: tuple[str, str], *, space: str, leases: str
) -> AccountFacts:
    """What the ServiceAccount of that namespace and name may do.

    That is asked of ``space`` ("": everywhere) and, of Leases, of the namespace ``leases`` ("": the account's own).
    """
    namespace, name = account
    found = await asking.get(ServiceAccount, namespace, name)
    exists: Seen[bool] = found if isinstance(found, Unread) else found is not None
    if exists is False:
        return AccountFacts(namespace=namespace, name=name, exists=False)
    rights = [
        Right(verb, resource, group, space if resource not in ("nodes", "servicecidrs") else "")
        for group, resource, verbs in (*NEEDED, *OPTIONAL)
        for verb in verbs
    ]
    group, resource, verbs = LEASES
    rights += [Right(verb, resource, group, leases or namespace) for verb in verbs]

    def may(right: Right, timeout: float) -> Awaitable[Answered]:
        return enquiries.may_account(right, namespace=namespace, name=name, timeout=timeout)

    return AccountFacts(namespace=namespace, name=name, exists=exists, rights=await _all(asking, rights, may))


async def _all(
    asking: Asking, rights: Sequence[Right], may: Callable[[Right, float], Awaitable[Answered]]
) -> tuple[tuple[Right, Seen[Answered]], ...]:
    """The answers in the order of the questions. Where the first may not be asked, none may be."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(right: Right) -> Seen[Answered]:
        async with gate:
            return await asked(asking, lambda timeout: may(right, timeout))

    first = await one(rights[0])
    if isinstance(first, Unread):
        return ((rights[0], first),)
    others = await asyncio.gather(*map(one, rights[1:]))
    return tuple(zip(rights, (first, *others), strict=True))


async def asked(asking: Asking, question: Callable[[float], Awaitable[Answered]]) -> Seen[Answered]:
    """The answer to a review; an old server does not know it."""

    async def ask(*, timeout: float) -> Answered:
        return await question(timeout)

    try:
        return await asking.ask(ask)
    except NotFound as error:
        return Unread(str(error))
