"""Import over random hand-written objects: whatever they publish, the manifest publishes, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.plan.imports.byhand import Served, imported, published_by
from tests.plan.imports.sets import SERVICE, SETS, as_endpoints, as_slices, plain, repacked


@given(SETS)
def test_endpoints(sets: list[Served]) -> None:
    result = imported(SERVICE, as_endpoints(sets))
    assert published_by(result, SERVICE) == set(map(plain, sets))
    assert result.notes == ()


@given(SETS)
def test_endpoints_with_an_address_in_a_subset_for_each_of_its_ports(sets: list[Served]) -> None:
    sets = list({one.address: one for one in sets}.values())
    result = imported(SERVICE, repacked(sets))
    assert published_by(result, SERVICE) == set(map(plain, sets))
    assert result.notes == ()


@given(SETS.filter(bool), st.data())
def test_slices(sets: list[Served], data: st.DataObject) -> None:
    result = imported(SERVICE, *as_slices(sets, data))
    assert published_by(result, SERVICE) == set(sets)
    assert not result.changes


@given(SETS.filter(bool), st.data())
def test_both(sets: list[Served], data: st.DataObject) -> None:
    """Where slices and Endpoints say the same, the slices say more."""
    result = imported(SERVICE, *as_slices(sets, data), as_endpoints(sets))
    assert published_by(result, SERVICE) == set(sets)
    assert not result.changes


@given(SETS.filter(bool), SETS.filter(bool), st.data())
def test_objects_that_contradict_each_other_give_a_sound_manifest_and_word_of_it(
    one: list[Served], other: list[Served], data: st.DataObject
) -> None:
    result = imported(SERVICE, *as_slices(one, data), as_endpoints(other))
    published = published_by(result, SERVICE)
    wanted = {(served.address, served.ports) for served in (*one, *other)}
    assert {(served.address, served.ports) for served in published} == wanted
    if not result.changes:
        # What is in slices is in Endpoints as well, and either says what the other leaves open.
        shown = {(served.address, served.ports): served for served in map(plain, other)}
        for before in map(plain, one):
            after = shown[before.address, before.ports]
            assert before.state is after.state
            assert None in (before.hostname, after.hostname) or before.hostname == after.hostname
