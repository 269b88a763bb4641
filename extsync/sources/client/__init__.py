"""GET over HTTP(S) as the sources ``http`` and ``consul`` need it: bounded, with one deadline, and told in words.

Only these sources import it, since aiohttp takes a quarter of a start.
"""

from extsync.sources.client.client import Client
from extsync.sources.client.config import ClientConfig
from extsync.sources.client.exchange import Reply
from extsync.sources.client.urls import shown_url

__all__ = ["Client", "ClientConfig", "Reply", "shown_url"]
