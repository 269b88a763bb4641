"""The labels of a backend, and the fields that they become."""

from __future__ import annotations

from typing import Any, Final

from extsync.addresses import check_address
from extsync.config.relabel import DISCOVERED, FIELDS, TEMPORARY
from extsync.model import Backend

ATTRIBUTES: Final = {
    "address": "address",
    "hostname": "hostname",
    "zone": "zone",
    "nodeName": "node_name",
    "group": "group",
    "port": "port",
    "drain": "drain",
}
"""The fields of a backend by the names that they have as labels."""

OPTIONAL: Final = frozenset({"drain"})
"""Fields that are left as the source has them where rules make no value of them: what is wrong with one is no reason to
take a backend away. Names are looked at where sources are merged, and treated alike."""

_NAMES: Final = frozenset(FIELDS)
_FLAGS: Final = {"": False, "false": False, "true": True}


class Labels:
    """The labels of one backend while rules are applied; ``written`` are the names that rules have set or unset."""

    __slots__ = ("values", "written")

    def __init__(self, backend: Backend) -> None:
        self.values = dict(backend.labels)
        for name, attribute in ATTRIBUTES.items():
            value = getattr(backend, attribute)
            if value is not None and value is not False:
                self.values[name] = "true" if value is True else str(value)
        self.values[DISCOVERED] = discovered(backend)
        self.written: set[str] = set()

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def put(self, name: str, value: str) -> None:
        """Sets a label; an empty one is one that is not there."""
        self.written.add(name)
        if value:
            self.values[name] = value
        else:
            self.values.pop(name, None)

    def metadata(self, backend: Backend) -> tuple[tuple[str, str], ...]:
        """What is left as metadata: neither fields nor what was only passed from rule to rule."""
        if all(name in _NAMES or name.startswith(TEMPORARY) for name in self.written):
            return backend.labels
        own = dict(backend.labels)
        made = {
            name: own[name] if name in _NAMES else value
            for name, value in self.values.items()
            if (name not in _NAMES or name in own) and name != DISCOVERED and not name.startswith(TEMPORARY)
        }
        return tuple(sorted(made.items()))


def discovered(backend: Backend) -> str:
    host = f"[{backend.address}]" if ":" in backend.address and backend.port is not None else backend.address
    return host if backend.port is None else f"{host}:{backend.port}"


def field(name: str, text: str) -> Any:
    """The value of a field; raises ValueError where ``text`` is none. Names are looked at where sources are merged."""
    if name == "address":
        if not text:
            raise ValueError("it leaves no address")
        return check_address(text)
    if name == "port":
        if text and not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
            raise ValueError(f"{text!r} is not a port: ports are 1 to 65535")
        return int(text) if text else None
    if name == "drain":
        if text.lower() not in _FLAGS:
            raise ValueError("it is neither true nor false, and drain stays as the source has it")
        return _FLAGS[text.lower()]
    return text or None
