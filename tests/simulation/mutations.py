"""Deliberate bugs: each is put into the code under test, and the simulation has to catch it.

They are mistakes that programs of this kind have made. Where a change of the code or of the script makes a seed miss
its bug, ``python -m tests.simulation --hunt NAME`` looks for another one (a bug that shows in a race needs hundreds)
and prints the line for the table; only where it finds none has the simulation lost its sight of the bug.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.bugs import inputs, objects, processes, verdicts

MUTATIONS: tuple[tuple[Callable[[pytest.MonkeyPatch], None], int, int], ...] = (
    (inputs.an_error_empties_the_source, 3, 1),
    (inputs.an_empty_answer_is_believed_at_once, 32, 1),
    (inputs.a_start_waits_for_no_source, 0, 1),
    (inputs.a_silent_source_keeps_what_others_named, 3, 7),
    (verdicts.a_restart_forgets_what_was_published, 2, 2),
    (verdicts.what_is_new_starts_ready, 6, 2),
    (objects.what_takes_away_goes_first, 0, 7),
    (objects.endpoints_beside_slices_are_mirrored, 0, 3),
    (objects.a_slice_over_its_limit_is_not_split, 2, 3),
    (objects.slices_of_others_are_taken_over, 0, 5),
    (processes.writes_have_no_preconditions, 37, 6),
    (processes.the_fence_is_dropped, 11, 6),
    (processes.a_standby_writes, 2, 6),
    (processes.a_renewal_counts_for_too_long, 18, 6),
    (verdicts.verdicts_are_never_collected, 0, 7),
    (processes.deletions_by_others_pass_unseen, 2, 7),
    (processes.a_broken_watch_is_the_end, 0, 7),
    (verdicts.verdicts_are_collected_late, 0, 8),
    (objects.not_ready_addresses_are_left_out_of_endpoints, 0, 9),
    (verdicts.a_failing_link_of_its_own_is_taken_for_failing_backends, 7, 2),
    (verdicts.a_freeze_never_ends, 1, 7),
    (inputs.a_removal_does_not_wait, 3, 10),
    (inputs.what_cannot_be_read_is_removed, 8, 10),
    (verdicts.answers_are_quoted_in_full, 8, 11),
    (inputs.the_guard_looks_at_one_step_at_a_time, 2, 1),
    (inputs.the_guard_forgets_at_a_restart, 2, 1),
    (inputs.denied_addresses_are_published, 1, 3),
    (inputs.the_url_of_a_source_is_shown_in_full, 6, 11),
    (verdicts.a_skipped_probe_counts_as_a_failure, 3, 2),
    (objects.what_is_somebodys_is_adopted, 0, 5),
    (objects.owner_ids_are_not_told_apart, 3, 5),
    (processes.a_lease_is_released_before_writes_have_ended, 11, 6),
    (processes.nothing_bounds_what_is_tried_again, 5, 8),
    (processes.older_data_of_the_server_pass_unseen, 0, 7),
)
"""Each bug with a seed that brings it out and the number of the invariant that it violates."""
