"""What a command that runs once does not believe at first sight. Pure."""

from __future__ import annotations

import msgspec

from extsync.model import Endpoint, State, Why
from extsync.plan.published import Published

EVERY_ONE_FAILS = (
    "every endpoint that was published ready fails its checks, as it would if this machine had no route to them: "
    "their readiness is kept; --allow-empty publishes what the probes say"
)

NONE_IS_ALLOWED = (
    "none of the backends of a source is allowed: of what is published, what is allowed stays; --allow-empty lets it go"
)


def keep_published(endpoints: tuple[Endpoint, ...], published: Published) -> tuple[Endpoint, ...]:
    """Keeps the readiness of what is published if every endpoint that is published ready fails.

    Where that many fail at once, the machine that probes is more likely to be cut off than the backends to be down: a
    pipeline's runner often has no route to them. Returns ``endpoints`` itself where there is nothing to keep.
    """
    were_ready = [published.get(e.identity) is State.READY for e in endpoints]
    fail = [ready and e.why is Why.UNHEALTHY for ready, e in zip(were_ready, endpoints, strict=True)]
    if not any(were_ready) or fail != were_ready:
        return endpoints
    return tuple(
        msgspec.structs.replace(e, state=State.READY, why=Why.EVERY_PUBLISHED_FAILED) if kept else e
        for kept, e in zip(fail, endpoints, strict=True)
    )
