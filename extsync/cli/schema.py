"""``extsync schema``: the JSON Schema of the manifest."""

from __future__ import annotations

import argparse
import json

from extsync.config.schema import schema


def main(args: argparse.Namespace) -> int:
    """Prints the schema."""
    print(json.dumps(schema(), indent=2))
    return 0
