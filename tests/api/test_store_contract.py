"""A real API server does what the contract says, so that the in-memory store, which is held to it, is true.

What no test of the contract thinks of is found by random sequences of operations: both stores answer them alike.
"""

from __future__ import annotations

import asyncio

import pytest

from extsync.seams.virtual import run
from tests.cluster.control_plane import ControlPlane
from tests.contract import sequences
from tests.contract.cluster import MemoryCluster, RealCluster
from tests.contract.controllers import Collecting, Mirroring
from tests.contract.objects import Creating, Deleting, Reading, Updating
from tests.contract.selecting import Selecting
from tests.contract.services import Applying, Services
from tests.contract.validating import Validating
from tests.contract.watching import Watching

# Controllers have their own pace: after a restart of the API server the garbage collector may need a minute.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> RealCluster:
    return RealCluster(control_plane, namespace)


class TestReading(Reading): ...


class TestCreating(Creating): ...


class TestUpdating(Updating): ...


class TestDeleting(Deleting): ...


class TestValidating(Validating): ...


class TestServices(Services): ...


class TestApplying(Applying): ...


class TestWatching(Watching): ...


class TestSelecting(Selecting): ...


class TestCollecting(Collecting): ...


class TestMirroring(Mirroring): ...


@pytest.mark.parametrize("seed", range(30))
def test_both_stores_answer_a_random_sequence_of_operations_alike(cluster: RealCluster, seed: int) -> None:
    steps = sequences.sequence(seed)
    real = asyncio.run(sequences.carry_out(steps, cluster))
    memory = run(sequences.carry_out(steps, MemoryCluster(namespace=cluster.namespace)))
    for theirs, ours in zip(real, memory, strict=True):
        assert ours == theirs
