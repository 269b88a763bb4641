"""What a manifest names that the limits of this process deny: files, environment variables, and addresses as far as
they are written out.

What is denied for a manifest as a whole is an error. A backend that is denied is only set aside when it is to be
published, so it is a warning here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel

from extsync.address_policy import Scope
from extsync.config.faults import Place
from extsync.config.manifest import ExternalService
from extsync.config.secret import Secret
from extsync.config.sources import Source
from extsync.config.text import Severity
from extsync.file_roots import FileRoots, OutsideRoots
from extsync.limits import Limits

_FILE: Final = "_file"
"""How the names of fields end that name a file."""


class Denied(NamedTuple):
    """Something in a manifest that is denied, and why."""

    place: Place
    message: str
    severity: Severity = "error"


def denied(service: ExternalService, base_dir: Path, limits: Limits) -> Iterator[Denied]:
    """Yields what ``service`` names and must not; paths are relative to ``base_dir``. It looks at the disk."""
    namespace = service.key.namespace
    published, contacted = limits.policy.published(namespace), limits.policy.contacted(namespace)
    for place, path in _files(service.spec, ("spec",)) if limits.roots.roots else ():
        if reason := _outside(base_dir / path, limits.roots):
            yield Denied(place, f"{path} {reason}")
    for place, secret in _secrets(service.spec, ("spec",)):
        for reason in filter(None, map(limits.variables.denied, secret.variables)):
            yield Denied(place, reason)
    for index, check in enumerate(service.spec.checks):
        host = None if check.plugin is not None else getattr(check.config, "host", None)
        if host and (reason := contacted.denied(host)):
            yield Denied(("spec", "checks", index, check.factory, "host"), reason)
    for index, source in enumerate(service.spec.sources):
        for place, reason in _asked(source, contacted):
            yield Denied(("spec", "sources", index, *place), reason)
        if (backend := _first_denied(source, published, contacted, probes=bool(service.spec.checks))) is not None:
            number, reason, more = backend
            others = f"; and {more} more of this source" if more else ""
            place = ("spec", "sources", index, "static", "backends", number)
            yield Denied(place, f"this backend is not going to be published: {reason}{others}", "warning")


def _outside(path: Path, roots: FileRoots) -> str:
    # A pattern has wildcards in its last part only, and that is no file's name.
    path = path.parent if any(character in path.name for character in "*?[") else path
    try:
        roots.check(path)
    except OutsideRoots as error:
        return error.strerror or str(error)
    return ""


def _files(block: BaseModel, place: Place) -> Iterator[tuple[Place, str]]:
    """The paths in ``block``, found by the names of their fields, so that none is forgotten."""
    for name, field in type(block).model_fields.items():
        yield from _in_value(name, getattr(block, name), (*place, field.alias or name))


def _in_value(name: str, value: object, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        if name.endswith(_FILE):
            yield place, value
    elif isinstance(value, BaseModel):
        yield from _files(value, place)
    elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel | str):
        for index, entry in enumerate(value):
            yield from _in_value(_FILE if name == "files" else "", entry, (*place, index))


def _secrets(value: object, place: Place) -> Iterator[tuple[Place, Secret]]:
    """The secrets in ``value``, found by their type, so that none is forgotten."""
    if isinstance(value, Secret):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _secrets(getattr(value, name), (*place, field.alias or name))
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _secrets(entry, (*place, str(key)))
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            yield from _secrets(entry, (*place, index))


def _asked(source: Source, contacted: Scope) -> Iterator[tuple[Place, str]]:
    """The servers of a source that are given by their addresses."""
    for place, url in _urls(source):
        if reason := contacted.denied(urlsplit(url).hostname or ""):
            yield place, reason
    if source.dns is not None:
        for index, server in enumerate(source.dns.nameservers):
            if reason := contacted.denied(server.rpartition(":")[0].strip("[]")):
                yield ("dns", "nameservers", index), reason


def _urls(source: Source) -> Iterator[tuple[Place, str]]:
    if source.consul is not None:
        yield ("consul", "server"), source.consul.server
    if source.http is not None:
        yield ("http", "url"), source.http.url
    proxy = (source.consul and source.consul.proxy_url) or (source.http and source.http.proxy_url)
    if proxy and proxy.is_literal:
        yield (source.factory, "proxyUrl"), proxy.resolve({})


def _first_denied(source: Source, published: Scope, contacted: Scope, *, probes: bool) -> tuple[int, str, int] | None:
    """The first static backend that is denied, why, and how many more are."""
    reasons: list[tuple[int, str]] = []
    for number, backend in enumerate(source.static.backends if source.static is not None else ()):
        host = backend.probe.host if probes and backend.probe is not None and backend.probe.enabled else None
        reason = published.denied(backend.address) or (contacted.denied(host) if host else "")
        if reason:
            reasons.append((number, reason))
    return (*reasons[0], len(reasons) - 1) if reasons else None
