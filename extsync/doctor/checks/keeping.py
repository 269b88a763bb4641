"""Whether somebody keeps the objects of extsync: by the Lease that they name, and by what a running extsync says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.checks.delay import timestamp
from extsync.doctor.checks.view import service_of, slices_of
from extsync.doctor.facts import ClusterFacts, Kept, Running, ServiceFacts, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, kubectl
from extsync.objects import MANAGED_BY, MANAGED_BY_LABEL

THEME: Final = "extsync"


def check(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about who keeps the slices of extsync, and what it says of the service."""
    if service_of(facts) is None:
        return
    ours = [one for one in slices_of(facts) if one.labels.get(MANAGED_BY_LABEL) == MANAGED_BY]
    if ours:
        yield from _keeper(facts, cluster)
    if isinstance(facts.kept, Kept):
        yield from _kept(facts, facts.kept)
    elif facts.kept is None and isinstance(cluster.running, Running) and ours:
        yield _say(facts).warning(
            "NotKept",
            f"the extsync at {cluster.running.place} does not keep the Service, and there are slices of extsync",
            evidence=(one.metadata.name for one in ours),
            cure="is its manifest among those that it reads? Else extsync apply --prune --owner removes the slices",
        )


def _keeper(facts: ServiceFacts, cluster: ClusterFacts) -> Iterator[Finding]:
    """A Lease that is renewed is held, whatever clocks say; one that is not may be so only for a while."""
    keeper = facts.keeper
    if isinstance(keeper, Unread):
        yield _say(facts).info("LeaseUnread", f"whether somebody keeps the slices is not known: {keeper.why}")
        return
    if keeper is None:
        if not isinstance(facts.kept, Kept):
            yield _say(facts).info(
                "KeeperUnknown",
                "whether somebody keeps the slices is not known: an extsync without leader election leaves no mark",
                cure="ask a running one with --server; where extsync apply wrote them nobody does until the next apply",
            )
        return
    namespace, _, name = keeper.place.partition("/")
    say = _say(facts, kubectl("get", "lease", name, "-o", "yaml", namespace=namespace))
    if keeper.renewed:
        yield say.ok("LeaseHeld", f"a running extsync keeps the slices: Lease {keeper.place} is being renewed")
        return
    spec = None if keeper.lease is None else keeper.lease.spec
    renewed = None if spec is None else timestamp(spec.renew_time)
    age = "never" if renewed is None else f"{max(0.0, cluster.now - renewed):.0f} s ago"
    holder = (spec and spec.holder_identity) or ""
    evidence = [f"written by {keeper.wrote}", f"last renewed {age}"]
    evidence.append(f"holder {holder}" if holder else "no holder" if spec else "there is no such Lease")
    lasts = float((spec and spec.lease_duration_seconds) or 0)
    if holder and renewed is not None and cluster.now - renewed < lasts:
        yield say.info("LeaseRunning", f"Lease {keeper.place} was not renewed just now, and has not run out yet")
        return
    yield say.warning(
        "NobodyKeeps",
        f"nobody keeps the slices: Lease {keeper.place} is not being renewed, so they show what was, not what is",
        evidence=evidence,
        cure="start extsync again: kubectl -n extsync get pods; what is published stays until it has looked for itself",
    )


def _kept(facts: ServiceFacts, kept: Kept) -> Iterator[Finding]:
    say = _say(facts)
    if kept.stale_sources:
        yield say.warning(
            "SourceStale",
            "sources fail: what is published is what they said last",
            evidence=kept.stale_sources,
            cure="repair the source; its credentials and address are in the manifest",
        )
    if kept.suppressed:
        yield say.warning(
            "RemovalWithheld",
            "the guard withholds a removal",
            evidence=(kept.suppressed,),
            cure=f"repair the source; or, if it is meant, see docs/operations.md: extsync explain {facts.key}",
        )
    if kept.isolated:
        yield say.warning(
            "ProberIsolated",
            "extsync takes itself to be cut off: failing checks are not believed",
            cure="repair the network of extsync's node; it goes on by itself",
        )
    if kept.set_aside:
        yield say.warning(
            "SetAside",
            "sources name backends that extsync does not publish",
            evidence=kept.set_aside,
            cure="correct them where they come from, or allow the address in the settings",
        )
    if kept.notices:
        yield say.info("Notices", "what extsync itself says of the service", evidence=kept.notices)
    yield say.ok("Kept", f"extsync keeps it: {kept.ready} ready, {kept.not_ready} not ready, {kept.draining} draining")


def check_running(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about the running extsync that was asked."""
    running = cluster.running
    if running is None:
        return
    if isinstance(running, Unread):
        yield Findings(THEME, CLUSTER, kubectl("port-forward", "deployment/extsync", "9440", namespace="extsync")).info(
            "NotAsked",
            f"no running extsync was asked: {running.why}",
            cure="--server names it; --server none asks nobody",
        )
        return
    say = Findings(THEME, CLUSTER, f"extsync status --server {running.place}")
    if running.owner != cluster.owner:
        yield say.warning(
            "RunningOtherOwner",
            f"the extsync at {running.place} has owner id {running.owner}, and doctor looks for {cluster.owner}",
            cure=f"--owner {running.owner}",
        )
    if not running.synced:
        yield say.warning(
            "NotSynced", "the running extsync has not read the cluster and the manifests yet", cure="see its log"
        )
    if running.isolated:
        yield say.warning(
            "ProberIsolated",
            f"the running extsync believes no failure: {running.isolated}",
            cure="repair the network of its node",
        )
    if running.holders and not running.leads and not any(running.holders):
        yield say.warning("NobodyLeads", "no replica of extsync holds the Lease: nothing is written", cure="wait 15 s")
    leads = "leads" if running.leads else f"stands by {', '.join(running.holders)}" if running.holders else "writes"
    yield say.ok("Running", f"extsync {running.version} at {running.place} {leads}")


def _say(facts: ServiceFacts, command: str = "") -> Findings:
    return Findings(THEME, str(facts.key), command or f"extsync explain {facts.key}")
