"""A manifest's label selector in the query syntax of the Kubernetes API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Requirement(Protocol):
    """One expression; ``operator`` is In, NotIn, Exists or DoesNotExist, and only the first two have values."""

    @property
    def key(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def values(self) -> Sequence[str]: ...


class Selector(Protocol):
    """A label selector: everything in it has to hold."""

    @property
    def match_labels(self) -> Mapping[str, str]: ...
    @property
    def match_expressions(self) -> Sequence[Requirement]: ...


def selector_text(selector: Selector) -> str:
    """``selector`` as the API's ``labelSelector``; "" selects everything.

    Selectors that say the same in another order have the same text, so that they share one watch.
    """
    equalities = (f"{key}={value}" for key, value in selector.match_labels.items())
    expressions = (_expression(requirement) for requirement in selector.match_expressions)
    return ",".join(sorted({*equalities, *expressions}))


def _expression(requirement: Requirement) -> str:
    key, values = requirement.key, sorted(set(requirement.values))
    match requirement.operator:
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case "In" | "NotIn" as operator if len(values) == 1:  # "in ()" would not stand for the one value ""
            return f"{key}{'=' if operator == 'In' else '!='}{values[0]}"
        case operator:
            return f"{key} {operator.lower()} ({','.join(values)})"
