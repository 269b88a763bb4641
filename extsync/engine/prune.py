"""Prune: what an installation made and its manifests no longer name goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

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
from extsync.plan.ownership import service_made_by
from extsync.plan.removal import endpoints_made_by, removal, slice_made_by


async def prune(
    world: World, writer: Writer, options: OnceOptions, keep: Collection[ServiceKey], namespaces: Iterable[str]
) -> list[ServiceResult]:
    """Deletes everything of owner ``options.owner`` that belongs to none of the services ``keep``.

    ``namespaces`` empty: in all. Without ``options.write`` it only says what it would delete. Raises StoreError.
    """
    named = await _named_by_objects(world, options, namespaces)
    left = sorted(named - set(keep))
    view = Snapshot(world.store, clock=world.clock, timeout=options.request_timeout)
    await view.read(left)
    results = []
    for key in left:
        current = view.current(key)
        result = ServiceResult(key, current=current)
        changes = removal(current, options.owner)
        if options.write:
            written = await writer.write(changes.items)
            result.steps = [Step(done.change) for done in written.done]
            result.errors = [failure(failed.change, failed.error) for failed in written.failed]
            result.errors += [f"{describe(skipped.change)}: {skipped.reason}" for skipped in written.skipped]
        else:
            result.steps = [Step(change) for change in changes]
        if result.steps or result.errors:
            results.append(result)
    return results


async def _named_by_objects(world: World, options: OnceOptions, namespaces: Iterable[str]) -> set[ServiceKey]:
    """The services for which there is an object of this owner."""
    selector = f"{OWNER_LABEL}={options.owner}"
    found: set[ServiceKey] = set()
    places: list[str | None] = [*namespaces]
    for namespace in places or [None]:
        for kind in (Service, Endpoints, EndpointSlice):
            listing: Listing[KubeObject] = await retrying(world.clock)(
                world.store.list, kind, namespace=namespace, label_selector=selector
            )
            for obj in listing.items:
                if _made_by(obj, options.owner):
                    found.update(service_keys(obj))
    return found


def _made_by(obj: KubeObject, owner: str) -> bool:
    match obj:
        case Service():
            return service_made_by(obj, owner)
        case Endpoints():
            return endpoints_made_by(obj, owner)
        case EndpointSlice():
            return slice_made_by(obj, owner)
    return False
