"""Backends from pods of the cluster itself, found by a label selector."""

from extsync.sources.pods.source import PodsConfig, PodsSource

__all__ = ["PodsConfig", "PodsSource"]
