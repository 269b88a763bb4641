"""Which source plugins there are: one table by name, filled from entry points (group ``extsync.sources``).

A plugin is a callable ``factory(config, context) -> Source`` (see ``extsync.sources.base``). The built-in ones are in
the table by themselves, so that a checkout that is not installed works too; everybody else's come from the metadata
of installed distributions. Names are known without importing anything, and a plugin that is not used is never
imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from typing import Any

import msgspec

from extsync.errors import ConfigError
from extsync.sources.base import Source, SourceContext, SourceFactory
from extsync.sources.told import told

GROUP = "extsync.sources"
"""The entry-point group of source plugins."""

BUILTIN = {
    "static": "extsync.sources.static:StaticSource",
    "file": "extsync.sources.file:FileSource",
    "http": "extsync.sources.http:HttpSource",
    "dns": "extsync.sources.dns:DnsSource",
    "consul": "extsync.sources.consul:ConsulSource",
    "pods": "extsync.sources.pods:PodsSource",
}


class Plugin(msgspec.Struct, frozen=True):
    """One registration: the name of a kind, the object it stands for and the distribution it comes from."""

    kind: str
    value: str
    distribution: str

    def load(self) -> Any:
        return metadata.EntryPoint(name=self.kind, value=self.value, group=GROUP).load()


def installed() -> Iterable[Plugin]:
    """The plugins that the metadata of the installed distributions names; imports none of them."""
    for entry in metadata.entry_points(group=GROUP):
        distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
        yield Plugin(entry.name, entry.value, distribution)


class Registry:
    """The kinds of sources. ``discover`` lists what is registered beside the built-in kinds."""

    def __init__(self, discover: Callable[[], Iterable[Plugin]] = installed) -> None:
        table: dict[str, list[Plugin]] = {kind: [Plugin(kind, value, "extsync")] for kind, value in BUILTIN.items()}
        for plugin in discover():
            # extsync's own metadata names the built-in kinds once more.
            if BUILTIN.get(plugin.kind) != plugin.value:
                table.setdefault(plugin.kind, []).append(plugin)
        self._table = table

    def kinds(self) -> tuple[str, ...]:
        """The names of all kinds, sorted; no plugin is imported for it."""
        return tuple(sorted(self._table))

    def find(self, kind: str) -> Plugin:
        """The one registration of ``kind``; raises ConfigError where there is none, or more than one."""
        plugins = self._table.get(kind, [])
        if not plugins:
            raise ConfigError(f"there is no source of type {kind!r}; {self._known(kind)}")
        if len(plugins) > 1:
            owners = " and ".join(f"{plugin.distribution} ({plugin.value})" for plugin in plugins)
            raise ConfigError(f"source type {kind!r} is registered twice, by {owners}: uninstall one of them")
        return plugins[0]

    def factory(self, kind: str) -> SourceFactory:
        """Imports the plugin of ``kind`` and no other; raises ConfigError where that fails."""
        plugin = self.find(kind)
        try:
            factory = plugin.load()
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"source type {kind!r} of {plugin.distribution} cannot be imported from {plugin.value}"
                f" ({told(error)}): reinstall or upgrade {plugin.distribution}"
            ) from error
        if not callable(factory):
            raise ConfigError(
                f"source type {kind!r} of {plugin.distribution} is broken: {plugin.value} is not callable;"
                f" it must be a factory(config, context)"
            )
        made: SourceFactory = factory
        return made

    def create(self, kind: str, config: Any, context: SourceContext) -> Source:
        """A new source of ``kind`` from its block of the manifest.

        Raises ConfigError where the kind is unknown or registered twice, where its plugin cannot be imported and where
        the plugin refuses ``config``.
        """
        factory = self.factory(kind)
        try:
            source = factory(config, context)
        except ConfigError as error:
            raise ConfigError(f"source {context.name!r}: {error}") from error
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"source {context.name!r}: type {kind!r} of {self.find(kind).distribution} failed on its configuration"
                f" ({told(error)}): check the block, or report this to the plugin's authors"
            ) from error
        if not callable(getattr(source, "run", None)):
            raise ConfigError(
                f"source {context.name!r}: type {kind!r} of {self.find(kind).distribution} is broken: its factory"
                f" returned {type(source).__name__}, which has no run(emit)"
            )
        return source

    def _known(self, kind: str) -> str:
        near = difflib.get_close_matches(kind, self._table, n=1)
        if near:
            return f"did you mean {near[0]!r}?"
        return f"install the package that provides it (known: {', '.join(self.kinds())})"


@cache
def default() -> Registry:
    """The registry of this process, made at the first use."""
    return Registry()


def kinds() -> tuple[str, ...]:
    """The names of all kinds of sources in this installation, sorted; no plugin is imported for it."""
    return default().kinds()


def create(kind: str, config: Any, context: SourceContext) -> Source:
    """A new source of ``kind``; see ``Registry.create``."""
    return default().create(kind, config, context)
