"""From a text to backends: our list of them, or Prometheus's target groups (file_sd, http_sd), as JSON or YAML. Pure.

Both forms may stand in one list. An entry that cannot be used is set aside with its place and reason, and the others
count; a text that is no such list at all is refused as a whole.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from pydantic import ValidationError

from extsync.addresses import check_address
from extsync.config.backends import read_backend
from extsync.config.faults import kind_of, shown, suggestion
from extsync.config.text import Mark, TextFault, UnreadableText
from extsync.model import Backend, Rejected
from extsync.sources.payload.entries import Entries, is_group, read_entries

MAX_BACKENDS: Final = 500_000
"""Backends in one text; more is an accident, and is refused before it takes the memory."""

MAX_REJECTED: Final = 1000
"""Entries set aside that are told one by one; further ones are only counted."""

Labels: TypeAlias = tuple[tuple[str, str], ...]


class Payload(msgspec.Struct, frozen=True):
    """What one text holds. ``declares_none`` is True for a literal ``[]``, the only way to say that there are none."""

    backends: tuple[Backend, ...]
    rejected: tuple[Rejected, ...]
    declares_none: bool


def parse(content: bytes, name: str, *, labels: Mapping[str, str], only_json: bool) -> Payload:
    """Reads the content of a file or an answer; every backend gets ``labels`` besides its own.

    ``name`` says in messages where the content is from. Raises ValueError with name, place and reason where the content
    is no list of entries, or holds entries of which none can be used.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return _Builder(name, labels, read_entries(content, only_json=only_json)).payload()
    except UnreadableText as error:
        raise ValueError(f"{_place(name, error.fault.mark)}: {_described(error.fault)}") from None


class _Builder:
    def __init__(self, name: str, labels: Mapping[str, str], entries: Entries) -> None:
        self._name = name
        self._common = labels
        self._entries = entries
        self._backends: list[Backend] = []
        self._rejected: list[Rejected] = []
        self._uncounted = 0
        self._labels: dict[Labels, Labels] = {}

    def payload(self) -> Payload:
        declares_none = True
        for entry, fault in self._entries:
            declares_none = False
            if fault is not None:
                self._reject("", _described(fault), fault.mark)
            elif is_group(entry):
                self._add_group(entry)
            else:
                self._add_backend(entry)
            if len(self._backends) > MAX_BACKENDS:
                raise ValueError(f"{self._name}: holds more than {MAX_BACKENDS:,} backends")
        if not self._backends and not declares_none:
            raise ValueError(f"{self._name}: {self._nothing_usable()}")
        if self._uncounted:
            self._rejected.append(Rejected(self._name, "further entries cannot be used either"))
        return Payload(tuple(self._backends), tuple(self._rejected), declares_none)

    def _nothing_usable(self) -> str:
        if not self._rejected:
            return "its target groups hold no targets: write [] for no backends"
        first = self._rejected[0]
        count = len(self._rejected) + self._uncounted
        return f"none of its entries can be used ({count}); the first is {first.entry}: {first.reason}"

    def _add_backend(self, entry: object) -> None:
        try:
            backend = read_backend(entry)
        except ValidationError as error:
            named = entry.get("address", "") if isinstance(entry, dict) else ""
            self._reject(named, _reason(error))
        else:
            self._backends.append(msgspec.structs.replace(backend, labels=self._labelled({})))

    def _add_group(self, group: dict[Any, Any]) -> None:
        """Adds the targets of one target group; of an unusable group none."""
        targets = group.get("targets") or []
        labels = group.get("labels") or {}
        if fault := _group_fault(group, targets, labels):
            self._reject("", fault)
            return
        shared = self._labelled(labels)
        for target in targets:
            try:
                address, port = _target(target)
            except ValueError as error:
                self._reject(target, str(error))
            else:
                self._backends.append(Backend(address, port, labels=shared))

    def _labelled(self, labels: dict[str, str]) -> Labels:
        """The labels with those that all backends have, as one object for all that have the same."""
        found = tuple(sorted({**labels, **self._common}.items()))
        return self._labels.setdefault(found, found)

    def _reject(self, named: object, reason: str, mark: Mark | None = None) -> None:
        if len(self._rejected) >= MAX_REJECTED:
            self._uncounted += 1
            return
        name = f" {shown(named)}" if named else ""
        self._rejected.append(Rejected(_place(self._name, mark or self._entries.mark()) + name, reason))


def _group_fault(group: dict[Any, Any], targets: object, labels: object) -> str:
    """Why a target group cannot be used at all, or ""."""
    for key in group:
        if key not in ("targets", "labels"):
            meant = suggestion(str(key), ("targets", "labels"))
            hint = f"did you mean {meant!r}?" if meant else "known here: targets, labels"
            return f"unknown key {shown(key)}; {hint}"
    if "targets" not in group:
        return "a target group needs targets"
    if not isinstance(targets, list):
        return f"targets must be a list of address:port, not {kind_of(targets)}"
    if not isinstance(labels, dict):
        return f"labels must be a mapping, not {kind_of(labels)}"
    for name, value in labels.items():
        if not isinstance(value, str):
            return f"label {name!r} must be text, not {kind_of(value)}: put it in quotes"
    return ""


def _target(target: object) -> tuple[str, int | None]:
    """Address and port of ``10.0.0.1:80``, ``[2001:db8::1]:80``, or either without its port."""
    if not isinstance(target, str):
        raise ValueError(f"a target is text such as 10.0.0.1:80, not {kind_of(target)}")
    if "/" in target:
        raise ValueError(f"{shown(target)} is a URL or a network: write 10.0.0.1:80")
    host, colon, port = target.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return check_address(target.removeprefix("[").removesuffix("]")), None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    address = check_address(host)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{shown(port)} is not a port: ports are 1 to 65535")
    return address, int(port)


def _place(name: str, mark: Mark) -> str:
    return f"{name}:{mark.line}:{mark.column}"


def _described(fault: TextFault) -> str:
    return f"{fault.message}: {fault.hint}" if fault.hint else fault.message


def _reason(error: ValidationError) -> str:
    """All faults of one entry on one line."""
    reasons = []
    for fault in error.errors(include_url=False, include_input=False):
        place = ".".join(str(step) for step in fault["loc"])
        hint = fault.get("ctx", {}).get("hint")
        reasons.append((f"{place}: " if place else "") + fault["msg"] + (f"; {hint}" if hint else ""))
    return "; ".join(reasons)
