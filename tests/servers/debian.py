"""Debian packages for whoever is not root: downloaded with apt and unpacked into a folder, nothing is installed.

The packages come from where the machine gets its own, with lists, caches and settings kept apart from the machine's.
A package that only another release of Debian has comes from the same mirror, which keeps the older ones too.
"""

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path("/etc/apt/sources.list")
MORE_SOURCES = Path("/etc/apt/sources.list.d")
UPDATE_SECONDS = 90
DOWNLOAD_SECONDS = 300
UNPACK_SECONDS = 60

_SETTINGS = """\
Dir::State::lists "{apt}/lists";
Dir::Cache "{apt}";
Dir::Cache::archives "{archives}";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{sources}";
Debug::NoLocking "true";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
#clear APT::Update::Post-Invoke;
"""
"""``Dir::State::status`` stays: what is installed here need not be fetched. Locks are the caller's, who is not root."""


def problem() -> str | None:
    """Why packages cannot be had on this machine, or None; one line for a person."""
    lacking = [program for program in ("apt-get", "dpkg") if shutil.which(program) is None]
    return f"this machine has no {' and no '.join(lacking)} to get it from Debian with" if lacking else None


def codename() -> str:
    """The name of the release that runs here, such as ``bookworm``; "" where it says none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def unpack(packages: Sequence[str], directory: Path, *, apt: Path, suite: str | None = None) -> None:
    """Make ``directory`` hold the files of ``packages`` and of the packages that they need and the machine lacks.

    It appears whole or not at all. ``apt`` is a folder for lists, which make the next call faster; of calls at once
    with the same one, only one may run. ``suite`` is the release that has the packages where the machine's has not.

    Raises:
        subprocess.SubprocessError: apt or dpkg failed, or took too long; what they said went to standard error.
    """
    for folder in ("lists/partial", "sources"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    for interrupted in apt.glob("unpacked-*"):
        shutil.rmtree(interrupted)
    write_sources(apt / "sources", suite=suite)
    with tempfile.TemporaryDirectory(dir=apt, prefix="unpacked-") as place:
        archives, unpacked = Path(place, "archives"), Path(place, "files")
        (archives / "partial").mkdir(parents=True)
        settings = Path(place, "apt.conf")
        settings.write_text(_SETTINGS.format(apt=apt, archives=archives, sources=apt / "sources"))
        get = ["apt-get", f"--config-file={settings}", "--quiet=2"]
        # One source among several may be gone; whether what is needed was found shows in the next step.
        subprocess.run([*get, "update"], timeout=UPDATE_SECONDS, check=False)
        subprocess.run([*get, "--yes", "--download-only", "install", *packages], timeout=DOWNLOAD_SECONDS, check=True)
        for package in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg", "--extract", str(package), str(unpacked)], timeout=UNPACK_SECONDS, check=True)
        shutil.rmtree(directory, ignore_errors=True)
        unpacked.rename(directory)


def write_sources(folder: Path, *, suite: str | None) -> None:
    """Make ``folder`` a list of sources: the machine's own and, if it is not among them, ``suite`` from its mirror."""
    shutil.rmtree(folder)
    folder.mkdir()
    for file in (SOURCES, *sorted(MORE_SOURCES.glob("*.list")), *sorted(MORE_SOURCES.glob("*.sources"))):
        if not file.exists():
            continue
        text = file.read_text(errors="replace")
        (folder / file.name).write_text(text)
        if suite and suite != codename():
            derive = _stanzas_of if file.suffix == ".sources" else _lines_of
            (folder / f"{suite}-{file.name}").write_text(derive(text, suite))


def _stanzas_of(text: str, suite: str) -> str:
    """The stanzas (deb822) that name the machine's release, naming ``suite`` instead."""
    derived = []
    for stanza in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in stanza.splitlines() if line[:1].isalpha() and ":" in line)
        if codename() in fields.get("Suites", "").split() and "main" in fields.get("Components", "").split():
            lines = (f"Suites: {suite}" if line.startswith("Suites:") else line for line in stanza.splitlines())
            derived.append("\n".join(lines))
    return "\n\n".join(derived) + "\n"


def _lines_of(text: str, suite: str) -> str:
    """The lines (``deb [options] uri release component...``) that name the machine's release, naming ``suite``."""
    derived = []
    for line in text.splitlines():
        head, found, components = line.partition(f" {codename()} ")
        if found and head.startswith("deb ") and "main" in components.split():
            derived.append(f"{head} {suite} main\n")
    return "".join(derived)
