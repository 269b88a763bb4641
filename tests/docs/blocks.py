"""The code in the pages of the documentation, with what the pages say to a test of it.

A fence may name a file that the reader saves it as (```` ```yaml title="orders.yaml" ````). What a reader need not see
stands in a comment on the line before the fence, ``<!-- test: WORDS -->``; ``DIRECTIVES`` has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

DIRECTIVES: Final = {
    "elsewhere": "not run: it needs what no test has, and is read by a parser only",
    "background": "goes on until the page ends",
    "fails": "ends with a status other than 0, on purpose",
    "spec": "a part of spec of a manifest",
    "source": "a part of a source of a manifest",
    "backends": "a list of backends",
    "settings": "a file of process settings",
    "values": "a file of values of the chart",
    "down": "the machines with these addresses go away from here on",
    "up": "they are back",
}

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>\w+)?(?P<rest>[^`]*)$")
_DIRECTIVE: Final = re.compile(r"^ *<!-- test: (?P<words>[^>]+) -->$")
_TITLE: Final = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block, or a directive that stands by itself, for which ``language`` is "".

    ``place`` is ``PATH:LINE``; ``title`` the file it is saved as, or ""; ``directive`` the words to a test, or "".
    """

    place: str
    language: str
    text: str
    title: str = ""
    directive: str = ""


def pages() -> list[Path]:
    """All pages that are read by people, in a fixed order."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of one page, in order."""
    lines = iter(enumerate(page.read_text().splitlines(), start=1))
    directive = ""
    for number, line in lines:
        place = f"{page.relative_to(ROOT)}:{number}"
        if found := _DIRECTIVE.match(line):
            directive = found["words"].strip()
            assert directive.split()[0] in DIRECTIVES, f"{place}: no such directive: {directive}"
            if directive.split()[0] in ("down", "up"):
                yield Block(place, "", "", directive=directive)
                directive = ""
        elif fence := _FENCE.match(line):
            closing, width = f"{fence['indent']}```", len(fence["indent"])
            inside = []
            for _, text in lines:
                if text.rstrip() == closing:
                    break
                inside.append(text[width:])
            title = _TITLE.search(fence["rest"])
            yield Block(
                place, fence["language"] or "text", "\n".join(inside) + "\n", title[1] if title else "", directive
            )
            directive = ""
        else:
            assert not (directive and line.strip()), f"{place}: the directive before belongs to no block"
