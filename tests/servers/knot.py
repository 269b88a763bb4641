"""A real name server on loopback: Knot DNS, authoritative for the zones that a test gives it."""

import subprocess
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from tests.cluster.processes import Component, can_listen, free_ports
from tests.servers.programs import Programs
from tests.servers.server import Server

START_SECONDS = 10.0
COMMAND_SECONDS = 10.0

_SETTINGS = """\
server:
    rundir: "{directory}"
    listen: [{listen}]
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "{directory}"
template:
  - id: default
    storage: "{directory}"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
zone:
"""
_HEAD = """\
$ORIGIN {zone}.
@ {negative_ttl} SOA ns hostmaster {serial} 3600 600 86400 {negative_ttl}
@ 3600 NS ns
ns 3600 A 127.0.0.1
"""


class KnotCommandError(Exception):
    """Knot refused a command; the message has the command and what it said."""


class Knot(Server):
    """A name server, which runs inside the ``with`` block, and what a test does to its records.

    Records are written as in a zone file, each with a TTL: ``www 2 A 192.0.2.1``. Names outside its zones are REFUSED.
    An answer that does not fit 1232 bytes, or the fewer that were asked for, is truncated over UDP.

    Attributes:
        port: Where it answers at 127.0.0.1 and, on a machine that has it, at ::1, by UDP and by TCP.
        address: ``127.0.0.1:PORT``.
    """

    def __init__(
        self, programs: Programs, directory: Path, zones: Mapping[str, Sequence[str] | None], *, negative_ttl: int = 1
    ) -> None:
        """``zones`` are the records of each zone by its name, without SOA and NS; None: it answers with SERVFAIL.

        ``negative_ttl`` is for how many seconds the absence of a name or a record may be remembered. ``directory`` is
        an empty folder.
        """
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self._control = (str(programs.paths["knotc"]), "--socket", str(directory / "knot.sock"))
        self._directory = directory
        self._environment = programs.environment
        self._negative_ttl = negative_ttl
        self._serials = count(1)
        for zone, records in zones.items():
            if records is not None:
                self._write(zone, records)
        settings = directory / "knot.conf"
        listen = ", ".join(f'"{host}@{self.port}"' for host in ("127.0.0.1", "::1") if can_listen(host))
        listed = "".join(f'  - domain: "{zone}"\n' for zone in zones)
        settings.write_text(_SETTINGS.format(directory=directory, listen=listen) + listed)
        super().__init__(
            Component(
                programs.paths["knotd"],
                ["--config", str(settings)],
                directory=directory,
                environment=programs.environment,
            )
        )

    def start(self) -> None:
        """Start it, with each zone as it was last loaded, and wait until it answers."""
        self._component.start(self._answers, seconds=START_SECONDS)

    def change(self, zone: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Change a zone in one step: answers from now on are without ``remove`` and with ``add``.

        To remove is ``www A 192.0.2.1``, or ``www A`` for all of a type, or ``www`` for the whole name.

        Raises:
            KnotCommandError: a record cannot be read, or is not there; the zone is as before.
        """
        edits = [f"zone-unset {zone} {record}" for record in remove] + [f"zone-set {zone} {record}" for record in add]
        self._command("zone-begin", zone)
        try:
            self._command(stdin="".join(f"{edit}\n" for edit in edits))
        except KnotCommandError:
            self._command("zone-abort", zone)
            raise
        self._command("zone-commit", zone)

    def load(self, zone: str, records: Sequence[str]) -> None:
        """Give a zone these records and no others; one that failed is mended by it."""
        self._write(zone, records)
        self._command("--blocking", "zone-reload", zone)

    def fail(self, zone: str) -> None:
        """Answer every question about a zone with SERVFAIL, until it is loaded again."""
        self._command("--blocking", "--force", "zone-purge", zone)

    def _write(self, zone: str, records: Sequence[str]) -> None:
        head = _HEAD.format(zone=zone, negative_ttl=self._negative_ttl, serial=next(self._serials))
        (self._directory / f"{zone}.zone").write_text(head + "".join(f"{record}\n" for record in records))

    def _command(self, *arguments: str, stdin: str = "") -> None:
        """Give one command as arguments, or some as lines of ``stdin``, and wait until it is done."""
        done = subprocess.run(
            [*self._control, *arguments],
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode or "error:" in done.stderr + done.stdout:  # for lines of stdin the status is always 0
            raise KnotCommandError(f"knotc {' '.join(arguments)}{stdin}: {done.stderr}{done.stdout}")

    def _answers(self) -> bool:
        try:
            self._command("status")
        except KnotCommandError:
            return False
        return True
