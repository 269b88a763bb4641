"""Whether the token may still see what is missing.

What a token has no right to see is missing in Consul's answers as if it were not there. Consul 1.11 and newer say so in
a header (most of the time: hashicorp/consul#20790), older ones do not. But since 1.7 every token may ask what it is
allowed to, as the user interface does. Agents and servers remember for a while what a token may, each by itself
(``acl.policy_ttl``), so that the answer and the right to see it may not be of the same age: only a right that was there
for longer than they remember explains that nothing is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from extsync.decoding import decoded
from extsync.errors import ReadFailed
from extsync.seams import Clock
from extsync.sources.consul.getter import Getter
from extsync.sources.consul.query import Api

_PATH: Final = "/v1/internal/acl/authorize"

MOST_ASKED: Final = 64
"""Rights that Consul lets one ask for at a time."""

_TOO_BUSY: Final = 429


class Rights:
    """Asks for the rights of one source's token."""

    def __init__(self, api: Api, getter: Getter) -> None:
        self._api = api
        self._getter = getter

    async def refused(
        self, service: str, nodes: Iterable[str], *, identity: Mapping[str, str], timeout: float
    ) -> tuple[str, ...] | None:
        """The rights that ``identity`` lacks, in Consul's words, of those to read the service and these nodes.

        None where there are no ACLs, and where the question cannot be asked: before Consul 1.7, or behind a proxy that
        lets no such request through. Raises ReadFailed where an answer may be had later.
        """
        wanted = [("service", service), *(("node", node) for node in sorted(nodes))][:MOST_ASKED]
        questions = [{"Resource": kind, "Access": "read", "Segment": name, **self._api.whose} for kind, name in wanted]
        url = self._api.url(_PATH, whole=True, consistent=False)
        reply = await self._getter.post(url, body=msgspec.json.encode(questions), headers=identity, timeout=timeout)
        if reply.status >= 500 or reply.status == _TOO_BUSY:
            raise ReadFailed(f"{self._api.shown(_PATH)}: the answer has status {reply.status}")
        if reply.status != 200:
            return None
        try:
            answers: list[_Answer] = decoded(reply.body, list[_Answer])
        except msgspec.DecodeError:
            return None
        return tuple(
            f"{kind}:read on {name}" for (kind, name), one in zip(wanted, answers, strict=False) if not one.allow
        )


class Sight:
    """Whether an answer on one service that lists no instance can be told from one that hides them.

    ``remembered`` is for how long the rights of a token are remembered by those who answer, in seconds.
    """

    def __init__(self, rights: Rights, service: str, *, remembered: float, clock: Clock) -> None:
        self._rights = rights
        self._service = service
        self._remembered = remembered
        self._clock = clock
        self._was_refused = False
        self._allowed_at: float | None = None

    async def doubt(
        self, nodes: Collection[str], *, expected: bool, identity: Mapping[str, str], timeout: float
    ) -> str:
        """Why no instance is listed although there may be some, or "". To be asked after each such answer.

        ``nodes`` are those of known instances; ``expected``: there are such.
        """
        try:
            refused = await self._rights.refused(self._service, nodes, identity=identity, timeout=timeout)
        except ReadFailed as error:
            return f"no instance is listed, and whether the token may see them is not known: {error}"
        if refused is None:
            return ""
        if refused:
            self._was_refused, self._allowed_at = True, None
            more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
            return f"no instance is listed, and the token may not see them: it needs {refused[0]}{more}"
        return self._too_early() if expected or self._was_refused else ""

    @property
    def is_refused(self) -> bool:
        """Whether the latest doubt is a certainty."""
        return self._was_refused and self._allowed_at is None

    def settle(self) -> None:
        """An answer is believed: the next doubt is a new one."""
        self._was_refused, self._allowed_at = False, None

    def _too_early(self) -> str:
        now = self._clock.monotonic()
        if self._allowed_at is None:
            self._allowed_at = now
        if now >= self._allowed_at + self._remembered:
            return ""
        return (
            "no instance is listed any more; it is asked again for "
            f"{self._remembered:g} s, in case that the token has just lost its rights to see them"
        )


class _Answer(msgspec.Struct, rename="pascal"):
    allow: bool
