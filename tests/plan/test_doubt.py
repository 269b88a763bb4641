"""Self-doubt: too much that fails at once is the prober's own failure."""

from __future__ import annotations

import pytest

from extsync.model import Health, ServiceKey, Verdict
from extsync.plan.doubt import DoubtPolicy, Look, Pace, SelfDoubt

DOWN = Verdict(Health.UNHEALTHY, 1.0, "tcpSocket: timed out")
ROUND = 12.0
PACE = Pace(round=ROUND, patience=0.0)
POLICY = DoubtPolicy()


class World:
    """Services of some endpoints each; every endpoint has an address of its own unless one is named."""

    def __init__(self, *sizes: int, policy: DoubtPolicy = POLICY, pace: Pace = PACE) -> None:
        self.doubt = SelfDoubt(policy)
        self.keys = [ServiceKey("test", f"s{number}") for number in range(len(sizes))]
        self.sizes = dict(zip(self.keys, sizes, strict=True))
        for key, size in self.sizes.items():
            self.doubt.resize(key, size, pace)

    def fail(
        self, service: int, *endpoints: int, at: float, host: str = "", was_healthy: bool = True, was_up: bool = True
    ) -> Look:
        for endpoint in endpoints:
            target = f"s{service}/{endpoint}"
            where = host or target
            self.doubt.fails(target, self.keys[service], where, at, was_healthy=was_healthy, was_up=was_up)
        return self.doubt.look(at)

    def pass_(self, service: int, *endpoints: int, at: float) -> Look:
        for endpoint in endpoints:
            self.doubt.passes(f"s{service}/{endpoint}")
        return self.doubt.look(at)

    def fail_all(self, *services: int, at: float) -> Look:
        looks = [self.fail(service, *range(self.sizes[self.keys[service]]), at=at) for service in services]
        return looks[-1]

    def pass_all(self, *services: int, at: float) -> Look:
        looks = [self.pass_(service, *range(self.sizes[self.keys[service]]), at=at) for service in services]
        return looks[-1]

    def believed(self, service: int, endpoint: int, at: float = 1e6) -> Verdict:
        return self.doubt.believe(f"s{service}/{endpoint}", DOWN, at)

    def is_frozen(self) -> bool:
        return self.doubt.freeze is not None


def test_three_services_that_fail_at_once_are_not_believed() -> None:
    world = World(2, 2, 2, 2)
    world.fail_all(0, 1, at=1.0)
    assert not world.is_frozen()
    assert world.believed(0, 1) is DOWN
    look = world.fail_all(2, at=2.0)
    assert world.is_frozen()
    assert set(look.services) == set(world.keys[:3])
    assert look.targets == ("s0/1",)  # its failure counted already, and is taken back
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


def test_services_on_one_or_two_machines_fail_together_with_them() -> None:
    world = World(1, 1, 1, 1)
    for service in range(4):
        world.fail(service, 0, at=1.0, host="192.0.2.1")
    assert not world.is_frozen()
    world = World(2, 2, 2, 2)
    for service in range(4):
        world.fail(service, 0, at=1.0, host="192.0.2.1")
        world.fail(service, 1, at=1.0, host="192.0.2.2")
    assert not world.is_frozen()


@pytest.mark.parametrize("first", [0, 3])
def test_a_service_on_the_machines_of_all_others_hides_nothing(first: int) -> None:
    """A node exporter beside three services."""
    world = World(2, 2, 2, 6)
    services = sorted(range(4), key=lambda service: service != first)
    for service in services:
        for endpoint in range(world.sizes[world.keys[service]]):
            number = endpoint if service == 3 else 2 * service + endpoint
            world.fail(service, endpoint, at=1.0, host=f"192.0.2.{number}")
    assert world.is_frozen()


def test_what_was_not_up_is_no_evidence() -> None:
    world = World(2, 2, 2, 1)
    for service in range(3):
        world.fail(service, 0, 1, at=1.0, was_healthy=False, was_up=False)
    assert not world.is_frozen()
    world.fail(3, 0, at=2.0)
    assert world.believed(3, 0) is DOWN
    # Nor does it keep the rest from being compared.
    world = World(4, 4, 4)
    for service in range(3):
        world.fail(service, 0, 1, 2, at=1.0, was_healthy=False, was_up=False)
    for service in range(3):
        world.fail(service, 3, at=40.0)
    assert world.is_frozen()


def test_the_window_is_no_shorter_than_it_takes_to_probe_a_service() -> None:
    pace = Pace(round=302.0, patience=600.0)
    world = World(10, 10, 10, pace=pace)
    for endpoint in range(10):
        for service in range(3):
            world.fail(service, endpoint, at=30.0 * endpoint)
    assert world.is_frozen()
    assert all(world.believed(service, endpoint).doubted for service in range(3) for endpoint in range(10))


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
    assert set(world.doubt.look(20.0 + ROUND).services) == set(world.keys)
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
    assert world.doubt.look(5.0 + ROUND) == Look(look_again=1.0 + POLICY.max_freeze)
    assert world.is_frozen()
    assert world.believed(0, 0).health is Health.HEALTHY


def test_it_ends_by_itself_at_the_latest_after_max_freeze() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=1.0)
    assert world.doubt.look(1.0 + POLICY.max_freeze - 0.1).look_again == 1.0 + POLICY.max_freeze
    look = world.doubt.look(1.0 + POLICY.max_freeze)
    assert set(look.services) == set(world.keys)
    assert world.believed(0, 0) is DOWN
    for second in range(120):
        assert world.doubt.look(1.0 + POLICY.max_freeze + second) == Look()
    assert not world.is_frozen()


def test_a_freeze_that_ran_out_while_the_process_stood_still_ends_once_all_has_been_probed_anew() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=1.0)
    resumed = 3600.0
    assert world.doubt.look(resumed) == Look(look_again=resumed + ROUND)
    world.pass_all(0, 1, at=resumed + 5.0)
    assert world.believed(2, 0).doubted
    world.doubt.look(resumed + ROUND)
    assert not world.is_frozen()
    assert world.believed(2, 0) is DOWN


def test_a_thaw_that_was_due_while_the_process_stood_still_waits_for_new_probes() -> None:
    world = World(2, 2, 2)
    world.fail_all(0, 1, 2, at=1.0)
    assert world.pass_all(0, 1, at=20.0).look_again == 20.0 + ROUND
    resumed = 300.0
    assert world.doubt.look(resumed).look_again == resumed + ROUND
    assert world.believed(2, 0).doubted
    world.doubt.look(resumed + ROUND)
    assert not world.is_frozen()


def test_a_process_that_stands_still_waits_no_longer_than_max_freeze_for_a_slow_service() -> None:
    world = World(1, 1, 1, pace=Pace(round=7200.0, patience=0.0))
    world.fail_all(0, 1, 2, at=1.0)
    assert world.doubt.look(3600.0).look_again == 3600.0 + POLICY.max_freeze


def test_a_new_outage_after_a_freeze_that_ran_out_is_a_new_freeze() -> None:
    world = World(1, 1, 1)
    world.fail_all(0, 1, 2, at=0.0)
    world.doubt.look(POLICY.max_freeze)
    world.doubt.look(700.0)
    world.pass_all(0, 1, 2, at=800.0)
    world.fail_all(0, 1, 2, at=900.0)
    assert world.is_frozen()


def test_all_sentinels_are_evidence_where_endpoints_fail_as_well() -> None:
    world = World(5, policy=DoubtPolicy(services=0))
    world.doubt.expect(("sentinel/a", "sentinel/b"))
    world.doubt.sentinel("sentinel/a", failing=True)
    world.fail(0, 0, at=1.0)
    assert not world.is_frozen()
    world.doubt.sentinel("sentinel/b", failing=True)
    world.doubt.look(1.0)
    assert world.is_frozen()
    world.fail(0, 3, at=2.0)
    assert world.believed(0, 3).doubted
    world.doubt.sentinel("sentinel/a", failing=False)
    world.pass_all(0, at=3.0)
    world.doubt.look(3.0 + ROUND)
    assert not world.is_frozen()


def test_a_dead_sentinel_alone_is_no_evidence_and_does_not_blind_it() -> None:
    world = World(1, 1, 1)
    world.doubt.expect(("sentinel/a",))
    world.doubt.sentinel("sentinel/a", failing=True)
    world.doubt.look(1.0)
    assert not world.is_frozen()
    world.fail(0, 0, at=2.0)  # now it is; but not for ever
    assert world.is_frozen()
    world.doubt.look(2.0 + POLICY.max_freeze)
    world.doubt.look(700.0)
    assert not world.is_frozen()
    world.pass_(0, 0, at=710.0)
    world.doubt.look(800.0)
    world.fail_all(0, 1, 2, at=900.0)
    assert world.is_frozen()


def test_an_evidence_that_ran_out_counts_again_once_it_was_gone() -> None:
    world = World(1, 1, 1)
    world.doubt.expect(("sentinel/a",))
    world.doubt.sentinel("sentinel/a", failing=True)
    world.fail(0, 0, at=0.0)
    world.doubt.look(POLICY.max_freeze)
    world.doubt.sentinel("sentinel/a", failing=False)
    world.doubt.look(POLICY.max_freeze + POLICY.window)
    world.doubt.sentinel("sentinel/a", failing=True)
    world.fail(1, 0, at=POLICY.max_freeze + 60.0)
    assert world.is_frozen()


def test_without_services_nothing_is_compared() -> None:
    world = World(1, 1, 1, policy=DoubtPolicy(services=0))
    world.fail_all(0, 1, 2, at=1.0)
    assert not world.is_frozen()


def test_endpoints_and_services_that_leave_count_no_longer() -> None:
    world = World(1, 1, 1, 100)
    world.fail_all(0, 1, 2, at=1.0)
    assert not world.is_frozen()
    world.doubt.resize(world.keys[3], 0, Pace())
    world.doubt.look(2.0)
    assert world.is_frozen()
    for service in range(3):
        world.doubt.forget(f"s{service}/0")
        world.doubt.resize(world.keys[service], 0, Pace())
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


def test_an_early_verdict_waits_while_nothing_else_is_heard() -> None:
    """A check every 10 s, and every second while a verdict is about to change: 20 s are the time to be had."""
    world = World(1, 1, 1, pace=Pace(round=ROUND, patience=20.0))
    world.fail(0, 0, at=1.0)
    assert world.believed(0, 0, at=3.0).health is Health.HEALTHY
    look = world.doubt.look(4.0)
    assert look.targets == ()
    assert look.look_again is not None
    world.doubt.count(passes=2)
    assert world.doubt.look(5.0).targets == ("s0/0",)
    assert world.believed(0, 0, at=5.0) is DOWN
    assert world.doubt.look(6.0) == Look()


def test_an_early_verdict_waits_no_longer_than_it_would_have_taken() -> None:
    world = World(1, 1, 1, pace=Pace(round=ROUND, patience=20.0))
    world.fail(0, 0, at=1.0)
    assert world.believed(0, 0, at=3.0).doubted
    assert world.doubt.look(21.0).targets == ("s0/0",)
    assert world.believed(0, 0, at=21.0) is DOWN


def test_an_early_verdict_waits_for_nothing_where_others_pass_or_nothing_can_be_compared() -> None:
    for world in (World(1, 1, 1, pace=Pace(ROUND, 20.0)), World(1, 1, pace=Pace(ROUND, 20.0))):
        world.fail(0, 0, at=1.0)
        world.doubt.count(2 if len(world.keys) == 3 else 0)
        assert world.believed(0, 0, at=3.0) is DOWN


def test_while_frozen_a_look_costs_the_same_however_much_fails() -> None:
    world = World(*[100] * 1000)
    for service in range(1000):
        for endpoint in range(100):
            target = f"s{service}/{endpoint}"
            world.doubt.fails(target, world.keys[service], target, 1.0, was_healthy=True, was_up=True)
    world.doubt.look(1.0)
    assert world.is_frozen()
    for _ in range(20_000):
        world.doubt.look(2.0)


def test_what_was_down_before_is_in_doubt_until_its_service_thaws() -> None:
    """A freeze says nothing of it either way; who else knows better is heard until it can be probed again."""
    world = World(2, 2, 2, 2)
    world.fail(3, 0, at=1.0, was_healthy=False, was_up=False)
    look = world.fail_all(0, 1, 2, at=20.0)
    assert world.keys[3] in look.services
    assert world.doubt.is_frozen(world.keys[3])
    assert world.doubt.withheld(world.keys[3]) == 0
    world.pass_all(0, 1, 2, at=30.0)
    assert world.doubt.is_frozen(world.keys[3])
    assert world.keys[3] in world.doubt.look(30.0 + ROUND).services
    assert not world.doubt.is_frozen(world.keys[3])
