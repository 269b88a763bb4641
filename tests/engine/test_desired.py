"""Which manifests are in force, from load to load."""

from __future__ import annotations

from pathlib import Path

import msgspec

from extsync.config.loader import Loaded, LoadResult
from extsync.engine.desired import Desired
from extsync.model import ServiceKey
from tests.engine.support import A, B, key, loaded, manifest, rack

ORDERS, CARTS = manifest("orders", rack(A)), manifest("carts", rack(B))
BROKEN = "apiVersion: extsync.dev/v1alpha1\nkind: ExternalService\nspecification: {}\n"


def names(manifests: tuple[Loaded, ...]) -> list[str]:
    return [one.manifest.metadata.name for one in manifests]


def desired(*, removal_delay: float = 60.0) -> Desired:
    desired = Desired(removal_delay=removal_delay)
    desired.take(loaded(ORDERS, CARTS), 0.0)
    return desired


def test_the_first_load_takes_up_every_manifest() -> None:
    step = Desired(removal_delay=60).take(loaded(ORDERS, CARTS), 0.0)
    assert names(step.changed) == ["orders", "carts"]
    assert step.removed == ()
    assert step.look_again is None


def test_an_unchanged_manifest_is_no_change() -> None:
    assert desired().take(loaded(ORDERS, CARTS), 1.0).changed == ()


def test_a_manifest_that_only_moved_within_its_file_is_no_change() -> None:
    assert desired().take(loaded("# a comment\n", CARTS, ORDERS), 1.0).changed == ()


def test_a_changed_manifest_is_the_only_change() -> None:
    step = desired().take(loaded(ORDERS, manifest("carts", rack(A, B))), 1.0)
    assert names(step.changed) == ["carts"]


def test_another_folder_is_a_change_because_relative_paths_start_from_it() -> None:
    result = loaded(ORDERS, CARTS)
    moved = msgspec.structs.replace(result.manifests[0], base_dir=Path("/elsewhere"))
    step = desired().take(LoadResult((moved, result.manifests[1])), 1.0)
    assert names(step.changed) == ["orders"]


def test_a_missing_manifest_is_removed_at_the_second_look_after_the_delay() -> None:
    manifests = desired()
    first = manifests.take(loaded(CARTS), 10.0)
    assert (first.removed, first.look_again) == ((), 60.0)
    second = manifests.take(loaded(CARTS), 69.0)
    assert (second.removed, second.look_again) == ((), 1.0)
    third = manifests.take(loaded(CARTS), 70.0)
    assert (third.removed, third.look_again) == ((key("orders"),), None)
    assert len(manifests) == 1


def test_a_manifest_is_not_removed_at_the_first_look_however_late_that_is() -> None:
    assert desired().take(loaded(CARTS), 1000.0).removed == ()


def test_a_removed_manifest_that_comes_back_is_taken_up_again() -> None:
    manifests = desired(removal_delay=0)
    assert manifests.take(loaded(CARTS), 1.0).removed == (key("orders"),)
    assert names(manifests.take(loaded(ORDERS, CARTS), 2.0).changed) == ["orders"]


def test_a_manifest_that_comes_back_in_time_starts_the_wait_anew_when_it_leaves_again() -> None:
    manifests = desired()
    manifests.take(loaded(CARTS), 0.0)
    assert manifests.take(loaded(ORDERS, CARTS), 50.0).changed == ()
    assert manifests.take(loaded(CARTS), 59.0).look_again == 60.0
    assert manifests.take(loaded(CARTS), 118.0).removed == ()


def test_an_error_anywhere_removes_nothing_and_starts_the_wait_anew() -> None:
    manifests = desired()
    manifests.take(loaded(CARTS), 0.0)
    with_error = manifests.take(loaded(CARTS, BROKEN), 61.0)
    assert (with_error.removed, with_error.look_again) == ((), None)
    assert manifests.take(loaded(CARTS), 62.0).removed == ()
    assert manifests.take(loaded(CARTS), 122.0).removed == (key("orders"),)


def test_a_load_with_an_error_still_changes_what_is_sound() -> None:
    step = desired().take(loaded(BROKEN, manifest("carts", rack(A, B))), 1.0)
    assert names(step.changed) == ["carts"]


def test_of_two_manifests_for_one_service_the_one_that_was_there_first_goes_on() -> None:
    manifests = Desired(removal_delay=60)
    mine = _from("z.yaml", loaded(ORDERS))
    manifests.take(mine, 0.0)
    other = _from("a.yaml", loaded(manifest("orders", rack(B))))
    both = LoadResult(other.manifests, duplicates=mine.manifests, problems=loaded(BROKEN).problems)
    assert manifests.take(both, 1.0).changed == ()


def test_of_two_manifests_for_one_service_found_at_once_the_first_in_order_counts() -> None:
    result = loaded(ORDERS, manifest("orders", rack(B)))
    step = Desired(removal_delay=60).take(result, 0.0)
    assert [one.line for one in step.changed] == [1]
    assert not result.ok


def test_when_the_first_of_two_leaves_the_other_takes_over() -> None:
    manifests = Desired(removal_delay=60)
    manifests.take(_from("z.yaml", loaded(ORDERS)), 0.0)
    step = manifests.take(_from("a.yaml", loaded(manifest("orders", rack(B)))), 1.0)
    assert names(step.changed) == ["orders"]


def test_manifests_of_one_name_in_two_namespaces_are_two() -> None:
    elsewhere = manifest("orders", rack(A))
    elsewhere["metadata"]["namespace"] = "other"
    manifests = Desired(removal_delay=0)
    manifests.take(loaded(ORDERS, elsewhere), 0.0)
    assert manifests.take(loaded(ORDERS), 1.0).removed == (ServiceKey("other", "orders"),)


def _from(file: str, result: LoadResult) -> LoadResult:
    moved = tuple(msgspec.structs.replace(one, file=file) for one in result.manifests)
    return LoadResult(moved)


def test_of_two_manifests_in_one_file_the_first_goes_on_at_every_load() -> None:
    both = loaded(manifest("orders", rack(A)), manifest("orders", rack(B)))
    assert both.duplicates
    desired = Desired(removal_delay=60.0)
    first = desired.take(both, 0.0).changed
    assert [one.line for one in first] == [both.manifests[0].line]
    assert desired.take(both, 10.0).changed == ()
