"""The evidence of the guard: what survives a restart, where it is, and what a clock that was set makes of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from extsync.changes import Change, Create, Delete, Update
from extsync.model import Identity, PortValue
from extsync.objects import OWNER_LABEL, Endpoints, EndpointSlice, ObjectMeta
from extsync.plan.changes import Changes
from extsync.plan.evidence import (
    EVIDENCE_ANNOTATION,
    MARGIN,
    MOST_BATCHES,
    MOST_DIGESTS,
    MOST_STEPS,
    Batch,
    Evidence,
    batches,
    digest,
    newest,
    parse,
    steps,
    with_evidence,
)

CONFIRM = 600.0
ONE, OTHER = (Identity(f"192.0.2.{number}", (PortValue("http", 80),)) for number in (1, 2))
WITHHELD = Evidence(number=1, at=1000.0, since=1000.0, hash="x", counting=True, withheld=batches([(ONE, 0.0)]))


def slice_(name: str, evidence: Evidence | None = None) -> EndpointSlice:
    made = EndpointSlice(metadata=ObjectMeta(name=name, labels={OWNER_LABEL: "default"}), address_type="IPv4")
    changes = with_evidence(Changes((Create(made),)), (), evidence or Evidence(), by_itself=False)
    (change,) = changes.creates
    assert isinstance(change.obj, EndpointSlice)
    return change.obj


def borne(changes: Changes) -> dict[str, Evidence | None]:
    """The evidence on each object that is written."""
    written = [change.obj for change in changes if isinstance(change, Create | Update)]
    texts = {obj.metadata.name: obj.annotations.get(EVIDENCE_ANNOTATION) for obj in written}
    return {name: parse(text) if text else None for name, text in texts.items()}


# ---- the clock -------------------------------------------------------------------------------------------------------


def test_the_time_since_it_was_written_counts_but_never_all_that_is_needed() -> None:
    assert WITHHELD.credits(1100.0, CONFIRM) == {digest(ONE): 100.0}
    assert WITHHELD.credits(1590.0, CONFIRM) == {digest(ONE): CONFIRM - MARGIN}


@pytest.mark.parametrize("wall", [999.0, 0.0, 1000.0 + 2 * CONFIRM + 1.0, 1e10])
def test_a_clock_that_was_set_counts_for_nothing(wall: float) -> None:
    banked = replace(WITHHELD, withheld=batches([(ONE, 50.0)]))
    assert banked.credits(wall, CONFIRM) == {digest(ONE): 50.0}


def test_time_in_which_the_source_could_not_be_believed_counts_for_nothing() -> None:
    assert replace(WITHHELD, counting=False).credits(1100.0, CONFIRM) == {digest(ONE): 0.0}


def test_it_is_off_once_it_says_much_more_or_much_less_than_is_so() -> None:
    assert not WITHHELD.is_off(100.0, 100.0, 1100.0, CONFIRM)
    assert not WITHHELD.is_off(0.0, 0.0, 1100.0, CONFIRM)
    assert WITHHELD.is_off(0.0, 0.0, 1130.0, CONFIRM)
    assert WITHHELD.is_off(300.0, 300.0, 1000.0, CONFIRM)


# ---- its size --------------------------------------------------------------------------------------------------------


def test_what_is_withheld_is_told_apart_by_how_long_that_counts() -> None:
    made = batches([(ONE, 10.0), (OTHER, 70.0)])
    assert made == (Batch(70.0, digest(OTHER)), Batch(10.0, digest(ONE)))


def test_of_too_many_batches_the_fewest_seconds_count_for_the_last() -> None:
    made = batches((Identity(f"192.0.2.{n}", ()), float(n)) for n in range(1, 21))
    assert len(made) == MOST_BATCHES
    assert made[-1].seconds == 1.0
    assert sum(len(batch.digests) for batch in made) == 20 * 4


def test_a_removal_that_is_too_large_to_be_told_is_told_as_one() -> None:
    made = batches((Identity(f"10.0.{n >> 8}.{n & 255}", ()), 5.0) for n in range(MOST_DIGESTS + 1))
    assert made == (Batch(0.0, ""),)


def test_of_too_many_steps_the_oldest_count_as_one() -> None:
    made = steps([(float(n), 1) for n in range(20)])
    assert [number for _, number in made] == [13] + [1] * (MOST_STEPS - 1)
    assert made[0][0] == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"number": "x"}',
        '{"number": 1' + "0" * 4000 + "}",
        '{"left": {"a": [[1]]}}',
        "\udcff",
        '{"since": 1e300}',
        '{"since": -1}',
        pytest.param('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}", id="nested without an end"),
    ],
)
def test_what_somebody_made_of_it_is_no_evidence(text: str) -> None:
    assert parse(text) is None


def test_no_less_than_no_time_counts() -> None:
    assert Evidence(withheld=(Batch(-1e308, "AAAA"),)).seconds(0.0, 600.0) == [0.0]


def test_the_highest_number_counts() -> None:
    old, new = slice_("a", WITHHELD), slice_("b", replace(WITHHELD, number=2, hash="y"))
    assert newest([new, old]).hash == "y"
    assert newest([slice_("c")]) == Evidence()


# ---- where it is -----------------------------------------------------------------------------------------------------


def test_it_is_on_one_of_the_objects_that_are_written_and_taken_off_the_others() -> None:
    objects = [slice_("a"), slice_("b", WITHHELD)]
    changes = Changes(tuple(Update(obj) for obj in objects))
    later = replace(WITHHELD, number=2)
    assert borne(with_evidence(changes, objects, later, by_itself=False)) == {"a": later, "b": None}


def test_it_causes_no_write_unless_that_is_asked_for() -> None:
    objects = [slice_("a"), slice_("b")]
    assert with_evidence(Changes(), objects, WITHHELD, by_itself=False).is_empty
    assert borne(with_evidence(Changes(), objects, WITHHELD, by_itself=True)) == {"b": WITHHELD}
    assert with_evidence(Changes(), [], WITHHELD, by_itself=True).is_empty
    nobodys = Endpoints(metadata=ObjectMeta(name="orders"))
    assert with_evidence(Changes(), [nobodys], WITHHELD, by_itself=True).is_empty


def test_an_object_that_bears_it_and_goes_takes_nothing_with_it() -> None:
    stays, goes = slice_("a"), slice_("b", WITHHELD)
    delete: Change = Delete.of(goes, "")
    later = replace(WITHHELD, number=2)
    assert borne(with_evidence(Changes((delete,)), [stays, goes], later, by_itself=False)) == {"a": later}


def test_where_whole_objects_go_what_left_with_them_is_known_by_one_that_stays() -> None:
    stays, goes = slice_("a"), slice_("b")
    left = Evidence(number=1, left={"feed": ((0.0, 90),)})
    delete: Change = Delete.of(goes, "")
    assert borne(with_evidence(Changes((delete,)), [stays, goes], left, by_itself=False)) == {"a": left}


def test_what_is_evidence_of_nothing_is_written_only_where_something_older_would_count() -> None:
    written, other, nothing = slice_("a"), slice_("b", WITHHELD), Evidence(number=2)

    def after(obj: EndpointSlice, *objects: EndpointSlice) -> dict[str, Evidence | None]:
        return borne(with_evidence(Changes((Update(obj),)), objects, nothing, by_itself=False))

    assert after(written, written) == {"a": None}
    assert after(written, written, other) == {"a": nothing}
    assert after(other, written, other) == {"b": None}


def test_endpoints_bear_it_where_there_are_no_slices() -> None:
    endpoints = Endpoints(metadata=ObjectMeta(name="orders"))
    assert borne(with_evidence(Changes((Update(endpoints),)), [endpoints], WITHHELD, by_itself=False)) == {
        "orders": WITHHELD
    }
