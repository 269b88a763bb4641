"""The steps of packing."""

from __future__ import annotations

import msgspec
import pytest

from extsync.changes import Create, Update
from extsync.model import State
from extsync.plan.plan import plan
from extsync.plan.policy import PackPolicy
from tests.plan.cluster import KEY, Cluster, addresses, endpoint, many, service
from tests.plan.making import OTHER_PORT, made, make, small


def test_full_slices_are_made_from_nothing() -> None:
    assert made(many(250)).sizes() == [100, 100, 50]


def test_the_same_endpoints_in_another_order_change_nothing() -> None:
    cluster = made(many(30), small(7))
    assert plan(KEY, cluster.current, tuple(reversed(many(30))), small(7)).changes.is_empty


def test_a_changed_endpoint_stays_in_its_place() -> None:
    cluster = made(many(5))
    changed = endpoint("10.0.0.3", State.NOT_READY)
    planned = make(cluster, (*many(2), changed, *many(2, first=4)))
    (update,) = planned.changes
    assert isinstance(update, Update)
    assert (update.reason, update.adds, update.takes_away) == ("1 endpoint changed", False, False)
    assert [e.addresses[0] for e in cluster.only_slice.endpoints or ()] == addresses(5)


def test_one_flip_of_many_writes_one_slice() -> None:
    cluster = made(many(250))
    flipped = tuple(
        msgspec.structs.replace(one, state=State.NOT_READY) if one.address == "10.0.0.77" else one for one in many(250)
    )
    assert [type(change) for change in make(cluster, flipped).changes] == [Update]


def test_leftovers_fill_slices_that_are_updated_anyway_the_fullest_first() -> None:
    cluster = made(many(6), small(3))
    # One endpoint leaves each slice, and the first loses a second one.
    stay = [one for one in many(6) if one.address in ("10.0.0.3", "10.0.0.5", "10.0.0.6")]
    planned = make(cluster, (*stay, *many(1, first=20)), small(3))
    assert len(planned.changes.updates) == len(planned.changes) == 2
    assert cluster.sizes() == [3, 1]


def test_leftovers_fill_the_untouched_slice_that_comes_closest_to_full() -> None:
    cluster = Cluster()
    make(cluster, many(3), small(3))
    make(cluster, (*many(3), *many(1, first=9)), small(3))
    make(cluster, (*many(3), *many(1, first=9)), small(4))
    planned = make(cluster, (*many(3), *many(1, first=9), *many(1, first=20)), small(4))
    assert len(planned.changes) == 1
    assert cluster.sizes() == [4, 1]


def test_leftovers_that_fit_into_no_slice_get_a_new_one() -> None:
    cluster = made(many(2), small(3))
    planned = make(cluster, many(4), small(3))
    (create,) = planned.changes
    assert isinstance(create, Create)
    assert cluster.sizes() == [2, 2]


def test_slices_are_never_rebalanced() -> None:
    cluster = made(many(4), small(2))
    assert make(cluster, (many(4)[0], many(4)[2]), small(2)).changes.summary == "2 to update"
    assert cluster.sizes() == [1, 1]


def test_a_slice_left_empty_is_deleted() -> None:
    cluster = made(many(4), small(2))
    planned = make(cluster, many(2), small(2))
    assert planned.changes.summary == "1 to delete"
    (delete,) = planned.changes.deletes
    assert delete.uid
    assert delete.resource_version


def test_a_create_and_a_delete_become_an_update_that_keeps_the_name() -> None:
    cluster = made(many(2))
    (name,) = cluster.slices
    planned = make(cluster, tuple(endpoint(address, ports=OTHER_PORT) for address in addresses(2)))
    assert planned.changes.summary == "1 to update"
    assert list(cluster.slices) == [name]
    assert (cluster.only_slice.ports or ())[0].port == 3307


def test_an_address_type_is_never_changed_in_place() -> None:
    cluster = made(many(1), ip_families=("IPv4",))
    cluster.service = service(ip_families=("IPv6",))
    planned = make(cluster, (endpoint("2001:db8::1"),))
    assert planned.changes.summary == "1 to create, 1 to delete"


def test_when_ports_change_each_slice_keeps_its_addresses() -> None:
    cluster = made(many(3), small(2))
    make(cluster, (*many(3), *many(3, first=7)), small(2))
    before = {name: [e.addresses[0] for e in s.endpoints or ()] for name, s in cluster.slices.items()}
    everything = [a for shown in before.values() for a in shown]
    make(cluster, tuple(endpoint(address, ports=OTHER_PORT) for address in sorted(everything)), small(2))
    after = {name: [e.addresses[0] for e in s.endpoints or ()] for name, s in cluster.slices.items()}
    assert after == before


def test_an_oversize_slice_is_split_when_the_limit_is_lowered() -> None:
    cluster = made(many(5), small(5))
    planned = make(cluster, many(5), small(2))
    assert cluster.sizes() == [2, 2, 1]
    assert planned.changes.summary == "2 to create, 1 to update"
    assert planned.changes.updates[0].takes_away, "it must not be made before the creates"


def test_updates_that_add_go_before_updates_that_take_away() -> None:
    cluster = made((endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3", group="b")))
    planned = make(cluster, (endpoint("10.0.0.1"), endpoint("10.0.0.2", group="b"), endpoint("10.0.0.3", group="b")))
    first, second = planned.changes.updates
    assert (first.adds, first.takes_away) == (True, False)
    assert (second.adds, second.takes_away) == (False, True)


def test_a_removed_endpoint_that_is_desired_nowhere_waits_for_nothing() -> None:
    cluster = made(many(2))
    (update,) = make(cluster, many(1)).changes.updates
    assert not update.takes_away


def test_with_nothing_desired_one_empty_slice_a_family_is_kept() -> None:
    cluster = made((), ip_families=("IPv6", "IPv4"))
    assert sorted(s.address_type for s in cluster.ours) == ["IPv4", "IPv6"]
    assert all(s.endpoints is None and s.ports is None for s in cluster.ours)


def test_the_last_slice_becomes_the_placeholder_and_the_placeholder_the_first_slice() -> None:
    cluster = made(many(4), small(2))
    planned = make(cluster, (), small(2))
    assert planned.changes.summary == "1 to update, 1 to delete"
    (name,) = cluster.slices
    assert make(cluster, many(1), small(2)).changes.summary == "1 to update"
    assert list(cluster.slices) == [name]


def test_a_family_without_endpoints_keeps_a_placeholder_beside_the_other() -> None:
    cluster = made(many(1), ip_families=("IPv4", "IPv6"))
    assert sorted((s.address_type, len(s.endpoints or ())) for s in cluster.ours) == [("IPv4", 1), ("IPv6", 0)]


def test_no_placeholder_is_made_while_sources_have_yet_to_report() -> None:
    cluster = made(many(1), small(2))
    cluster.slices.clear()
    for policy in (small(2), PackPolicy(endpoints=True)):
        assert plan(KEY, cluster.current, (), policy, settled=False).changes.is_empty
        assert plan(KEY, cluster.current, (), policy).changes.creates


def test_while_sources_have_yet_to_report_the_last_slice_becomes_the_placeholder_all_the_same() -> None:
    cluster = made(many(1), small(2))
    assert plan(KEY, cluster.current, (), small(2), settled=False).changes.summary == "1 to update"


def test_nothing_is_created_for_a_service_that_is_being_deleted() -> None:
    cluster = made(many(2), small(2))
    assert cluster.service is not None
    metadata = msgspec.structs.replace(cluster.service.metadata, deletion_timestamp="2027-01-01T00:00:00Z")
    cluster.service = msgspec.structs.replace(cluster.service, metadata=metadata)
    planned = plan(KEY, cluster.current, (*many(1), *many(3, first=9)), small(2))
    assert planned.changes.summary == "1 to update"


def test_headless_endpoints_without_ports_are_packed() -> None:
    cluster = made((endpoint("10.0.0.1", ports=()),), cluster_ip="None")
    assert cluster.only_slice.ports is None
    assert cluster.sizes() == [1]
    make(cluster, ())
    assert cluster.sizes() == [0]


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_a_limit_that_the_api_cannot_keep_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        PackPolicy(max_endpoints_per_slice=limit)


def test_a_policy_that_publishes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be published"):
        PackPolicy(slices=False, endpoints=False)
