"""What may be asked for in queries: the metrics of a scrape, and what a query names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from extsync.web import catalogue

_HISTOGRAM = ("_bucket", "_count", "_sum")
_METRIC = re.compile(r"\b(?:extsync|kube)_[a-z_]+")
_LABELS = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")


def scraped() -> Mapping[str, tuple[str, ...]]:
    """The labels of each metric, by its name in a scrape; only what is there without being asked for."""
    found = {}
    for metric in (*catalogue.OF_SERVICES, *catalogue.OF_PROCESS):
        names = [metric.scraped_name]
        if metric.kind == "histogram":
            names = [metric.name + suffix for suffix in _HISTOGRAM]
        found.update(dict.fromkeys(names, metric.labels))
    return found


def metrics_in(expression: str) -> set[str]:
    """The metrics that a query names."""
    return set(_METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))


def labels_in(expression: str) -> set[str]:
    """The labels that a query groups or joins by, or selects."""
    grouped = {label.strip() for group in _LABELS.findall(expression) for label in group.split(",")}
    return (grouped | set(_MATCHER.findall(expression))) - {""}
