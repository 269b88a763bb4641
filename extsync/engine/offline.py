"""Planning without a cluster: as if it had nothing of the services yet but, where the manifest does not keep it, the
Service itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from extsync.changes import Create
from extsync.engine.once import Once
from extsync.engine.passes import OnceOptions, ServiceResult
from extsync.engine.prepare import Prepared
from extsync.engine.snapshot import Snapshot
from extsync.engine.world import World
from extsync.model import ServiceKey
from extsync.objects import KubeObject
from extsync.plan.service import ServiceWish, preview

PORTS_UNKNOWN = "its ports are those of the Service in a cluster: give spec.ports to render it without one"


class NoCluster(Snapshot):
    """A snapshot of services that look as their manifests say; there is nothing to read."""

    def __init__(self, world: World, services: Iterable[Prepared]) -> None:
        super().__init__(world.store, clock=world.clock, timeout=0.0)
        for prepared in services:
            self.written(preview(prepared.wish or ServiceWish(prepared.key, prepared.ports or ())))

    async def read(self, keys: Iterable[ServiceKey]) -> None:
        """Reads nothing."""


async def render(world: World, options: OnceOptions, services: Sequence[Prepared]) -> list[ServiceResult]:
    """Plans ``services`` without a cluster; one that leaves its ports to the cluster is an error of its own."""
    known = [prepared for prepared in services if not _leaves_ports_to_the_cluster(prepared)]
    planned = await Once(world, options, view=NoCluster(world, known)).run(known)
    results = {result.key: result for result in planned}
    return [results.get(prepared.key) or ServiceResult(prepared.key, errors=[PORTS_UNKNOWN]) for prepared in services]


def _leaves_ports_to_the_cluster(prepared: Prepared) -> bool:
    return prepared.wish is None and prepared.ports is None


def objects_of(result: ServiceResult) -> list[KubeObject]:
    """The slices and Endpoints of one service, as they would be created."""
    return [step.change.obj for step in result.steps if isinstance(step.change, Create)]
