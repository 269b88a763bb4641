"""Runs a command as a container with a read-only file system does: as a user without a name, who may write nowhere.

``python -m tests.api.confined COMMAND...`` in a namespace of its own, as ``confined`` puts it. Nothing that is mounted
can be written to, not even /tmp; what is open already, such as the log, can.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

USER: Final = 65532
"""That of the image."""

_MOUNT_SETATTR: Final = 442
"""The number of mount_setattr(2), the same on every architecture."""
_AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = -100, 0x8000, 1

_HOOK: Final = """
import os, sys
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
            "tempfile.mkstemp", "tempfile.mkdtemp", "shutil.copyfile")

def _told(event, arguments):
    if event == "open":
        path, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if not writes or isinstance(path, int) or os.fspath(path) == os.devnull or "__pycache__" in str(path):
            return
    elif event not in _CHANGES or "__pycache__" in str(arguments):
        return
    os.write(2, f"WRITES: {event} {arguments}\\n".encode())

sys.addaudithook(_told)
"""


def confined(folder: Path, *command: str | Path) -> tuple[list[str], dict[str, str]]:
    """``command`` confined, and its whole environment; whatever it tries to write it tells on standard error.

    ``folder`` is where the hook that tells so is put.
    """
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(_HOOK)
    paths = [str(hooks), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": "/none"}
    inside = [sys.executable, "-B", "-m", "tests.api.confined", *map(str, command)]
    return ["unshare", "--user", "--map-root-user", "--mount", *inside], environment


def main() -> None:
    _set_attributes("/", flags=_AT_RECURSIVE, gained=_READ_ONLY)
    _set_attributes("/proc", lost=_READ_ONLY)  # where unshare says who is who
    for folder in ("/tmp", "/dev/shm", str(Path(__file__).parent)):
        if os.access(folder, os.W_OK):
            sys.exit(f"{folder} can be written to")
    os.chdir("/")
    os.execvp("unshare", ["unshare", "--user", f"--map-user={USER}", f"--map-group={USER}", *sys.argv[1:]])


def _set_attributes(place: str, *, flags: int = 0, gained: int = 0, lost: int = 0) -> None:
    attributes = (ctypes.c_uint64 * 4)(gained, lost, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.sizeof(attributes)
    if libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, place.encode(), flags, ctypes.byref(attributes), size):
        sys.exit(f"mount_setattr: {place}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
