"""Self-doubt: too much that fails at once is the prober's own failure."""

from __future__ import annotations

import pytest

from extsync.model import Health, ServiceKey, Verdict
from extsync.plan.doubt import DoubtPolicy, Look, SelfDoubt

DOWN = Verdict(Health.UNHEALTHY, 1.0, "tcpSocket: timed out")
ROUND = 12.0
POLICY = DoubtPolicy()


class World:
    """Services of some endpoints each; every endpoint has an address of its own unless one is named."""

    def __init__(self, *sizes: int, policy: DoubtPolicy = POLICY) -> None:
        self.doubt = SelfDoubt(policy)
        self.keys = [ServiceKey("test", f"s{number}") for number in range(len(sizes))]
        self.sizes = dict(zip(self.keys, sizes, strict=True))
        for key, size in self.sizes.items():
            self.doubt.resize(key, size, ROUND)

    def fail(self, service: int, *endpoints: int, at: float, host: str = "", was_healthy: bool = True) -> Look:
        return self._sign(service, endpoints, at, host, failing=True, was_healthy=was_healthy)

    def pass_(self, service: int, *endpoints: int, at: float) -> Look:
        return self._sign(service, endpoints, at, "", failing=False, was_healthy=True)

    def fail_all(self, *services: int, at: float) -> Look:
        for service in services[:-1]:
            self.fail(service, *range(self.sizes[self.keys[service]]), at=at)
        return self.fail(services[-1], *range(self.sizes[self.keys[services[-1]]]), at=at)

    def pass_all(self, *services: int, at: float) -> Look:
        for service in services[:-1]:
            self.pass_(service, *range(self.sizes[self.keys[service]]), at=at)
        return self.pass_(services[-1], *range(self.sizes[self.keys[services[-1]]]), at=at)

    def believed(self, service: int, endpoint: int) -> Verdict:
        return self.doubt.believe(f"s{service}/{endpoint}", DOWN)

    def is_frozen(self) -> bool:
        return self.doubt.freeze is not None

    def _sign(
        self, service: int, endpoints: tuple[int, ...], at: float, host: str, *, failing: bool, was_healthy: bool
    ) -> Look:
        key = self.keys[service]
        for endpoint in endpoints:
            target = f"s{service}/{endpoint}"
            self.doubt.sign(target, key, host or target, at, failing=failing, was_healthy=was_healthy)
        return self.doubt.look(at)


def test_three_services_that_fail_at_once_are_not_believed() -> None:
    world = World(2, 2, 2, 2)
    world.fail_all(0, 1, at=1.0)
    assert not world.is_frozen()
    look = world.fail_all(2, at=2.0)
    assert world.is_frozen()
    assert set(look.changed) == set(world.keys[:3])
    assert world.believed(0, 0) == Verdict(Health.HEALTHY, 1.0, "tcpSocket: timed out", doubted=True)


def test_one_service_that_fails_alone_is_believed() -> None:
    world = World(10, 1, 1, 1)
    world.fail_all(0, at=1.0)
    assert not world.is_frozen()
    assert world.believed(0, 0) is DOWN


def test_it_takes_the_share_of_all_endpoints() -> None:
    world = World(2, 2, 2, 7)
    world.fail_all(0, 1, 2, at=1.0)  # 6 of 13
    assert not world.is_frozen()
    world.fail(3, 0, at=1.5)
    assert world.is_frozen()


def test_it_takes_most_of_each_service() -> None:
    world = World(10, 10, 10)
    for service in range(3):
        world.fail(service, *range(7), at=1.0)
    assert not world.is_frozen()
    for service in range(3):
        world.fail(service, 7, at=1.5)
    assert world.is_frozen()


def test_services_on_one_machine_fail_together_with_it() -> None:
    world = World(1, 1, 1, 1)
    for service in range(4):
        world.fail(service, 0, at=1.0, host="192.0.2.1")
    assert not world.is_frozen()
    world = World(2, 2, 2, 2)
    for service in range(4):
        world.fail(service, 0, at=1.0, host="192.0.2.1")
        world.fail(service, 1, at=1.0, host="192.0.2.2")
    assert not world.is_frozen()


def test_what_has_failed_for_long_is_no_evidence() -> None:
    world = World(2, 2, 2, 2)
    world.fail_all(0, 1, at=1.0)
    world.fail_all(2, at=1.0 + POLICY.window)
    assert not world.is_frozen()
    world = World(2, 2, 2, 2)  # nor does it keep the rest from being compared
    world.fail(0, 0, at=1.0)
    world.fail(1, 0, at=1.0)
    world.doubt.look(1.0 + POLICY.window)
    world.fail(0, 1, at=50.0)
    world.fail(1, 1, at=50.0)
    world.fail_all(2, at=50.0)
    assert world.is_frozen()
    assert world.believed(0, 0) is DOWN


def test_one_that_never_passed_stays_unknown() -> None:
    world = World(1, 1, 1)
    for service in range(3):
        world.fail(service, 0, at=1.0, was_healthy=False)
    assert world.believed(0, 0).health is Health.UNKNOWN


def test_it_ends_when_each_endpoint_has_had_the_time_to_pass() -> None:
    world = World(2, 2, 2)
    world.fail_all(0, 1, 2, at=1.0)
    look = world.pass_all(0, 1, at=20.0)
    assert world.is_frozen()
    assert look.look_again == 20.0 + ROUND
    assert world.believed(2, 0).doubted
    assert set(world.doubt.look(20.0 + ROUND).changed) == set(world.keys)
    assert not world.is_frozen()
    assert world.believed(2, 0) is DOWN


def test_one_that_passes_again_but_not_often_enough_yet_is_still_kept() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=1.0)
    world.pass_all(0, 1, 2, at=20.0)
    assert world.believed(0, 0).doubted


def test_a_link_that_comes_and_goes_is_one_freeze() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=1.0)
    world.pass_all(0, 1, 2, at=5.0)
    world.fail_all(0, 1, 2, at=10.0)
    assert world.doubt.look(5.0 + ROUND).changed == ()
    assert world.is_frozen()
    assert world.believed(0, 0).health is Health.HEALTHY


def test_it_ends_by_itself_at_the_latest_after_max_freeze() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=1.0)
    assert world.doubt.look(1.0 + POLICY.max_freeze - 0.1).look_again == 1.0 + POLICY.max_freeze
    look = world.doubt.look(1.0 + POLICY.max_freeze)
    assert set(look.changed) == set(world.keys)
    assert world.believed(0, 0) is DOWN
    for second in range(120):
        assert not world.doubt.look(1.0 + POLICY.max_freeze + second).changed
    assert not world.is_frozen()


def test_a_new_outage_after_a_freeze_that_ran_out_is_a_new_freeze() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=0.0)
    world.doubt.look(POLICY.max_freeze)
    world.doubt.look(700.0)
    world.pass_all(0, 1, 2, at=800.0)
    world.fail_all(0, 1, 2, at=900.0)
    assert world.is_frozen()


@pytest.mark.parametrize("failing", [0, 1])
def test_sentinels_alone_are_evidence_when_all_of_them_fail(failing: int) -> None:
    world = World(5, policy=DoubtPolicy(services=0))
    world.doubt.expect(("sentinel/a", "sentinel/b"))
    world.fail(0, *range(failing), at=1.0)
    world.doubt.sentinel("sentinel/a", Health.UNHEALTHY)
    world.doubt.look(1.0)
    assert not world.is_frozen()
    world.doubt.sentinel("sentinel/b", Health.UNHEALTHY)
    world.doubt.look(1.0)
    assert world.is_frozen()
    assert world.fail(0, 3, at=2.0).changed == ()
    assert world.believed(0, 3).doubted
    world.doubt.sentinel("sentinel/a", Health.HEALTHY)
    world.pass_all(0, at=3.0)
    world.doubt.look(3.0 + ROUND)
    assert not world.is_frozen()


def test_without_services_nothing_is_compared() -> None:
    world = World(1, 1, 1, policy=DoubtPolicy(services=0))
    world.fail_all(0, 1, 2, at=1.0)
    assert not world.is_frozen()


def test_endpoints_and_services_that_leave_count_no_longer() -> None:
    world = World(1, 1, 1, 100)
    world.fail_all(0, 1, 2, at=1.0)
    assert not world.is_frozen()
    world.doubt.resize(world.keys[3], 0, 0.0)
    world.doubt.look(2.0)
    assert world.is_frozen()
    for service in range(3):
        world.doubt.forget(f"s{service}/0")
        world.doubt.resize(world.keys[service], 0, 0.0)
    world.doubt.look(3.0)
    assert not world.is_frozen()


def test_what_a_large_outage_costs_is_linear() -> None:
    """100,000 endpoints fail, are forgotten and come back in a test's time."""
    world = World(*[100] * 1000)
    for service in range(1000):
        world.fail(service, *range(100), at=1.0)
    assert world.is_frozen()
    world.doubt.look(1.0 + POLICY.max_freeze)
    world.doubt.look(2.0 + POLICY.max_freeze)
    for service in range(1000):
        world.pass_(service, *range(100), at=700.0)
    assert not world.is_frozen()
