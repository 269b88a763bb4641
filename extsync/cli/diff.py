"""``extsync diff``: what apply would do, as a diff of the objects; it writes nothing."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys

from extsync.changes import ApplyService, Create, Update
from extsync.cli import logs
from extsync.cli.apply import one_pass, options_of, prepared, tell
from extsync.cli.objects import comparable
from extsync.cli.output import to_yaml
from extsync.cli.world import settings_of
from extsync.engine.passes import Step
from extsync.engine.telling import object_name

NO_DIFFERENCE, DIFFERENCES, ERROR = 0, 1, 2
"""kubectl diff's exit statuses."""


def main(args: argparse.Namespace) -> int:
    """Prints the diff."""
    settings = settings_of(args)
    logs.configure(
        level=settings.log_level if args.verbose else "error", form=settings.log_format, verbose=args.verbose
    )
    services = prepared(args, settings)
    results, _ = asyncio.run(one_pass(args, settings, services, options_of(args, settings, write=False)))
    for result in results:
        for step in result.steps:
            sys.stdout.writelines(diff_of(step, result.key.namespace))
        tell(result)
    if any(result.failed for result in results):
        return ERROR
    return DIFFERENCES if any(result.steps for result in results) else NO_DIFFERENCE


def diff_of(step: Step, namespace: str) -> list[str]:
    """The lines of one change as a unified diff of YAML."""
    name = f"{namespace}/{object_name(step.change)}"
    return list(
        difflib.unified_diff(
            _lines(None if step.before is None else comparable(step.before)),
            _lines(_after(step)),
            f"a/{name}" if step.before is not None else "/dev/null",
            f"b/{name}" if _after(step) is not None else "/dev/null",
        )
    )


def _after(step: Step) -> object:
    match step.change:
        case Create(obj=obj) | Update(obj=obj):
            return comparable(obj)
        case ApplyService(body=body):
            if step.before is None:
                return body  # the rest, such as an address, is only known once the Service is there
            return comparable(step.after or step.before)
    return None


def _lines(data: object) -> list[str]:
    return [] if data is None else to_yaml(data).splitlines(keepends=True)
