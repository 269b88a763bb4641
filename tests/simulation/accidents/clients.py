"""Other clients of the API server: people, and the other installation."""

from __future__ import annotations

from contextlib import suppress

from extsync.errors import Conflict
from extsync.objects import SERVICE_NAME_LABEL, Endpoints, EndpointSlice, KubeObject, Lease, Service
from tests.simulation.accidents.registry import accident
from tests.simulation.foreign import put_in_the_place_of
from tests.simulation.scenario import LEASES, NAMESPACE
from tests.simulation.stage import UNSEEN, Stage


@accident("somebody deletes objects")
async def somebody_deletes(stage: Stage) -> None:
    kinds: list[type[KubeObject]] = [EndpointSlice, EndpointSlice, Endpoints]
    kind = stage.script.choice(kinds)
    if names := stage.ours(kind):
        stage.strike("somebody deletes objects")
        name = stage.script.choice(names)
        stage.excuse(_service_of(stage, kind, name))
        stage.say(f"{kind.__name__} {name}")
        stage.remove(kind, name)


@accident("somebody deletes a Service")
async def somebody_deletes_a_service(stage: Stage) -> None:
    if names := stage.ours(Service):
        stage.strike("somebody deletes a Service")
        name = stage.script.choice(names)
        stage.excuse(name)
        stage.remove(Service, name)


@accident("somebody edits objects")
async def somebody_edits(stage: Stage) -> None:
    kinds: list[type[KubeObject]] = [EndpointSlice, Endpoints]
    kind = stage.script.choice(kinds)
    if not (names := stage.ours(kind)):
        return
    stage.strike("somebody edits objects")
    body = stage.store.raw(kind, NAMESPACE, stage.script.choice(names))
    stage.excuse(_service_of(stage, kind, body["metadata"]["name"]))
    if stage.script.random() < 0.5:
        # Without the owner label Endpoints are somebody else's by the rule; a slice is known by its name too.
        kept = ("extsync.dev/owner",) if kind is Endpoints else ()
        labels = body["metadata"]["labels"]
        body["metadata"]["labels"] = {"somebody": "edited"} | {key: labels[key] for key in kept}
    else:
        body["endpoints" if kind is EndpointSlice else "subsets"] = []
    with suppress(Conflict):
        stage.store.put(kind, body)


def _service_of(stage: Stage, kind: type[KubeObject], name: str) -> str:
    if kind is Endpoints:
        return name
    labels = stage.store.raw(kind, NAMESPACE, name)["metadata"].get("labels", {})
    return str(labels.get(SERVICE_NAME_LABEL, ""))


@accident("somebody edits Leases")
async def somebody_edits_leases(stage: Stage) -> None:
    """Deletes them, or empties their holder: whoever held them goes on, and nobody else begins."""
    leases = stage.store.dump(Lease, LEASES)
    if leases:
        stage.strike("somebody edits Leases")
    for body in leases:
        if stage.script.random() < 0.5:
            stage.remove(Lease, body["metadata"]["name"], namespace=LEASES)
        else:
            body["spec"]["holderIdentity"] = ""
            stage.store.put(Lease, body)


@accident("somebody takes a name")
async def somebody_takes_a_name(stage: Stage) -> None:
    """An object of a manifest's name is another manager's for a while: it stays as it is, and ours comes after it."""
    kinds: list[type[KubeObject]] = [Endpoints, Endpoints, Service]
    kind, service = stage.script.choice(kinds), stage.script.choice(["rack", "legacy"])
    if service in stage.taken or not stage.checker.look().uid(service):
        return
    seconds = stage.script.uniform(5.0, 40.0)
    stage.taken.add(service)
    stage.checker.excuse(service, stage.now() + seconds + UNSEEN)
    with suppress(Conflict):
        stage.remove(kind, service)
    put_in_the_place_of(stage.store, stage.checker, kind, service)

    def end() -> None:
        stage.taken.discard(service)
        stage.checker.unprotect(kind, service)
        stage.checker.excuse(service, stage.now() + UNSEEN)
        stage.remove(kind, service)

    stage.begin("somebody takes a name", seconds, end)


@accident("another installation runs")
async def another_installation_runs(stage: Stage) -> None:
    """It keeps a service of its own, and one of its manifests names what is ours."""
    if stage.other.runs:
        return
    stage.other.start()

    def end() -> None:
        stage.other.process.die()
        theirs: list[type[KubeObject]] = [Service, EndpointSlice, Endpoints]
        if "rack" in stage.ours(Service, owner=stage.other.owner):  # it was faster when that was deleted
            stage.excuse("rack")
        for kind in theirs:
            for name in stage.ours(kind, owner=stage.other.owner):
                stage.remove(kind, name)

    stage.begin("another installation runs", stage.script.uniform(5.0, 40.0), end)
