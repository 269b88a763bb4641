"""From the probes of one endpoint to its verdict: all must pass."""

from __future__ import annotations

from collections.abc import Sequence

from extsync.health.base import host_port
from extsync.health.record import Record
from extsync.model import Health


def conclude(records: Sequence[Record]) -> tuple[Health, str]:
    """HEALTHY if all are, UNHEALTHY if any is, otherwise UNKNOWN; and why, in words that name the failing check."""
    for record in records:
        if record.health is Health.UNHEALTHY:
            return Health.UNHEALTHY, f"{description(record)}: {record.failure}"
    for record in records:
        if record.health is Health.UNKNOWN:
            return Health.UNKNOWN, f"{description(record)}: too few results yet"
    if len(records) > 1:
        return Health.HEALTHY, f"all {len(records)} checks pass"
    return Health.HEALTHY, f"{description(records[0])}: passed"


def description(record: Record) -> str:
    """The record's check in words: "tcpSocket 192.0.2.1:3306"."""
    probe = record.probe
    try:
        return probe.check.describe(probe.host, probe.port)
    except Exception:  # whatever a plugin raises: a verdict stands without its description
        return f"{type(probe.check).__name__} {host_port(probe.host, probe.port)}"
