"""The examples of config/ are sound, use documentation addresses only and leave no part of the format out."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from extsync.config.loader import load

EXAMPLES = Path(__file__).parents[2] / "config" / "manifests"
DOCUMENTATION = [
    ipaddress.ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def test_the_directory_loads_as_a_whole_without_a_warning() -> None:
    result = load([EXAMPLES])
    assert [str(problem) for problem in result.problems] == []
    assert len(result.manifests) == 20


def test_only_documentation_addresses_are_used() -> None:
    for file in (path for path in EXAMPLES.rglob("*") if path.is_file()):
        for text in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b|\b2[0-9a-f]{3}:[0-9a-f:]+", file.read_text()):
            address = ipaddress.ip_address(text)
            assert any(address in network for network in DOCUMENTATION), f"{file}: {text}"


def test_files_that_examples_name_are_there() -> None:
    for loaded in load([EXAMPLES]).manifests:
        for source in loaded.manifest.spec.sources:
            for name in source.file.files if source.file is not None else ():
                assert (loaded.base_dir / name).is_file()


def test_every_example_says_what_it_is_for() -> None:
    for file in EXAMPLES.glob("*.yaml"):
        assert file.read_text().startswith("# "), file
