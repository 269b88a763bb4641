"""Everything that one simulated run consists of, and what is in force at the moment."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from extsync.errors import StoreError
from extsync.kube.memory import MemoryStore, Served
from extsync.objects import OWNER_LABEL, EndpointSlice, KubeObject
from extsync.seams.virtual import SeededRandom, VirtualClock
from tests.simulation.coverage import Coverage
from tests.simulation.ears import Ears
from tests.simulation.invariants import Checker, Violation
from tests.simulation.manifests import Disk
from tests.simulation.pages import pages
from tests.simulation.process import OWNER, Process
from tests.simulation.replica import Replica
from tests.simulation.requests import Requests, is_write
from tests.simulation.scenario import LEASES, NAMESPACE, OF_THE_OTHER, SECRETS, SERVICES, World
from tests.simulation.timely import Timely

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds of simulated time between two looks at the store besides those after each write."""
COLLECTED = 5.0
"""Seconds in which the garbage collector takes away what belonged to something deleted."""
UNSEEN = 60.0
"""Seconds after bad weather in which the engine may plan from how things were before somebody changed them."""
AFTER_STORM = 40.0
"""Seconds after which nobody waits any more because of bad weather; the longest back-off is 30 s."""
AFTER_START = 15.0
"""Seconds after which a new process knows what is up and what is down."""
TO_READ = 5.0
"""Seconds after which a new process has read the manifests."""
PAGES = 60.0
"""Seconds between two looks at what the processes show of themselves."""
SLOWEST, FASTEST = 0.95, 1.05
"""The rates at which clocks run."""


def service_of(served: Served) -> str:
    """Which service a written object is of."""
    name = served.key[1]
    return name.rsplit("-", 2)[0] if served.kind is EndpointSlice else name


class Ongoing:
    """A fault that lasts until ``end``, which its own time or a calm brings about."""

    def __init__(self, until: float, end: Callable[[], None], *, disturbs: float | None) -> None:
        self.until = until
        self.end = end
        self.disturbs = disturbs


class Stage:
    """One run. ``script`` draws what happens; ``line`` takes each line of the log."""

    def __init__(self, seed: int, line: Callable[[str], object]) -> None:
        self.script = random.Random(f"{seed}/script")
        self.clock = VirtualClock()
        self.coverage = Coverage(self.now)
        self.world = World(self.clock)
        self.store = MemoryStore(
            clock=self.clock, random=SeededRandom(seed), namespaces=[NAMESPACE, LEASES], history=200
        )
        self.checker = Checker(self.store, self.world)
        self.requests = Requests(self.store, self.checker)
        self.ears = Ears(self.now, SECRETS, line=line)
        self.timely = Timely(self.clock, self.world, self.checker, is_disturbed=self._is_disturbed, rate=SLOWEST)
        self.ongoing: list[Ongoing] = []
        self.taken: set[str] = set()
        """The services of which somebody else has an object of that name."""
        number_of_replicas = self.script.choice([1, 1, 2, 3])
        self._is_elected = number_of_replicas > 1 or self.script.random() < 0.5
        shards = self.script.choice([1, 1, 3]) if self._is_elected else 0
        self.replicas = [
            Replica(
                f"replica-{number}",
                self.world,
                self.store,
                seed=f"{seed}/{number}",
                rate=self.script.uniform(SLOWEST, FASTEST),
                shards=shards,
                served=self._served,
                asked=self._asked,
            )
            for number in range(number_of_replicas)
        ]
        self.other = Replica(
            "other",
            self.world,
            self.store,
            seed=f"{seed}/other",
            rate=1.0,
            shards=1 if self._is_elected else 0,
            served=self._served,
            asked=self._asked,
            owner="other",
            disk=Disk(OF_THE_OTHER, self.clock),
        )
        """The other installation, which does not run all the time."""
        self._violation: Violation | None = None
        self._disturbed_until = 0.0
        self._pages_due = 0.0
        self._restored_at = -2 * UNSEEN
        self._led: dict[str, tuple[str, float]] = {}

    def now(self) -> float:
        """The simulated time in seconds."""
        return self.clock.monotonic()

    # ---- time and checks ---------------------------------------------------------------------------------------------

    async def pass_(self, seconds: float) -> None:
        """Lets time pass and looks at the store all the while; raises Violation."""
        end = self.now() + seconds
        while True:
            self.check()
            if self.now() >= self._pages_due:
                await self.look_at_pages()
            if (left := end - self.now()) <= 0:
                return
            await self.clock.sleep(min(left, LOOK))

    async def look_at_pages(self) -> None:
        """Looks for secrets in what the processes show of themselves; raises Violation."""
        self._pages_due = self.now() + PAGES
        for replica in self.replicas:
            if replica.runs and replica.engine is not None:
                async for page in pages(replica.engine):
                    if any(secret in page for secret in SECRETS):
                        raise Violation(f"11: a page of {replica.process.name} has a secret: {page}")

    def check(self) -> None:
        """Checks what must hold at every moment; raises the first Violation there was."""
        self._step()
        if self.timely.overdue:
            self._violated(self.timely.overdue[0])
        if self.ears.leaks:
            self._violated(Violation(f"11: this was logged: {self.ears.leaks[0]}"))
        for service in SERVICES:
            self._led_since(service)
        for replica in self.replicas:
            main = replica.process.main
            if replica.runs and main is not None and main.done():
                self._violated(Violation(f"7: {replica.process.name} ended: {main.exception()!r}"))
        if self.timely.looked:
            self.timely.looked = 0
            self.coverage.evaluated(8)
        if self._violation is not None:
            raise self._violation

    def _step(self) -> None:
        now = self.now()
        try:
            if not self.checker.step(now):
                return
        except Violation as violation:
            self._violated(violation)
        self.coverage.evaluated(1, 5, 10, 11)
        if any(now - replica.started_at < UNSEEN for replica in self.replicas):
            self.coverage.evaluated(2)

    def _asked(self, process: Process, verb: str, kind: type[KubeObject], key: tuple[str, str]) -> None:
        try:
            self.requests.asked(process, verb, kind, key, self.now())
        except Violation as violation:
            self._violated(violation)

    def _served(self, process: Process, served: Served) -> None:
        try:
            if is_write(served) and not served.late and process.alive:
                self._is_alone(process, served)
            if not self.requests.judge(process, served, self.now()):
                return
        except Violation as violation:
            self._violated(violation)
        if self._is_elected:
            self.coverage.evaluated(6)
        if served.late:
            self._arrives_late(process, served)
        self._step()

    def _is_alone(self, process: Process, served: Served) -> None:
        """6: nobody else may write for the service when a write arrives that its sender waits for."""
        service = service_of(served)
        others = [one.process.name for one in self.replicas if one.process is not process and one.leads(service)]
        if self._is_elected and others and process.owner == OWNER:
            raise Violation(f"6: {process.name} wrote {served.key[1]}, and {others} may write")

    def _arrives_late(self, process: Process, served: Served) -> None:
        """A request of an old plan can undo what a new one relies on in another object: that is put right then."""
        kind, name = served.kind, served.key[1]
        log.info("a late %s of %s arrives: %s %s", served.verb, process.name, kind.__name__, name)
        self.excuse(service_of(served))

    def _violated(self, violation: Violation) -> None:
        if self._violation is None:
            log.error("invariant %s", violation)
            self._violation = violation

    # ---- faults ------------------------------------------------------------------------------------------------------

    def begin(self, kind: str, seconds: float, undo: Callable[[], object], *, disturbs: float | None = None) -> None:
        """A fault is in effect from now on, for ``seconds`` or until ``calm``; then ``undo`` ends it.

        ``disturbs``: it may delay what the engine does, and for so many seconds after its end.
        """
        log.info("%s for %.1f s", kind, seconds)
        occurrence = self.coverage.begin(kind)

        def end() -> None:
            if ongoing in self.ongoing:
                log.info("%s: over", kind)
                self.ongoing.remove(ongoing)
                undo()
                self.coverage.end(occurrence)
                if disturbs is not None:
                    self.disturb(disturbs)

        ongoing = Ongoing(self.now() + seconds, end, disturbs=disturbs)
        self.ongoing.append(ongoing)
        self.clock.call_later(seconds, end)

    def strike(self, kind: str) -> None:
        """A fault that is over at once."""
        log.info("%s", kind)
        self.coverage.strike(kind)

    async def calm(self) -> None:
        """Ends all that lasts, as soon as everybody has seen it."""
        await self.pass_(1.0)
        for ongoing in list(self.ongoing):
            ongoing.end()

    def disturb(self, seconds: float) -> None:
        """For so long the engine need not be in time."""
        self._disturbed_until = max(self._disturbed_until, self.now() + seconds)

    def undisturbed_in(self) -> float:
        """Seconds until the engine has to be in time again, where nothing lasts that disturbs it."""
        led = [self._led_since(service) + AFTER_START for service in SERVICES]
        started = [one.started_at + AFTER_START for one in self.replicas]
        since = max(self._disturbed_until, self._restored_at + 2 * UNSEEN, *led, *started)
        return max(0.0, since - self.now())

    def is_stormy(self) -> bool:
        """Whether anything lasts that may delay what the engine does."""
        return any(ongoing.disturbs is not None for ongoing in self.ongoing)

    def excuse(self, service: str) -> None:
        """Somebody else changes objects of a service."""
        until = max((one.until for one in self.ongoing if one.disturbs is not None), default=0.0)
        stormy = until or self._disturbed_until > self.now()
        self.checker.excuse(service, max(until, self.now()) + UNSEEN if stormy else self.now() + COLLECTED)

    def everything_changes(self) -> None:
        """Somebody else changes objects of all services, and there are others than anybody has seen last."""
        self._restored_at = self.now()
        for service in SERVICES:
            self.checker.excuse(service, self.now() + 2 * UNSEEN)

    def say(self, text: str) -> None:
        """A line in the log."""
        log.info("%s", text)

    def ours(self, kind: type[KubeObject], *, owner: str = OWNER) -> list[str]:
        """The names of objects that extsync made, those of services aside whose names somebody else has taken."""
        return [
            obj["metadata"]["name"]
            for obj in self.store.dump(kind, NAMESPACE)
            if obj["metadata"].get("labels", {}).get(OWNER_LABEL) == owner and obj["metadata"]["name"] not in self.taken
        ]

    def remove(self, kind: type[KubeObject], name: str, *, namespace: str = NAMESPACE) -> None:
        """Somebody deletes an object, if it is there."""
        try:
            self.store.remove(kind, namespace, name)
        except StoreError as error:
            log.info("it cannot be deleted: %s", error)

    def knows(self, replica: Replica, service: str) -> bool:
        """Whether a process has read the manifest of a service, be that still there or not."""
        since = max(replica.started_at, self._restored_at)
        return replica.runs and since < self.world.disk.untold_since(service) - TO_READ

    def leader(self, service: str) -> Replica | None:
        """The replica that may write for a service; None where there is none now."""
        return next((replica for replica in self.replicas if replica.leads(service)), None)

    def _led_since(self, service: str) -> float:
        """Since when, as far as that was looked at, the same process has led for a service."""
        leader = self.leader(service)
        name = leader.process.name if leader is not None else ""
        if service not in self._led or self._led[service][0] != name:
            self._led[service] = name, self.now()
        return self._led[service][1]

    def _is_disturbed(self, service: str, since: float) -> bool:
        frozen = any(replica.runs and replica.process.name in self.ears.frozen for replica in self.replicas)
        if self.is_stormy() or self._disturbed_until > since or frozen:
            return True
        if self.world.disk.told_at(service) > since - AFTER_START:
            return True
        leader, led_since = self.leader(service), self._led_since(service)
        if leader is None or not self.knows(leader, service):
            return True
        return max(leader.started_at, led_since) > since - AFTER_START
