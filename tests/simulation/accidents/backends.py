"""Backends, and the network of extsync itself."""

from __future__ import annotations

import errno

from extsync.seams.virtual_net import Behaviour, BlackHole, Failing, Listening
from tests.simulation.accidents.parts import stop
from tests.simulation.accidents.registry import accident
from tests.simulation.scenario import GUEST, MORTAL
from tests.simulation.stage import AFTER_START, Stage

FEW = 2
"""Sockets that a prober may have left where they run out."""


@accident("backend stops")
async def backend_stops(stage: Stage) -> None:
    """Some of those that are up; one that is silent costs the prober its time-out."""
    ways: list[Behaviour] = [Failing(), BlackHole(), Failing(errno.EHOSTUNREACH), Listening(resets=True)]
    down = stage.script.choice(ways)
    up = [address for address in MORTAL if stage.world.up[address]]
    if isinstance(down, Listening):  # accepts, and then speaks no HTTP
        up = [address for address in up if address in GUEST]
    if up:
        stage.strike("backend stops")
        stop(stage, stage.script.choice(up), down)


@accident("backends stop together")
async def backends_stop_together(stage: Stage) -> None:
    """As a rack that loses its power; the others of a service stay up."""
    stage.strike("backends stop together")
    ways: list[Behaviour] = [Failing(), BlackHole()]
    for address in stage.script.sample(MORTAL, k=4):
        stop(stage, address, stage.script.choice(ways))


@accident("backend flaps")
async def backend_flaps(stage: Stage) -> None:
    address = stage.script.choice(MORTAL)
    stage.strike("backend flaps")
    for _ in range(stage.script.randrange(3, 8)):
        if stage.world.up[address]:
            stop(stage, address, Failing())
        else:
            stage.world.set_up(address, True)
        await stage.pass_(stage.script.uniform(0.5, 8.0))


@accident("backend repeats a secret")
async def backend_repeats_a_secret(stage: Stage) -> None:
    """It answers with what it was asked, and so do programs that show their requests to whoever debugs them."""

    def echo(request: bytes) -> bytes:
        head = stage.script.choice([b"", b"HTTP/1.1 401 Unauthorized\r\n\r\n", b"HTTP/1.1 500 "])
        return head + request

    address = stage.script.choice(GUEST)
    stage.strike("backend repeats a secret")
    stop(stage, address, Listening(answer=echo, closes=True))


@accident("backends start")
async def backends_start(stage: Stage) -> None:
    stage.say("backends start")
    for address in MORTAL:
        if stage.script.random() < 0.8:
            stage.world.set_up(address, True)


@accident("own link is cut")
async def own_link_is_cut(stage: Stage) -> None:
    """A replica can reach nothing for a while, and nobody may be demoted for that.

    Not where its sockets run out: of the few attempts that it can make nobody could tell.
    """
    outages: list[Behaviour] = [BlackHole(), Failing(errno.ENETUNREACH, latency=None), Failing(errno.EHOSTUNREACH)]
    outage, replica = stage.script.choice(outages), stage.script.choice(stage.replicas)
    if stage.world.without_port or replica.io.descriptors <= FEW:
        return
    replica.cuts.append(outage)
    stage.world.rewire()

    def mend() -> None:
        replica.cuts.remove(outage)
        stage.world.rewire()
        stage.world.show_what_is_down()

    stage.begin("own link is cut", stage.script.uniform(0.0, 60.0), mend, disturbs=AFTER_START)


@accident("ports run out")
async def ports_run_out(stage: Stage) -> None:
    """Towards some backends, whose probes are skipped; the others are not concerned.

    Not where extsync takes itself to be cut off: it could not find out in time that these still answer.
    """
    world = stage.world
    addresses = stage.script.sample(MORTAL, k=3)
    if world.without_port or stage.ears.frozen or any(replica.cuts for replica in stage.replicas):
        return
    world.without_port.update(addresses)
    world.rewire()

    def mend() -> None:
        world.without_port.clear()
        world.rewire()
        world.show_what_is_down()

    stage.begin("ports run out", stage.script.uniform(5.0, 60.0), mend, disturbs=AFTER_START)


@accident("sockets run out")
async def sockets_run_out(stage: Stage) -> None:
    """Probes are skipped, and nobody may be demoted for that."""
    replica = stage.script.choice(stage.replicas)
    descriptors, left = replica.io.descriptors, stage.script.choice([0, 0, 1, FEW])
    if descriptors <= FEW or replica.cuts:
        return
    replica.io.descriptors = left

    def mend() -> None:
        replica.io.descriptors = descriptors
        stage.world.show_what_is_down()

    stage.begin("sockets run out", stage.script.uniform(1.0, 30.0), mend, disturbs=AFTER_START)
