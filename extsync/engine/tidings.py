"""What becomes of the sources of a service over time, in words, each turn once. Pure.

A failure is told by the remarks of the service as long as it lasts; these lines tell of what takes effect later or
is over: a source that says that it has none any more, whose backends are held for a while, and one that is back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from extsync.model import Outcome
from extsync.sources.holds import LastGood
from extsync.sources.standing import Standing

_NEGATIVE = (Outcome.EMPTY, Outcome.GONE)


class Tidings:
    """Remembers of each source, and of each of its parts, how it stood when somebody was told last."""

    def __init__(self) -> None:
        self._has_some: dict[tuple[str, str], bool] = {}
        self._stale: frozenset[str] = frozenset()

    def tell(
        self, sources: Mapping[str, LastGood], now: float, *, hushed: frozenset[str] = frozenset()
    ) -> Iterator[str]:
        """What is new of ``sources`` at ``now``, a line for each turn. Nothing is told of those that are ``hushed``."""
        before, self._has_some = self._has_some, {}
        was_stale, stale = self._stale, []
        for name, last_good in sources.items():
            if name in hushed:
                stale += [name] * (name in was_stale)
                self._has_some.update({part: had for part, had in before.items() if part[0] == name})
                continue
            standing = last_good.standing()
            if standing.stale:
                stale.append(name)
            elif name in was_stale:
                yield f"source {name!r} answers again"
            for part, its in standing.parts or (("", standing),):
                had_some = before.get((name, part))
                has_some = _has_some(its, had_some)
                if has_some is not None:
                    self._has_some[name, part] = has_some
                if had_some and has_some is False:
                    number = "" if part else _number(len(last_good.backends))
                    yield f"source {name!r}: {_said(part, its)}; its {number}backends {_leave(its, now)}"
                elif had_some is False and has_some:
                    yield f"source {name!r}: {part + ' has' if part else 'it has'} backends again"
        self._stale = frozenset(stale)


def _has_some(standing: Standing, had_some: bool | None) -> bool | None:
    """Whether the latest good answer has backends; None where there was none that had any so far."""
    if standing.outcome is Outcome.FOUND:
        return True
    if standing.outcome in _NEGATIVE and had_some is not None:
        return False
    return had_some


def _said(part: str, standing: Standing) -> str:
    detail = standing.detail or "it says that it has no backends"
    return detail if not part or part in detail else f"{part}: {detail}"


def _leave(standing: Standing, now: float) -> str:
    if standing.empty_at is None:
        return "leave now"
    seconds = max(0.0, standing.empty_at - now)
    return f"leave in {seconds:.0f} s" if seconds >= 10 else f"leave in {seconds:.2g} s"


def _number(backends: int) -> str:
    return f"{backends} " if backends > 1 else ""
