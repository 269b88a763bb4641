"""What a file says: its name tells the language, and is a label of its backends. Pure."""

from __future__ import annotations

from typing import Final

from extsync.sources import payload
from extsync.sources.payload import Payload

FILEPATH_LABEL: Final = "__meta_filepath"


def parse(content: bytes, path: str) -> Payload:
    """Reads the content of the file ``path``: JSON where the name ends in ``.json``, else JSON or YAML.

    Raises ValueError as ``extsync.sources.payload.parse`` does.
    """
    only_json = path.lower().endswith(".json")
    return payload.parse(content, path, labels={FILEPATH_LABEL: path}, only_json=only_json)
