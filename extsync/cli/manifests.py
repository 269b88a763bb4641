"""The manifests of a command line: loaded, with every problem said."""

from __future__ import annotations

import argparse
import sys

from extsync.config.loader import LoadResult, load
from extsync.config.names import check_dns_label
from extsync.errors import ConfigError, UsageError
from extsync.limits import Limits
from extsync.printable import printable


def load_paths(args: argparse.Namespace, limits: Limits) -> LoadResult:
    """Loads ``args.paths``, of which ``-`` is standard input; what ``limits`` deny is a problem.

    Raises UsageError for a ``--namespace`` that is no name.
    """
    namespace_of(args)
    return load(args.paths, stdin=sys.stdin.buffer, namespace=args.namespace, limits=limits)


def namespace_of(args: argparse.Namespace) -> str:
    """The namespace of manifests that name none; raises UsageError."""
    if args.namespace is None:
        return "default"
    try:
        return check_dns_label(args.namespace)
    except ValueError as error:
        raise UsageError(f"--namespace {args.namespace!r} {error}") from None


def load_all(args: argparse.Namespace, limits: Limits) -> LoadResult:
    """Loads ``args.paths``; warnings go to standard error.

    Raises ConfigError with every error, so that a command that runs once stops before it did anything.
    """
    result = load_paths(args, limits)
    errors = [problem for problem in result.problems if problem.severity == "error"]
    for problem in result.problems:
        print(printable(str(problem)), file=sys.stderr)
    if errors:
        number = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        raise ConfigError(f"{number} in the manifests: nothing was done")
    return result
