"""Backends from files: our own lists, or the payload that Prometheus's file_sd reads."""

from extsync.sources.file.source import FileConfig, FileSource

__all__ = ["FileConfig", "FileSource"]
