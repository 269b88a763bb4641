"""Which signs show that servers have another state than before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extsync.sources.consul.era import Eras, Server


def servers(*modified: int, life: str = "a") -> frozenset[Server]:
    return frozenset(Server(f"s{number}", f"{life}{number}", index) for number, index in enumerate(modified))


def seen(*looks: tuple[int, frozenset[Server]]) -> list[int]:
    """The number of the state after each look."""
    eras, numbers = Eras(), []
    for index, listed in looks:
        eras.note(index, listed)
        numbers.append(eras.number)
    return numbers


def test_one_state_only_counts_upwards() -> None:
    own = servers(5, 7, 9)
    assert seen((20, own), (20, own), (5000, own)) == [0, 0, 0]


def test_an_index_that_went_down_is_another_state() -> None:
    own = servers(5)
    assert seen((115, own), (32, own), (33, own), (31, own)) == [0, 1, 1, 2]


def test_without_a_sight_of_the_servers_the_index_alone_counts() -> None:
    nobody = servers()
    assert seen((115, nobody), (200, nobody), (199, nobody)) == [0, 0, 1]


def test_servers_that_were_there_before_anybody_saw_them_are_others_whatever_the_index() -> None:
    assert seen((20, servers(5, 7, 9)), (5000, servers(6, 11, 30, life="b"))) == [0, 1]


def test_the_same_machines_registered_at_another_time_are_others_too() -> None:
    assert seen((20, servers(5, 7, 9)), (5000, servers(6, 8, 10))) == [0, 1]


def test_servers_that_are_exchanged_are_no_other_state() -> None:
    exchanged = servers(25, 30, 35, life="b")
    assert seen((20, servers(5, 7, 9)), (40, exchanged), (50, exchanged)) == [0, 0, 0]


def test_one_server_that_is_left_as_it_was_is_enough() -> None:
    kept = Server("s0", "a0", 5)
    assert seen((20, frozenset({kept, *servers(0, 7)})), (30, frozenset({kept, *servers(1, 2, life="b")}))) == [0, 0]


def test_servers_that_cannot_be_seen_for_a_while_are_compared_with_those_that_were_seen() -> None:
    own, nobody = servers(5, 7), servers()
    assert seen((20, own), (30, nobody), (40, servers(25, 26, life="b"))) == [0, 0, 0]
    assert seen((20, own), (30, nobody), (40, servers(15, 26, life="b"))) == [0, 0, 1]


@given(st.data())
def test_whatever_happens_within_one_state_is_no_other_state(data: st.DataObject) -> None:
    """Servers come, go, change and are hidden; each change takes the next index."""
    eras, names, registered = Eras(), st.sampled_from("abc"), dict[str, Server]()
    for index in range(1, data.draw(st.integers(1, 25)) + 1):
        name = data.draw(names)
        match data.draw(st.sampled_from(["change", "leave", "look", "look blindly"])):
            case "change":
                registered[name] = Server(name, data.draw(st.sampled_from("xy")), index)
            case "leave":
                registered.pop(name, None)
            case "look":
                eras.note(index, frozenset(registered.values()))
            case _:
                eras.note(index, frozenset())
    assert eras.number == 0
