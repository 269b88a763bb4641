"""Metrics as text, made in chunks: a scrape of many services must not hold up the probes of the same event loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

MOST_SAMPLES: Final = 500
"""Samples of one chunk, which take some milliseconds."""

_END: Final = b"# EOF\n"


class _Alone(msgspec.Struct, frozen=True):
    """One family, where the encoder expects a registry of them."""

    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


def encode(families: Iterable[Metric], accept: str) -> tuple[str, Iterator[bytes]]:
    """The content type that suits an Accept header, OpenMetrics or Prometheus's text, and the chunks of the body.

    Each chunk is made when it is asked for.
    """
    try:
        encoder, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # it asks for a version that is none
        encoder, content_type = choose_encoder("")

    def chunks() -> Iterator[bytes]:
        for family in families:
            for number, part in enumerate(_parts(family)):
                text = encoder(_Alone(part)).removesuffix(_END)
                yield text if number == 0 else _without_header(text)
        if content_type.startswith("application/openmetrics-text"):
            yield _END

    return content_type, chunks()


def _parts(family: Metric) -> Iterator[Metric]:
    for first in range(0, max(1, len(family.samples)), MOST_SAMPLES):
        part = Metric(family.name, family.documentation, family.type, family.unit)
        part.samples = family.samples[first : first + MOST_SAMPLES]
        yield part


def _without_header(text: bytes) -> bytes:
    """A family is named once, however many chunks its samples are in."""
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"# "))
