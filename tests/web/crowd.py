"""An engine that says it keeps thousands of services: for what is about showing them, not about keeping them."""

from __future__ import annotations

import msgspec

from extsync.cli.world import world_of
from extsync.engine.explain import ServiceDetail
from extsync.engine.options import Options
from extsync.engine.run import Engine
from extsync.engine.status import ProcessStatus, ServiceStatus, SourceStatus
from extsync.kube.memory import MemoryStore
from extsync.model import Outcome, ServiceKey
from extsync.seams import SystemClock, SystemRandom

NAMESPACES = 20


class Crowd(Engine):
    """Keeps nothing and answers all the same; ``change`` changes one of its services."""

    def __init__(self, number: int) -> None:
        super().__init__(world_of(MemoryStore(clock=SystemClock(), random=SystemRandom())), Options())
        keys = sorted(ServiceKey(f"team-{one % NAMESPACES:02}", f"service-{one:04}") for one in range(number))
        self._crowd = {key: _status(key, place) for place, key in enumerate(keys)}

    def status(self) -> ProcessStatus:
        return msgspec.structs.replace(super().status(), synced=True, services=len(self._crowd))

    def service_keys(self) -> list[ServiceKey]:
        return list(self._crowd)

    def service_status(self, key: ServiceKey) -> ServiceStatus | None:
        return self._crowd.get(key)

    def details(self, key: ServiceKey, *, address: str, most: int, skip: int = 0) -> ServiceDetail | None:
        return ServiceDetail((), 0, (), (), ()) if key in self._crowd else None

    def change(self, key: ServiceKey, *, ready: int, not_ready: int) -> None:
        """From now on so many of its endpoints are ready and not."""
        self._crowd[key] = msgspec.structs.replace(self._crowd[key], ready=ready, not_ready=not_ready)
        self._services.followers.tell(key)


def _status(key: ServiceKey, place: int) -> ServiceStatus:
    source = SourceStatus(
        name="inventory",
        outcome=Outcome.FOUND,
        detail="",
        age=float(place % 60),
        stale=False,
        backends=3 + place % 5,
        last_error="",
        last_error_age=None,
        reports={Outcome.FOUND: 1},
    )
    return ServiceStatus(
        key=key,
        ready=source.backends,
        not_ready=0,
        draining=0,
        ready_places=source.backends,
        other_places=0,
        sources=(source,),
        transitions={},
        isolated=False,
        leads=True,
        another_writer=False,
        suppressed=None,
    )
