"""Which pods become backends, and how: as in Kubernetes's endpoint slice controller."""

from __future__ import annotations

import pytest

from extsync.model import Backend, Rejected, TargetRef
from extsync.objects import Pod, PodStatus
from extsync.sources.pods.backends import Roster, entry_of
from tests.sources.pods.cluster import NAMESPACE, pod


def only(found: Pod, zone: str | None = None) -> Backend:
    entry = entry_of(found, zone)
    assert entry.rejected == ()
    [backend] = entry.backends
    return backend


def test_a_pod_brings_its_node_zone_hostname_and_itself() -> None:
    backend = only(pod("db-0", "192.0.2.1", hostname="db-0", node="node-7"), "dc-1a")
    assert (backend.address, backend.port, backend.ports) == ("192.0.2.1", None, ())
    assert (backend.node_name, backend.zone, backend.hostname) == ("node-7", "dc-1a", "db-0")
    assert backend.target_ref == TargetRef(kind="Pod", namespace=NAMESPACE, name="db-0", uid="uid-db-0")
    assert (backend.ready, backend.drain) == (True, False)
    assert ("__meta_kubernetes_pod_name", "db-0") in backend.labels


def test_a_pod_without_a_hostname_has_none() -> None:
    backend = only(pod("web-5f7d", "192.0.2.1"))
    assert (backend.hostname, backend.zone) == (None, None)


@pytest.mark.parametrize("ready", [False, None])
def test_a_pod_that_is_not_ready_is_reported_as_such(ready: bool | None) -> None:
    assert only(pod("a", "192.0.2.1", ready=ready, phase="Pending")).ready is False


@pytest.mark.parametrize("ready", [True, False])
def test_a_pod_that_is_being_deleted_drains(ready: bool) -> None:
    backend = only(pod("a", "192.0.2.1", ready=ready, terminating=True))
    assert (backend.drain, backend.ready) == (True, ready)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_left_out(phase: str) -> None:
    # Its address is given to other pods; even one that is still being deleted does not count.
    assert entry_of(pod("a", "192.0.2.1", phase=phase, terminating=True), None).backends == ()


def test_a_pod_without_an_address_is_left_out() -> None:
    assert entry_of(pod("a", ready=False, phase="Pending"), None).backends == ()


def test_each_family_is_a_backend_of_its_own() -> None:
    one, other = entry_of(pod("a", "192.0.2.1", "2001:DB8:0::1"), "dc-1a").backends
    assert (one.address, other.address) == ("192.0.2.1", "2001:db8::1")
    assert one.target_ref == other.target_ref
    assert dict(other.labels)["__meta_kubernetes_pod_ip"] == "2001:db8::1"


def test_the_older_field_will_do_where_it_is_the_only_one() -> None:
    found = Pod(metadata=pod("a").metadata, status=PodStatus(phase="Running", pod_ip="192.0.2.1"))
    assert only(found).address == "192.0.2.1"


def test_an_address_that_cannot_be_used_is_set_aside_and_the_other_is_served() -> None:
    entry = entry_of(pod("a", "127.0.0.1", "2001:db8::1"), None)
    assert [backend.address for backend in entry.backends] == ["2001:db8::1"]
    [rejected] = entry.rejected
    assert rejected == Rejected("pod a", rejected.reason)
    assert "127.0.0.1 is a loopback address" in rejected.reason


def test_of_pods_with_one_address_the_one_that_serves_comes_first() -> None:
    pods = [
        pod("a", "192.0.2.1", terminating=True),
        pod("b", "192.0.2.1", ready=False),
        pod("c", "192.0.2.1"),
        pod("d", "192.0.2.2"),
    ]
    entries = Roster().entries(pods, {})
    names = [entry.backends[0].target_ref for entry in entries]
    assert [ref and ref.name for ref in names] == ["c", "d", "b", "a"]


def test_a_pod_that_did_not_change_is_not_looked_at_again() -> None:
    roster, same, changing = Roster(), pod("a", "192.0.2.1"), pod("b", "192.0.2.2")
    first = roster.entries([same, changing], {"node-1": "dc-1a"})
    second = roster.entries([same, pod("b", "192.0.2.3")], {"node-1": "dc-1a"})
    assert second[0] is first[0]
    assert second[1].backends[0].address == "192.0.2.3"


def test_a_node_that_gets_another_zone_changes_its_pods() -> None:
    roster, here, there = Roster(), pod("a", "192.0.2.1", node="node-1"), pod("b", "192.0.2.2", node="node-2")
    roster.entries([here, there], {"node-1": "dc-1a", "node-2": "dc-1b"})
    entries = roster.entries([here, there], {"node-1": "dc-1c", "node-2": "dc-1b"})
    assert [entry.backends[0].zone for entry in entries] == ["dc-1c", "dc-1b"]
