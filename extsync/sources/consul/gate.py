"""Whether an answer of Consul may be believed. Pure.

Consul answers with 200 and a list that is too short in several situations, none of which is an honest report of
instances that left. Each rule below names a doubt; where there is one, the service is read again in the strongest mode
that Consul has (``consistent``: the leader answers after a majority has confirmed it, past every cache), and that
answer is judged anew.

1. No leader. ``X-Consul-KnownLeader: false``: the server that answered is cut off.
2. Old. ``X-Consul-LastContact`` above ``MAX_LAST_CONTACT``: the same, before it noticed.
3. Filtered. ``X-Consul-Results-Filtered-By-ACLs: true``: the token may not see all there is (Consul 1.11 and newer).
4. Reset. The index went down: a snapshot was restored, the state was lost, or another server answered.
5. Shrunk, or new. Fewer than half of the known instances are left, or it is the first answer of all: so have agents
   answered whose caches were not filled yet, and servers after a change of leader (hashicorp/consul#21548, #1960,
   #21978).
6. Unexplained. Known instances are missing, and nothing can have removed them: the index is not above that of the
   answer that was last believed, or the servers have another state than they had then (see ``era``). What removes an
   instance raises the index of the one state, so they lost theirs; or, where it is the index, the token its rights on
   a version that does not say so (and hashicorp/consul#20790 on one that does).
7. Hidden. None is left, or none is there at first, and the token lacks rights that it needs (see ``rights``).

A consistent answer settles 4 and 5. With 1, 2, 3 or 7 it stays suspect. With 6 it stays suspect *from then on*, even
when other registrations lift the index again, until at least half of the known instances are back; and then, unless all
are, until nothing has changed for ``SETTLE`` seconds, since agents register theirs anew one by one. The index at which
that ends counts from then on, as the one of a new cluster. Where they never come back it stays so
until extsync is started again, or another question asked: that forgets what was known, whether a person wanted it or
not.

A process that has believed no answer yet knows no instance, so that its first one, which is always confirmed, counts.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from extsync.sources.consul.answer import Key
from extsync.sources.consul.query import Heading

MAX_LAST_CONTACT: Final = 5.0
"""Seconds for which a server may not have heard from its leader: with Consul's defaults it then looks for another."""

SETTLE: Final = 120.0
"""Seconds without a change, after which those that did not come back are believed to have left. Agents register what
the catalog lacks once a minute, and once in two minutes where there are more than 128 nodes."""


class Trust(enum.Enum):
    """What to do with an answer."""

    BELIEVE = "believe"
    READ_AGAIN = "read again"
    SUSPECT = "suspect"


class Judgement(NamedTuple):
    """A decision and, unless the answer is believed, the doubt in words."""

    trust: Trust
    doubt: str = ""


class Evidence(NamedTuple):
    """What was found out besides an answer: the number of the servers' state, and a doubt if there is one (rule 7).

    ``hidden``: the doubt is a certainty, which explains all that is missing.
    """

    era: int = 0
    doubt: str = ""
    hidden: bool = False


_NONE: Final = Evidence()


class Gate:
    """Remembers what was believed of one service, and judges what is answered next."""

    def __init__(self) -> None:
        self._known: frozenset[Key] | None = None
        self._index = 0
        self._era = 0
        self._lost = False
        self._present = 0
        self._settled_at = 0.0

    @property
    def is_new(self) -> bool:
        """Whether no answer was believed yet."""
        return self._known is None

    def misses(self, keys: frozenset[Key]) -> bool:
        """Whether an answer with the instances ``keys`` lacks one that is known."""
        return self._known is not None and self._known is not keys and not self._known <= keys

    def judge(
        self, heading: Heading, keys: frozenset[Key], evidence: Evidence = _NONE, *, consistent: bool, now: float
    ) -> Judgement:
        """Judges an answer that lists the instances ``keys``.

        ``consistent`` says in which mode it was read, ``now`` is in monotonic seconds. Where the answer ``misses``
        instances, ``evidence`` was found out after it.
        """
        doubt = untrustworthy(heading)
        if not doubt and not evidence.hidden:
            find = self._unexplained if consistent else self._surprising
            doubt = find(heading.index, evidence.era, keys, now)
        if doubt := doubt or evidence.doubt:
            return Judgement(Trust.SUSPECT if consistent else Trust.READ_AGAIN, doubt)
        self._known, self._index, self._era, self._lost = keys, heading.index, evidence.era, False
        return Judgement(Trust.BELIEVE)

    def _surprising(self, index: int, era: int, keys: frozenset[Key], now: float) -> str:
        """Why an answer in ordinary mode wants to be confirmed (rules 4 to 6)."""
        if self._known is None:
            return "it is the first answer"
        if index < self._index:
            return f"the index went down from {self._index} to {index}"
        known, present = len(self._known), len(self._known & keys)
        if present * 2 < known:
            return f"only {present} of {known} known instances are left"
        if present < known and (self._lost or index == self._index or era != self._era):
            return f"{known - present} of {known} known instances are missing without a change"
        return ""

    def _unexplained(self, index: int, era: int, keys: frozenset[Key], now: float) -> str:
        """Why a consistent answer is not believed either (rule 6)."""
        known = self._known or frozenset()
        present = len(known & keys)
        if present == len(known) or (index > self._index and era == self._era and not self._lost):
            return ""
        if not self._lost or present != self._present:
            self._lost, self._present, self._settled_at = True, present, now + SETTLE
        if present * 2 >= len(known) and now >= self._settled_at:
            return ""
        missing = f"{len(known) - present} of {len(known)} known instances are missing, and nothing removed them"
        if era != self._era:
            return f"{missing}: the servers have lost the state that they had, or were set back to an older one"
        return (
            f"{missing}: the index had not risen above {self._index}; did the servers lose their state, or the token "
            "its rights?"
        )


def untrustworthy(heading: Heading) -> str:
    """The doubt that the server itself raises (rules 1 to 3)."""
    if not heading.known_leader:
        return "the server that answered knows of no leader"
    if heading.last_contact > MAX_LAST_CONTACT:
        return f"the server that answered has not heard from its leader for over {MAX_LAST_CONTACT:g} s"
    if heading.filtered:
        return "ACLs hide a part of the answer: the token needs service:read and node:read"
    return ""
