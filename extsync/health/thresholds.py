"""When results become a verdict: Kubernetes's successThreshold and failureThreshold."""

from __future__ import annotations

from extsync.model import Health


def advance(health: Health, run: int, passed: bool, rise: int, fall: int) -> tuple[Health, int]:
    """Takes one result into account and returns the verdict and the run that follow from it.

    ``run`` is the number of equal results in a row, positive for passes and negative for failures, and 0 before the
    first result. A verdict changes after ``rise`` passes or ``fall`` failures in a row and otherwise stays; UNKNOWN,
    too, needs the full number, so that a start concludes nothing from one result. The run stops growing at its
    threshold, where more of the same changes nothing.
    """
    if passed:
        run = run + 1 if run > 0 else 1
        return (Health.HEALTHY, rise) if run >= rise else (health, run)
    run = run - 1 if run < 0 else -1
    return (Health.UNHEALTHY, -fall) if run <= -fall else (health, run)


def in_transition(health: Health, run: int) -> bool:
    """Whether the latest results disagree with the verdict, or there is none yet: time to probe faster."""
    if health is Health.HEALTHY:
        return run < 0
    return health is Health.UNKNOWN or run > 0
