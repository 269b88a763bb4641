"""Backends from a URL that answers as Prometheus's http_sd wants it."""

from extsync.sources.http.source import HttpConfig, HttpSource

__all__ = ["HttpConfig", "HttpSource"]
