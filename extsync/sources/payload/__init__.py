"""Lists of backends as others write them: entries, target groups, and what is wrong with each."""

from extsync.sources.payload.builder import Payload, parse

__all__ = ["Payload", "parse"]
