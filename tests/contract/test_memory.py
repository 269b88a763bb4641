"""The in-memory store keeps the contract. ``tests/api/test_store_contract.py`` holds the real one to the same."""

from __future__ import annotations

import pytest

from extsync.seams.virtual import run, virtual_time
from tests.contract import sequences
from tests.contract.cluster import MemoryCluster
from tests.contract.controllers import Collecting, Mirroring
from tests.contract.objects import Creating, Deleting, Reading, Updating
from tests.contract.selecting import Selecting
from tests.contract.services import Applying, Services
from tests.contract.validating import Validating
from tests.contract.watching import Watching


class InMemory:
    """Runs the tests that a class inherits in virtual time, each on a store of its own."""

    def __init_subclass__(cls) -> None:
        for name in dir(cls):
            if name.startswith("test_"):
                setattr(cls, name, virtual_time(getattr(cls, name)))

    @pytest.fixture
    def cluster(self) -> MemoryCluster:
        return MemoryCluster()


class TestReading(InMemory, Reading): ...


class TestCreating(InMemory, Creating): ...


class TestUpdating(InMemory, Updating): ...


class TestDeleting(InMemory, Deleting): ...


class TestValidating(InMemory, Validating): ...


class TestServices(InMemory, Services): ...


class TestApplying(InMemory, Applying): ...


class TestWatching(InMemory, Watching): ...


class TestSelecting(InMemory, Selecting): ...


class TestCollecting(InMemory, Collecting): ...


class TestMirroring(InMemory, Mirroring): ...


def test_a_sequence_of_operations_has_the_same_answers_each_time() -> None:
    steps = sequences.sequence(seed=1)
    first, second = (run(sequences.carry_out(steps, MemoryCluster(seed=seed))) for seed in (1, 2))
    assert first == second
