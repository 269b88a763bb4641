"""``extsync validate``: every error and warning of the manifests, with its place."""

from __future__ import annotations

import argparse

from extsync.cli.manifests import load_paths
from extsync.cli.output import printable, write_document


def main(args: argparse.Namespace) -> int:
    """Prints what is wrong, and a summary; 0 where there is no error."""
    result = load_paths(args)
    errors = sum(problem.severity == "error" for problem in result.problems)
    warnings = len(result.problems) - errors
    if args.output != "text":
        import msgspec

        write_document(
            {
                "valid": result.ok,
                "manifests": [
                    {"service": str(one.manifest.key), "file": one.file, "line": one.line} for one in result.manifests
                ],
                "problems": [msgspec.to_builtins(problem) for problem in result.problems],
            },
            args.output,
        )
        return 0 if result.ok else 1
    for problem in result.problems:
        print(printable(str(problem)))
    print(
        f"{_count(len(result.manifests), 'manifest')} valid, {_count(errors, 'error')}, {_count(warnings, 'warning')}"
    )
    return 0 if result.ok else 1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
