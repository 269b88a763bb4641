"""The manifests of a command line: loaded, with every problem said."""

from __future__ import annotations

import argparse
import sys

import msgspec

from extsync.cli.output import printable
from extsync.config.loader import LoadResult, load
from extsync.config.names import check_dns_label
from extsync.config.problems import Problem
from extsync.errors import ConfigError, UsageError
from extsync.limits import Limits


def load_paths(args: argparse.Namespace, limits: Limits) -> LoadResult:
    """Loads ``args.paths``, of which ``-`` is standard input; what ``limits`` deny is a problem.

    Raises UsageError for a ``--namespace`` that is no name; as in kubectl, a manifest must not name another one.
    """
    result = load(args.paths, stdin=sys.stdin.buffer, default_namespace=namespace_of(args), limits=limits)
    elsewhere = [one for one in result.manifests if args.namespace and one.manifest.key.namespace != args.namespace]
    problems = [
        Problem(
            one.file,
            one.line,
            one.column,
            "error",
            f"namespace {one.manifest.key.namespace!r} is not that of --namespace {args.namespace}: leave one out",
            path="metadata.namespace",
        )
        for one in elsewhere
    ]
    return msgspec.structs.replace(result, problems=(*result.problems, *problems))


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
