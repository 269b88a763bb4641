"""What a running extsync shows of itself to whoever asks: the status API's documents, and the metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from extsync.engine.run import Engine
from extsync.histogram import Histogram
from extsync.web.documents import process_document, service_document, summary
from extsync.web.exposition import encode
from extsync.web.metrics import families

_MOST = 20
_LAG = Histogram.of(0.1)


async def pages(engine: Engine) -> AsyncIterator[str]:
    """Each of them as text, with the evidence of every probe."""
    yield _text(process_document(engine.status()))
    for key in engine.service_keys():
        status, detail = engine.service_status(key), engine.details(key, address="", most=_MOST)
        assert status is not None
        assert detail is not None
        yield _text(summary(status))
        probed = [
            msgspec.structs.replace(one, probes=await engine.evidence(one.target)) if one.target else one
            for one in detail.endpoints
        ]
        yield _text(service_document(status, msgspec.structs.replace(detail, endpoints=tuple(probed))))
    yield b"".join(encode(await families(engine, _LAG, _no_pause), "")[1]).decode()


async def _no_pause() -> None:
    """Nothing else has to have its turn."""


def _text(document: object) -> str:
    return msgspec.json.encode(document).decode()
