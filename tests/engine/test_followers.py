"""Who follows an engine is told of each service that changes, comes and goes, and of none once it has left."""

from __future__ import annotations

from extsync.model import ServiceKey
from extsync.seams.virtual import virtual_time
from tests.engine.support import A, B, Rig, feed, key, manifest, rack, ready


@virtual_time
async def test_a_follower_is_told_of_what_changes_until_it_leaves() -> None:
    rig = Rig()
    rig.feed().found(A)
    async with rig.running(manifest("web", feed(), checks=[]), manifest("quiet", rack(A), checks=[])):
        await rig.until(rig.agree("web", ready(A)), within=10.0)
        await rig.clock.sleep(10.0)
        told: list[ServiceKey] = []
        leave = rig.engine.follow(told.append)
        await rig.clock.sleep(10.0)
        assert told == []
        rig.feed().found(A, B)
        await rig.until(rig.agree("web", ready(A, B)), within=10.0)
        assert set(told) == {key("web")}
        rig.manifests.put(manifest("quiet", rack(A), checks=[]))
        await rig.until(lambda: rig.engine.service_keys() == [key("quiet")], within=300.0)
        await rig.clock.sleep(1.0)
        assert told[-1] == key("web")
        leave()
        told.clear()
        rig.manifests.put(manifest("quiet", rack(A, B), checks=[]))
        await rig.until(rig.agree("quiet", ready(A, B)), within=60.0)
        assert told == []
