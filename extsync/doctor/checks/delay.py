"""How long a change takes: from the source's word to the object, and in the queue and caches of a running extsync."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from extsync.doctor.checks.view import slices_command, slices_of
from extsync.doctor.facts import ClusterFacts, Running, ServiceFacts
from extsync.doctor.findings import CLUSTER, Finding, Findings, count
from extsync.objects import FIELD_MANAGER, TRIGGER_TIME_ANNOTATION, EndpointSlice

THEME: Final = "delay"

SLOW_WRITE: Final = 10.0
"""Seconds from a change to its being written that are worth a warning."""

SLOW_QUEUE: Final = 10.0
"""Seconds that a service may wait to be looked at."""

SILENT_CACHE: Final = 150.0
"""Seconds without a word from the API server; it sends a bookmark about once a minute."""

CLOCKS: Final = 5.0
"""Seconds by which clocks may differ without being told of."""


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the last change of the slices."""
    told = [line for one in slices_of(facts) if (line := _last_change(one, cluster.now)) is not None]
    if not told:
        return
    say = Findings(THEME, str(facts.key), slices_command(facts))
    slow = [f"{name}: written {delay:.1f} s after the change" for name, _, delay in told if delay > SLOW_WRITE]
    ahead = [f"{name}: {-age:.0f} s ahead" for name, age, _ in told if age < -CLOCKS]
    if slow:
        yield say.info(
            "SlowWrites",
            "slices were written long after the change that they tell of",
            evidence=slow,
            cure="if it was no change of labels: see extsync_queue_age_seconds, the setting qps, and the API server",
        )
    if ahead:
        yield say.warning(
            "ClocksDiffer",
            "slices say that they were changed in the future: clocks differ",
            evidence=ahead,
            cure="let this machine and the one that extsync runs on ask the same time servers",
        )
    if not slow and not ahead:
        name, age, delay = min(told, key=lambda line: line[1])
        written = f", written {delay:.1f} s after it" if delay >= 0 else ""
        yield say.ok("LastChange", f"the last change was {_ago(age)} ago{written} ({name})")


def check_running(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the queue and the caches of a running extsync."""
    running = cluster.running
    if not isinstance(running, Running):
        return
    say = Findings(THEME, CLUSTER, f"extsync status --server {running.place}")
    waits = f"{count(running.queued, 'service')} waiting, the first for {running.queue_age:.1f} s"
    findings = []
    if running.queue_age > SLOW_QUEUE:
        findings.append(
            say.warning(
                "QueueSlow",
                f"the running extsync is behind: {waits}",
                cure="raise concurrency and qps in the settings, or use shards; is the API server slow?",
            )
        )
    if running.cache_age is None:
        findings.append(
            say.warning(
                "CacheEmpty",
                "the running extsync has not read the cluster yet",
                cure="see its log: it needs list and watch of services, endpoints and endpointslices",
            )
        )
    elif running.cache_age > SILENT_CACHE:
        findings.append(
            say.warning(
                "CacheSilent",
                f"the running extsync has heard nothing of the cluster for {running.cache_age:.0f} s",
                cure="see its log and its way to the API server",
            )
        )
    if findings:
        yield from findings
    else:
        queue = waits if running.queued else "nothing waits in the queue"
        yield say.ok("QueueAndCache", f"{queue}; the API server was heard {running.cache_age:.0f} s ago")


def _last_change(slice_: EndpointSlice, now: float) -> tuple[str, float, float] | None:
    """The name of a slice, the age of its last change, and after how long that was written, -1 where not known."""
    changed = timestamp(slice_.annotations.get(TRIGGER_TIME_ANNOTATION))
    if changed is None:
        return None
    times = (
        entry.get("time") for entry in slice_.metadata.managed_fields or () if entry.get("manager") == FIELD_MANAGER
    )
    written = max((at for text in times if (at := timestamp(text)) is not None), default=None)
    # The server's time has whole seconds, so that a write within the same second seems to be before the change.
    delay = -1.0 if written is None else max(0.0, written - changed)
    return slice_.metadata.name, now - changed, delay


def timestamp(text: object) -> float | None:
    """A time as Kubernetes writes it, in seconds since 1970; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _ago(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
