"""Reading the slices of one service again where a write has shown that the cache is behind.

A plan puts endpoints from one slice into another, and each write has only the version of its own object as its
precondition. So all of them have to be of one time: with one slice read again and the others as they were, an endpoint
may seem to be in two, and be taken out of the only one that it is in.
"""

from __future__ import annotations

import logging

from extsync.engine.view import ClusterView
from extsync.errors import StoreError
from extsync.kube.store import Store
from extsync.model import ServiceKey
from extsync.objects import SERVICE_NAME_LABEL, EndpointSlice

log = logging.getLogger(__name__)


async def reread_slices(store: Store, view: ClusterView, key: ServiceKey, *, timeout: float) -> None:
    """Shows ``view`` the slices of a service as they are now; where they cannot be read, the watch will."""
    selector = f"{SERVICE_NAME_LABEL}={key.name}"
    try:
        listing = await store.list(EndpointSlice, namespace=key.namespace, label_selector=selector, timeout=timeout)
    except StoreError as error:
        log.debug("%s: its slices cannot be read again: %s", key, error)
        return
    for slice_ in listing.items:
        view.written(slice_)
