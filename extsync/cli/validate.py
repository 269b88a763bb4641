"""``extsync validate``: every error and warning of the manifests, with its place."""

from __future__ import annotations

import argparse
import os

from extsync.cli.manifests import load_paths
from extsync.cli.output import write_document
from extsync.limits import USUAL, Limits
from extsync.printable import printable


def main(args: argparse.Namespace) -> int:
    """Prints what is wrong, and a summary; 0 where there is no error. Raises ConfigError for faults in the settings."""
    result = load_paths(args, _limits(args))
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


def _limits(args: argparse.Namespace) -> Limits:
    """Those of the settings; without any they are the usual ones, and what reads settings need not be imported."""
    if args.config is None and not any(name.startswith("EXTSYNC_") for name in os.environ):
        return USUAL
    from extsync.config.limiting import limits_of
    from extsync.config.settings import load_settings

    return limits_of(load_settings(args.config))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
