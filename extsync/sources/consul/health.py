"""What the checks of an instance say of it, by Consul's own rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from extsync.sources.consul.wire import Check, Weights

NODE_MAINTENANCE: Final = "_node_maintenance"
"""The check by which ``consul maint`` puts a whole node into maintenance."""

SERVICE_MAINTENANCE: Final = "_service_maintenance:"
"""The beginning of the check by which one instance is put into maintenance."""

_WORST_FIRST: Final = ("critical", "warning", "passing")


class Health(NamedTuple):
    """``status`` is the word for the label: that of the worst check, or "maintenance".

    ``ready`` and ``drain`` are those of the backend.
    """

    status: str
    ready: bool
    drain: bool


def judge(checks: Iterable[Check] | None, weights: Weights | None, *, warning_is_ready: bool) -> Health:
    """The health of an instance with these checks; without checks it passes.

    - A critical check makes it not ready, a warning one as ``warning_is_ready`` says.
    - In maintenance it drains. The check that says so is critical by itself and means nothing else, so that an instance
      in maintenance whose other checks pass still finishes its connections.
    - A weight of 0 for its status means that it wants no new traffic: it drains. Absent weights are 1.
    - A status that this version does not know says nothing, rather than take out all instances that have it.
    """
    statuses: set[str | None] = set()
    maintenance = False
    for check in checks or ():
        if _is_maintenance(check):
            maintenance = True
        else:
            statuses.add(check.status)
    worst = next((status for status in _WORST_FIRST if status in statuses), "passing")
    ready = worst == "passing" or (worst == "warning" and warning_is_ready)
    drain = maintenance or (weights is not None and _weight(weights, worst) == 0)
    return Health("maintenance" if maintenance else worst, ready, drain)


def _is_maintenance(check: Check) -> bool:
    if check.status == "maintenance":
        return True
    name = check.check_id
    return name is not None and (name == NODE_MAINTENANCE or name.startswith(SERVICE_MAINTENANCE))


def _weight(weights: Weights, status: str) -> int | None:
    """The weight that counts at ``status``; a critical instance has none."""
    return {"passing": weights.passing, "warning": weights.warning}.get(status)
