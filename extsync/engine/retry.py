"""Reads of commands that run once: tried again for a few seconds where the API server does not answer."""

from __future__ import annotations

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from extsync.errors import TooManyRequests, Unavailable
from extsync.seams import Clock


def retrying(clock: Clock) -> AsyncRetrying:
    """Four attempts with pauses of 0.5, 1 and 2 s; then the last error is raised as it is.

    ``run`` needs none of this: its watches go on for ever, with a back-off of their own.
    """
    return AsyncRetrying(
        retry=retry_if_exception_type((Unavailable, TooManyRequests)),
        stop=stop_after_attempt(4),
        wait=wait_exponential(multiplier=0.5),
        sleep=clock.sleep,
        reraise=True,
    )
