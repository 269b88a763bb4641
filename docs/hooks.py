"""Hooks of mkdocs: what the pages refer to outside docs/ is part of the repository and not of the site."""

import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Leaves only the words of links that lead out of docs/, which work where the repository is browsed."""
    depth = page.file.src_uri.count("/")
    return re.sub(rf"\[([^\]]+)\]\((?:\.\./){{{depth + 1}}}[^)]*\)", r"\1", markdown)
