"""Backends from DNS: the addresses of names, or the targets of SRV records.

From the bottom: ``exchange`` sends one question to one name server, ``resolver`` asks servers until one answers,
``chain`` reads an answer, ``lookup`` follows aliases and search domains, ``hosts`` and ``srv`` make backends of the
records, ``refresh`` says when to look again, ``admission`` how many may look at a time, and ``source`` runs it all.
"""

from extsync.sources.dns.source import DnsConfig, DnsSource

__all__ = ["DnsConfig", "DnsSource"]
