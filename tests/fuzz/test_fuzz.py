"""What a server says is fuzzed for a moment; ``python -m tests.fuzz`` does it for as long as one likes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import KINDS, Edit, edited, random_edits
from tests.fuzz.properties import hold
from tests.fuzz.subjects import CheckReader, Outcome, Subject, with_tls, without_tls
from tests.health.support import tcp

SUBJECTS = without_tls()
EDITS = st.lists(
    st.builds(Edit, st.sampled_from(KINDS), st.integers(0, 5000), st.integers(0, 255), st.binary(max_size=8)),
    max_size=6,
)
CUTS = st.lists(st.integers(0, 5000), max_size=8)

each_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


@each_subject
def test_each_sound_dialogue_holds_however_it_comes_in_pieces(subject: Subject) -> None:
    for seed in subject.seeds:
        hold(subject, seed, [])
        hold(subject, seed, range(len(seed)))
        for end in range(len(seed)):
            hold(subject, seed[:end], [end // 2])
            hold(subject, seed, [end])


@each_subject
@given(data=st.data())
@settings(max_examples=60)
def test_arbitrary_bytes_hold(subject: Subject, data: st.DataObject) -> None:
    hold(subject, data.draw(st.binary(max_size=200)), data.draw(CUTS))


@each_subject
@given(data=st.data())
@settings(max_examples=120)
def test_damaged_dialogues_hold(subject: Subject, data: st.DataObject) -> None:
    sound = data.draw(st.sampled_from(subject.seeds))
    hold(subject, edited(sound, data.draw(EDITS)), data.draw(CUTS))


def test_damaged_handshakes_of_tls_hold(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    for subject in with_tls(tmp_path):
        random = Random(subject.name)
        for seed in subject.seeds:
            hold(subject, seed, [])
            hold(subject, seed, range(len(seed)))
            for _ in range(50):
                hold(subject, edited(seed, random_edits(random)), [random.getrandbits(16) for _ in range(3)])


# ---- the tests themselves --------------------------------------------------------------------------------------------


class Faulty(CheckReader):
    """Reads as it should, but for one thing."""

    def __init__(self, fault: str) -> None:
        super().__init__(tcp(expect="ok"), ())
        self._fault = fault
        self._pieces = 0

    def read(self, data: bytes, *, eof: bool) -> Outcome | None:
        self._pieces += 1
        match self._fault:
            case "raises":
                raise IndexError("out of range")
            case "counts pieces":
                return ("failed", None) if self._pieces > 3 else super().read(data, eof=eof)
            case "never decides":
                return None
            case "reads on for ever":
                return super().read(data, eof=eof) if eof else None
            case "repeats controls":
                self.said.append("\x1b[2J")
            case "talks":
                self.said.append("x" * 1000)
        return super().read(data, eof=eof)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raises", "out of range"),
        ("counts pieces", "in 9 pieces"),
        ("never decides", "the connection has ended"),
        ("reads on for ever", "nothing is decided after"),
        ("repeats controls", "not printable"),
        ("talks", "1000 characters"),
    ],
)
def test_what_does_not_hold_is_found(fault: str, told: str) -> None:
    subject = Subject("faulty", lambda: Faulty(fault), (b"xxxxxxok",))
    with pytest.raises((AssertionError, IndexError), match=told):
        hold(subject, subject.seeds[0], range(9))


def test_the_same_random_numbers_make_the_same_damage() -> None:
    def damage() -> Iterator[bytes]:
        random = Random(1)
        for _ in range(100):
            yield edited(b"HTTP/1.1 200 OK\r\n\r\n", random_edits(random))

    assert list(damage()) == list(damage())
    assert len(set(damage())) > 90
