"""What goes over the wire comes out as it went in, however the bytes are cut."""

from __future__ import annotations

import pickle
import struct

import pytest

from extsync.health.target import Probe, Target, Timing
from extsync.health.workers.wire import FRAME_LIMIT, Ask, Frames, Order, Ping, frame, packed, unpacked
from tests.health.support import HOST, TCP

TIMING = Timing(period=5.0)
MESSAGES = [
    Ping(),
    Ask(7, "default/orders/192.0.2.1:80"),
    Order([(1, b"x")], ["gone"], [(3, ("a", [(1, HOST, 80)]))], []),
]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
def test_messages_come_out_as_they_went_in_however_the_bytes_are_cut(size: int) -> None:
    data = b"".join(map(frame, MESSAGES))
    frames = Frames()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert [message for piece in pieces for message in frames.feed(piece)] == MESSAGES


def test_a_message_that_is_too_long_is_refused_on_either_side() -> None:
    with pytest.raises(ValueError, match="is too long"):
        frame(b"x" * (FRAME_LIMIT + 1))
    with pytest.raises(ValueError, match="is too long"):
        list(Frames().feed(struct.pack("!I", FRAME_LIMIT + 1)))


def test_a_target_comes_out_with_the_rules_that_its_numbers_stand_for() -> None:
    target = Target("a", (Probe(TCP, TIMING, HOST, 80), Probe(TCP, TIMING, "2001:db8::1", 443)), immediate=True)
    fields = pickle.loads(pickle.dumps(packed(target, (4, 5))))
    other = Timing(period=9.0)
    found = unpacked(fields, {4: (TCP, TIMING), 5: (TCP, other)})
    assert found == Target("a", (target.probes[0], Probe(TCP, other, "2001:db8::1", 443)), immediate=True)


def test_a_target_whose_rule_is_not_known_is_none() -> None:
    target = Target("a", (Probe(TCP, TIMING, HOST, 80),))
    assert unpacked(packed(target, (4,)), {5: (TCP, TIMING)}) is None
