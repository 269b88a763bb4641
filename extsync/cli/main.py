"""The ``extsync`` command: its options, and which module does the work.

Modules are imported only when their command runs, so that ``extsync --help`` and ``extsync validate`` stay quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from extsync import __version__
from extsync.errors import ExtsyncError, UsageError, cure

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_READY, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that ``argv`` (default: the process's own) asks for and returns its exit status."""
    args = build_parser().parse_args(argv)
    failed = EXIT_USAGE if args.command == "diff" else EXIT_FAILED  # diff keeps 1 for "there are differences"
    try:
        status = int(import_module(args.module).main(args))
        sys.stdout.flush()  # here, where a reader that went away is still noticed
    except UsageError as error:
        _say(error)
        return EXIT_USAGE
    except ExtsyncError as error:
        _say(error)
        return failed
    except BrokenPipeError:
        # The reader went away (`extsync render | head`): what is still in the buffer has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failed
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _say(error: ExtsyncError) -> None:
    from extsync.printable import printable

    for line in f"extsync: {error}{cure(error)}".splitlines():
        print(printable(line), file=sys.stderr)


def script() -> NoReturn:
    """``python -m extsync``."""
    sys.exit(main())


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="extsync",
        description="Keeps Kubernetes service discovery true for backends that run outside the cluster.",
        epilog="Results go to standard output, progress and logs to standard error.",
    )
    parser.add_argument("--version", action="version", version=f"extsync {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(commands, "run", "keep the cluster in step with the manifests until stopped")
    _add_manifests(run)
    _add_cluster(run)
    _add_settings(run)
    run.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        help="where metrics and status are served (default: 127.0.0.1:9440), or none",
    )
    run.add_argument(
        "--leader-election",
        action="store_true",
        default=None,
        help="several replicas: one of them writes, the others stand by (default: off)",
    )
    run.add_argument(
        "--shards",
        type=int,
        default=None,
        metavar="N",
        help="with --leader-election: parts into which services are spread over the replicas (default: 1)",
    )
    run.add_argument(
        "--probe-workers", type=int, default=None, metavar="N", help="processes that probe (default: 0, in this one)"
    )

    run.add_argument(
        "--prune",
        action="store_true",
        help="delete, after the start, what this owner id made and no manifest names; needs an owner id of one's own",
    )

    apply = _command(commands, "apply", "once: discover, probe, plan, show and write")
    _add_manifests(apply)
    _add_cluster(apply)
    _add_settings(apply)
    _add_probing(apply)
    _add_output(apply)
    apply.add_argument("--dry-run", action="store_true", help="show what would be written and write nothing")
    apply.add_argument(
        "--wait", action="store_true", help="go on until each service has policy.minReady ready endpoints"
    )
    apply.add_argument(
        "--policy",
        choices=["sync", "upsert-only", "create-only"],
        default="sync",
        help="upsert-only: no endpoint and no object leaves, readiness may change; create-only: only new objects",
    )
    apply.add_argument(
        "--prune", action="store_true", help="delete what this owner id no longer names; needs an explicit --owner"
    )
    apply.add_argument(
        "--allow-empty",
        action="store_true",
        help="let a service lose every ready endpoint, when all of them fail or its sources report none",
    )
    apply.add_argument(
        "--take-over", action="store_true", help="write also what a running extsync keeps; it writes on all the same"
    )
    apply.add_argument(
        "--allow-removal",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAMESPACE/NAME",
        help="let this service lose what its sources no longer name, however much that is",
    )
    apply.add_argument(
        "--allow-stale-source",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME",
        help="write a service although this source of it fails; what is published stays",
    )

    diff = _command(commands, "diff", "show what apply would do; writes nothing (0: nothing, 1: differences, 2: error)")
    _add_manifests(diff)
    _add_cluster(diff)
    _add_settings(diff)
    _add_probing(diff)

    importing = _command(
        commands, "import", "turn hand-written Endpoints and slices into manifests; writes nothing", module="importing"
    )
    importing.add_argument(
        "objects", nargs="*", metavar="endpoints/NAME", help="what to import: endpoints/NAME, or service/NAME"
    )
    importing.add_argument("--all", action="store_true", help="everything hand-written in the namespace")
    importing.add_argument(
        "-A", "--all-namespaces", action="store_true", help="everything hand-written in all namespaces"
    )
    importing.add_argument("-n", "--namespace", default=None, help="namespace of the objects (default: default)")
    _add_cluster(importing)
    importing.add_argument(
        "--config", default=None, metavar="FILE", help="process settings (then EXTSYNC_*, then flags)"
    )

    render = _command(commands, "render", "print the objects as YAML, without a cluster", module="render")
    _add_manifests(render)
    render.add_argument("--probe", action="store_true", help="probe the backends; otherwise all are as declared")
    render.add_argument("--timeout", type=_duration, default=60.0, metavar="DURATION", help="limit (default: 60s)")
    render.add_argument("-o", "--output", choices=["yaml", "json"], default="yaml", help="format (default: yaml)")
    _add_settings(render)

    validate = _command(commands, "validate", "check manifests; needs no network", module="validate")
    _add_manifests(validate)
    validate.add_argument("--config", default=None, metavar="FILE", help="process settings: what is allowed there")
    validate.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text")

    status = _command(commands, "status", "what a running extsync knows of its services")
    status.add_argument(
        "service", nargs="?", default="", metavar="NAMESPACE[/NAME]", help="these services (default: all)"
    )
    status.add_argument("--watch", action="store_true", help="show it anew every 2 seconds until interrupted")
    _add_asked(status)
    _add_output(status)

    explain = _command(commands, "explain", "why the endpoints of a service are, or are not, ready")
    explain.add_argument("service", metavar="NAMESPACE/NAME")
    explain.add_argument("address", nargs="?", default="", help="this address, with the evidence of its probes")
    _add_asked(explain)
    _add_output(explain)

    doctor = _command(commands, "doctor", "find out why a Service does not answer: findings, each with its cure")
    doctor.add_argument(
        "service", nargs="?", default="", metavar="NAMESPACE/NAME", help="this one (default: all that extsync keeps)"
    )
    doctor.add_argument("-n", "--namespace", default=None, help="Services of this namespace alone (default: all)")
    _add_cluster(doctor)
    _add_settings(doctor)
    _add_server(doctor, more=", or none to ask nobody")
    doctor.add_argument("--timeout", type=_duration, default=60.0, metavar="DURATION", help="limit (default: 60s)")
    doctor.add_argument("--no-probe", action="store_true", help="connect to no endpoint from here")
    doctor.add_argument(
        "--exec", dest="exec_", action="store_true", help="connect also from a pod of the namespace, by exec"
    )
    doctor.add_argument("--from-pod", default="", metavar="[NAMESPACE/]POD", help="as --exec, from this pod")
    doctor.add_argument(
        "--service-account",
        default="extsync:extsync",
        metavar="NAMESPACE:NAME",
        help="whose rights are looked at (default: extsync:extsync)",
    )
    _add_output(doctor)

    _command(commands, "schema", "print the JSON Schema of the manifest", module="schema")

    demo = _command(commands, "demo", "the whole of it on this machine, with no cluster", module="demo")
    demo.add_argument("--once", action="store_true", help="end after one round of failure and recovery")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, *, module: str = ""
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(module=f"extsync.cli.{module or name}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice: for debugging")
    return parser


def _add_manifests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f",
        "--filename",
        dest="paths",
        action="extend",
        nargs="+",
        required=True,
        metavar="PATH",
        help="manifests: files, directories (not recursive) or - for standard input",
    )
    parser.add_argument(
        "-n", "--namespace", default=None, help="namespace of manifests that name none (default: default)"
    )


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kubeconfig", default=None, metavar="FILE", help="default: as kubectl resolves it")
    parser.add_argument("--context", default=None, help="context of the kubeconfig")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default=None, metavar="FILE", help="process settings (then EXTSYNC_*, then flags)")
    parser.add_argument("--owner", default=None, help="owner id of this installation (default: default)")


def _add_probing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=_duration, default=60.0, metavar="DURATION", help="limit (default: 60s)")
    parser.add_argument(
        "--no-probe",
        action="store_true",
        help="probe nothing: published readiness stays, new endpoints are ready as declared",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=["text", "json", "yaml"], default="text", help="format of the result")


def _add_asked(parser: argparse.ArgumentParser) -> None:
    """Which running extsync is asked."""
    either = parser.add_mutually_exclusive_group()
    _add_server(either)
    either.add_argument(
        "--via-cluster",
        default=None,
        metavar="NAMESPACE/SERVICE",
        help="ask the one behind this Service, or NAMESPACE/pods/POD, through the Kubernetes API server",
    )
    _add_cluster(parser)


def _add_server(parser: argparse._ActionsContainer, *, more: str = "") -> None:
    parser.add_argument(
        "--server",
        default="http://127.0.0.1:9440",
        metavar="URL",
        help=f"status port of a running extsync (default: http://127.0.0.1:9440){more}",
    )


def _duration(text: str) -> float:
    """A duration of the manifest's kind (``90s``, ``1m30s``) or a bare number of seconds."""
    from extsync.config.durations import Duration

    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds
