"""Prune: what an installation made and its manifests do not name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from extsync.engine.keepers import Keepers
from extsync.engine.passes import OnceOptions, ServiceResult, Step
from extsync.engine.retry import retrying
from extsync.engine.snapshot import Snapshot
from extsync.engine.telling import describe, failure
from extsync.engine.view import service_keys
from extsync.engine.world import World
from extsync.kube.store import Listing
from extsync.kube.writer import Writer
from extsync.model import ServiceKey
from extsync.objects import OWNER_LABEL, Endpoints, EndpointSlice, KubeObject, Service
from extsync.plan.removal import made_by, removal


async def prune(
    world: World,
    writer: Writer,
    keepers: Keepers,
    options: OnceOptions,
    keep: Collection[ServiceKey],
    namespaces: Iterable[str],
) -> list[ServiceResult]:
    """Deletes everything of owner ``options.owner`` that belongs to none of the services ``keep``.

    ``namespaces`` empty: in all. What a running extsync keeps by the word of ``keepers`` stays. Without
    ``options.write`` it only says what it would delete. Raises StoreError.
    """
    left = leftovers(await _objects(world, options, namespaces), options.owner, frozenset(keep).__contains__)
    view = Snapshot(world.store, clock=world.clock, timeout=options.request_timeout)
    await view.read(left)
    results = []
    for key in left:
        current = view.current(key)
        result = ServiceResult(key, current=current)
        changes = removal(current, options.owner)
        if options.write and not options.take_over and (refusal := await keepers.refusal(current)):
            result.errors = [refusal]
        elif options.write:
            written = await writer.write(changes.items)
            result.steps = [Step(done.change) for done in written.done]
            result.errors = [failure(failed.change, failed.error) for failed in written.failed]
            result.errors += [f"{describe(skipped.change)}: {skipped.reason}" for skipped in written.skipped]
        else:
            result.steps = [Step(change) for change in changes]
        if result.steps or result.errors:
            results.append(result)
    return results


def leftovers(objects: Iterable[KubeObject], owner: str, is_named: Callable[[ServiceKey], bool]) -> list[ServiceKey]:
    """The services that no manifest names and for which there is an object that ``owner`` made, sorted."""
    found: set[ServiceKey] = set()
    for obj in objects:
        if made_by(obj, owner):
            keys = service_keys(obj)
            if not any(map(is_named, keys)):  # a slice whose label somebody changed is still that of its Service
                found.update(keys)
    return sorted(found)


async def _objects(world: World, options: OnceOptions, namespaces: Iterable[str]) -> list[KubeObject]:
    """The objects with the label of this owner."""
    selector = f"{OWNER_LABEL}={options.owner}"
    found: list[KubeObject] = []
    places: list[str | None] = [*namespaces]
    for namespace in places or [None]:
        for kind in (Service, Endpoints, EndpointSlice):
            listing: Listing[KubeObject] = await retrying(world.clock)(
                world.store.list, kind, namespace=namespace, label_selector=selector
            )
            found += listing.items
    return found
