from __future__ import annotations

from extsync.model import Backend, Endpoint, Identity, State, Why
from extsync.plan.merge import Candidate, Tier
from extsync.plan.tier import TierPolicy, Tiers, TierState, tier

POLICY = TierPolicy(min_ready=1, failback_delay=60.0)


def of(*priorities: int) -> tuple[Tier, ...]:
    """The tiers of sources that do not divide them."""
    return tuple(Tier(priority) for priority in priorities)


class Service:
    """Endpoints by priority, and the state of the tiers from look to look."""

    def __init__(self, policy: TierPolicy = POLICY, state: TierState | None = None) -> None:
        self.policy = policy
        self.state = TierState() if state is None else state

    def look(self, now: float, *, awaited: tuple[Tier, ...] = (), **tiers: str) -> Tiers:
        """``tiers``: t0="r.n" is three endpoints of priority 0: ready, not ready, new."""
        candidates, endpoints = [], []
        for name, states in tiers.items():
            for number, letter in enumerate(states):
                address, priority = f"10.0.{name[1:]}.{number + 1}", int(name[1:])
                candidates.append(Candidate(Identity(address, ()), Backend(address), name, "", Tier(priority), "both"))
                state = {"r": State.READY, "d": State.DRAINING}.get(letter, State.NOT_READY)
                why = Why.NEW if letter == "n" else Why.HEALTHY
                endpoints.append(Endpoint(address, (), "", state, why))
        result = tier(
            candidates,
            tuple(endpoints),
            self.state,
            tiers=sorted({candidate.tier for candidate in candidates}),
            policy=self.policy,
            now=now,
            awaited=awaited,
        )
        self.state = result.state
        return result


def test_the_only_tier_is_published_whatever_its_state() -> None:
    looked = Service().look(0.0, t3=".n.")
    assert looked.published == of(3)
    assert len(looked.endpoints) == 3


def test_a_standby_tier_stays_out_while_the_first_has_enough_ready() -> None:
    looked = Service().look(0.0, t0="r.", t1="rr")
    assert (looked.published, looked.standby) == (of(0), of(1))
    assert [e.address for e in looked.endpoints] == ["10.0.0.1", "10.0.0.2"]
    assert looked.look_again is None


def test_a_standby_tier_comes_in_at_once_and_the_first_stays() -> None:
    looked = Service().look(0.0, t0="..", t1="r")
    assert looked.published == of(0, 1)
    assert len(looked.endpoints) == 3


def test_draining_endpoints_do_not_count_as_ready() -> None:
    assert Service().look(0.0, t0="d", t1="r").published == of(0, 1)


def test_tiers_are_cumulative() -> None:
    service = Service(TierPolicy(min_ready=2, failback_delay=0.0))
    assert service.look(0.0, t0="r", t1="r", t2="r").published == of(0, 1)
    assert service.look(0.0, t0=".", t1="r", t2="r").published == of(0, 1, 2)
    assert service.look(0.0, t0="rr", t1="r", t2="r").published == of(0)


def test_a_tier_goes_only_after_the_failback_delay() -> None:
    service = Service()
    service.look(0.0, t0=".", t1="r")
    looked = service.look(10.0, t0="r", t1="r")
    assert (looked.published, looked.look_again) == (of(0, 1), 70.0)
    assert service.look(69.9, t0="r", t1="r").published == of(0, 1)
    looked = service.look(70.0, t0="r", t1="r")
    assert (looked.published, looked.look_again) == (of(0), None)


def test_a_relapse_starts_the_failback_delay_anew() -> None:
    service = Service()
    service.look(0.0, t0=".", t1="r")
    service.look(10.0, t0="r", t1="r")
    assert service.look(50.0, t0=".", t1="r").look_again is None
    assert service.look(60.0, t0="r", t1="r").look_again == 120.0


def test_endpoints_that_were_never_probed_do_not_let_the_standby_in() -> None:
    service = Service()
    assert service.look(0.0, t0="nn", t1="r").published == of(0)
    assert service.look(1.0, t0="..", t1="r").published == of(0, 1)


def test_a_tier_whose_source_has_yet_to_answer_does_not_let_the_standby_in() -> None:
    service = Service()
    assert service.look(0.0, awaited=of(0), t1="r").published == ()
    assert service.look(1.0, t1="r").published == of(1)


def test_a_tier_whose_source_has_yet_to_answer_does_not_send_the_standby_away() -> None:
    service = Service(state=TierState().with_found(of(1)))
    looked = service.look(0.0, awaited=of(0), t1="r")
    assert (looked.published, looked.look_again) == (of(1), None)


def test_endpoints_that_were_never_probed_do_not_send_the_standby_away() -> None:
    service = Service()
    service.look(0.0, t0=".", t1="r")
    assert service.look(1000.0, t0="n", t1="r").published == of(0, 1)


def test_after_a_start_a_tier_found_published_stays_for_the_failback_delay() -> None:
    service = Service(state=TierState().with_found(of(1, 0, 1)))
    looked = service.look(5.0, t0="r", t1="r")
    assert (looked.published, looked.look_again) == (of(0, 1), 65.0)


def test_a_standby_that_served_alone_stays_when_the_first_tier_comes_back_unproven() -> None:
    service = Service()
    assert service.look(0.0, t1="r").published == of(1)
    assert service.look(1.0, t0="n", t1="r").published == of(0, 1)
    assert service.look(2.0, t0="r", t1="r").look_again == 62.0


def test_a_tier_whose_source_is_away_for_a_moment_keeps_its_place() -> None:
    service = Service(state=TierState().with_found(of(0, 1)))
    assert service.look(0.0, t0=".").published == of(0)
    assert service.look(1.0, t0="n", t1="r").published == of(0, 1)


def test_a_tier_whose_source_is_away_for_long_is_forgotten() -> None:
    service = Service(state=TierState().with_found(of(0, 1)))
    assert service.look(0.0, t0="r").look_again == 60.0
    assert service.look(60.0, t0="r").look_again is None
    assert service.look(61.0, t0="r", t1="r").published == of(0)


def test_all_endpoints_published_are_the_same_tuple() -> None:
    looked = Service().look(0.0, t0=".", t1="r")
    again = tier(
        [Candidate(Identity(e.address, ()), Backend(e.address), "", "", Tier(0), "both") for e in looked.endpoints],
        looked.endpoints,
        TierState(),
        tiers=(Tier(0),),
        policy=POLICY,
        now=0.0,
    )
    assert again.endpoints is looked.endpoints


def test_a_tier_that_is_found_again_keeps_the_time_since_when_it_is_idle() -> None:
    service = Service(state=TierState().with_found(of(0, 1)))
    service.look(0.0, t0="r", t1="r")
    service.state = service.state.with_found(of(0, 1, 2))
    looked = service.look(10.0, t0="r", t1="r", t2="r")
    assert looked.state.published == ((of(0)[0], None), (of(1)[0], 0.0), (of(2)[0], 10.0))


def test_a_tier_that_was_withdrawn_is_not_found_again_while_the_cluster_still_shows_it() -> None:
    service = Service(TierPolicy(failback_delay=0.0))
    service.look(0.0, t0=".", t1="r")
    assert service.look(1.0, t0="r", t1="r").published == of(0)
    service.state = service.state.with_found(of(0, 1))
    assert service.look(2.0, t0="r", t1="r").published == of(0)
