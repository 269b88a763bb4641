from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Endpoint, PortValue, State
from extsync.objects import SliceEndpoint
from extsync.plan.buckets import BucketKey, Buckets
from extsync.plan.render import Rendering
from tests.plan.cluster import MYSQL, addresses, endpoint, many

OTHER = (PortValue("mysql", 3307),)
SMALL = st.builds(
    endpoint,
    st.sampled_from([*addresses(4), "2001:db8::1"]),
    st.sampled_from(State),
    ports=st.sampled_from([MYSQL, OTHER]),
    group=st.sampled_from(["", "canary"]),
)


def contents(buckets: Buckets) -> dict[BucketKey, dict[str, SliceEndpoint]]:
    return {key: bucket.members for key, bucket in buckets.by_key.items()}


def filled(endpoints: tuple[Endpoint, ...], rendering: Rendering) -> Buckets:
    buckets = Buckets()
    buckets.update(endpoints, rendering)
    return buckets


@given(
    st.lists(st.dictionaries(st.integers(0, 29), SMALL, max_size=4), max_size=6),
    st.lists(st.builds(Rendering, publish_not_ready=st.booleans()), min_size=7, max_size=7),
)
def test_a_few_changes_lead_to_the_same_buckets_as_making_them_anew(
    edits: list[dict[int, Endpoint]], renderings: list[Rendering]
) -> None:
    endpoints = many(30, first=100)
    buckets = filled(endpoints, renderings[0])
    for changes, rendering in zip(edits, renderings[1:], strict=False):
        endpoints = tuple(changes.get(place, one) for place, one in enumerate(endpoints))
        buckets.update(endpoints, rendering)
        assert contents(buckets) == contents(filled(endpoints, rendering))


def test_a_bucket_that_becomes_empty_is_gone() -> None:
    endpoints = many(10)
    buckets = filled((endpoint(endpoints[0].address, group="canary"), *endpoints[1:]), Rendering())
    buckets.update(endpoints, Rendering())
    assert [key.group for key in buckets.by_key] == [""]


def test_a_bucket_tells_what_changed_since_a_revision() -> None:
    endpoints = many(10)
    buckets = filled(endpoints, Rendering())
    (bucket,) = buckets.by_key.values()
    before = bucket.revision
    buckets.update((endpoint(endpoints[0].address, State.DRAINING), *endpoints[1:]), Rendering())
    assert set(bucket.changed_since(before) or ()) == {endpoints[0].address}
    assert bucket.changed_since(bucket.revision) == []


def test_a_bucket_forgets_what_changed_long_ago_and_says_so() -> None:
    one, *rest = many(10)
    buckets = filled((one, *rest), Rendering())
    (bucket,) = buckets.by_key.values()
    before = bucket.revision
    for number in range(1000):
        state = State.READY if number % 2 else State.NOT_READY
        buckets.update((endpoint(one.address, state), *rest), Rendering())
    assert bucket.changed_since(before) is None
    assert len(bucket.changed_since(bucket.revision - 10) or ()) == 10


def test_of_two_endpoints_with_one_address_in_one_bucket_the_first_counts() -> None:
    first, second = endpoint("10.0.0.1", hostname="a"), endpoint("10.0.0.1", hostname="b")
    (members,) = contents(filled((first, second), Rendering())).values()
    assert members["10.0.0.1"].hostname == "a"
