from __future__ import annotations

import errno
from socket import AF_INET, SO_ERROR, SOL_SOCKET

import pytest

from extsync.seams import epoll
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.seams.virtual_net import BlackHole, Failing, Listening, ScriptedProbeIO

EVERYTHING = epoll.IN | epoll.OUT | epoll.RDHUP | epoll.ET
PEER = ("192.0.2.1", 80)


class Net:
    """A scripted network with a poller whose events are kept."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.io = ScriptedProbeIO(self.clock)
        self.poller = self.io.poller()
        self.events: list[tuple[int, int]] = []
        self.io.attach(self.poller, self._called)

    def _called(self) -> None:
        self.events += self.poller.poll(0, 1)

    def taken(self) -> list[tuple[int, int]]:
        events, self.events = self.events, []
        return events


@virtual_time
async def test_a_listener_accepts_after_its_latency_and_answers_each_request() -> None:
    net = Net()
    net.io.script(*PEER, Listening(latency=0.2, answer=lambda request: request.upper(), delay=0.3, closes=True))
    sock = net.io.socket(AF_INET)
    assert sock.connect_ex(PEER) == errno.EINPROGRESS
    net.poller.register(sock.fileno(), EVERYTHING)
    await net.clock.sleep(0.1)
    assert net.taken() == []
    await net.clock.sleep(0.2)
    assert net.taken() == [(sock.fileno(), epoll.OUT)]
    with pytest.raises(BlockingIOError):
        sock.recv(10)
    assert sock.send(b"hello") == 5
    await net.clock.sleep(0.4)
    assert net.taken() == [(sock.fileno(), epoll.OUT | epoll.IN | epoll.RDHUP)]
    assert [sock.recv(3), sock.recv(3), sock.recv(3)] == [b"HEL", b"LO", b""]


@virtual_time
async def test_each_change_is_reported_once() -> None:
    net = Net()
    net.io.script(*PEER, Listening(greeting=b"220 ready"))
    sock = net.io.socket(AF_INET)
    sock.connect_ex(PEER)
    net.poller.register(sock.fileno(), EVERYTHING)
    await net.clock.sleep(0.0011)
    assert net.taken() == [(sock.fileno(), epoll.OUT | epoll.IN)]
    await net.clock.sleep(10)
    assert net.taken() == []
    assert sock.recv(100) == b"220 ready"


@virtual_time
async def test_a_failing_peer_breaks_the_connection_now_or_later() -> None:
    net = Net()
    net.io.script(*PEER, Failing(errno.ENETUNREACH, latency=None))
    assert net.io.socket(AF_INET).connect_ex(PEER) == errno.ENETUNREACH
    sock = net.io.socket(AF_INET)
    assert sock.connect_ex(("192.0.2.9", 1)) == errno.EINPROGRESS
    net.poller.register(sock.fileno(), epoll.OUT)
    await net.clock.sleep(1)
    assert net.taken()[0][1] & epoll.ERR
    assert sock.getsockopt(SOL_SOCKET, SO_ERROR) == errno.ECONNREFUSED
    assert sock.getsockopt(SOL_SOCKET, SO_ERROR) == 0


@virtual_time
async def test_a_reset_shows_when_reading() -> None:
    net = Net()
    net.io.script(*PEER, Listening(answer=b"half", resets=True))
    sock = net.io.socket(AF_INET)
    sock.connect_ex(PEER)
    net.poller.register(sock.fileno(), EVERYTHING)
    await net.clock.sleep(0.01)
    sock.send(b"x")
    await net.clock.sleep(0.01)
    assert sock.recv(100) == b"half"
    with pytest.raises(ConnectionResetError):
        sock.recv(100)


@virtual_time
async def test_descriptors_are_limited_and_the_lowest_free_one_is_used_again() -> None:
    io = ScriptedProbeIO(VirtualClock(), descriptors=3)
    socks = [io.socket(AF_INET) for _ in range(3)]
    with pytest.raises(OSError, match="Too many open files"):
        io.socket(AF_INET)
    numbers = [sock.fileno() for sock in socks]
    socks[1].close()
    socks[1].close()
    assert io.open_sockets == 2
    assert io.socket(AF_INET).fileno() == numbers[1]


@virtual_time
async def test_a_closed_socket_is_silent_and_its_successor_gets_none_of_its_events() -> None:
    net = Net()
    net.io.script(*PEER, Listening())
    first = net.io.socket(AF_INET)
    first.connect_ex(PEER)
    net.poller.register(first.fileno(), epoll.OUT)
    await net.clock.sleep(0.0005)
    first.close()
    net.io.script(*PEER, BlackHole())
    second = net.io.socket(AF_INET)
    second.connect_ex(PEER)
    net.poller.register(second.fileno(), epoll.OUT)
    await net.clock.sleep(10)
    assert net.taken() == []
    assert net.io.connections == {PEER: 2}


@virtual_time
async def test_what_one_look_leaves_is_reported_at_the_next() -> None:
    net = Net()
    net.io.script(*PEER, Listening())
    socks = [net.io.socket(AF_INET) for _ in range(5)]
    for sock in socks:
        sock.connect_ex(PEER)
        net.poller.register(sock.fileno(), epoll.OUT)
    await net.clock.sleep(1)
    assert sorted(fd for fd, _ in net.taken()) == [sock.fileno() for sock in socks]


@virtual_time
async def test_what_was_ready_when_a_socket_closed_is_not_reported() -> None:
    net = Net()
    net.io.detach(net.poller)
    net.io.script(*PEER, Listening())
    first = net.io.socket(AF_INET)
    first.connect_ex(PEER)
    net.poller.register(first.fileno(), epoll.OUT)
    await net.clock.sleep(1)
    first.close()
    second = net.io.socket(AF_INET)
    net.poller.register(second.fileno(), epoll.OUT)
    assert net.poller.poll(0) == []


@virtual_time
async def test_what_was_ready_when_a_socket_closed_wakes_nobody_for_ever() -> None:
    net = Net()
    calls: list[float] = []
    net.io.detach(net.poller)
    net.io.attach(net.poller, lambda: calls.append(net.clock.monotonic()))
    net.io.script(*PEER, Listening())
    sock = net.io.socket(AF_INET)
    sock.connect_ex(PEER)
    net.poller.register(sock.fileno(), epoll.OUT)
    net.clock.call_later(0.001, sock.close)  # as soon as it is ready, before anybody polls
    await net.clock.sleep(1)
    assert len(calls) < 5


@virtual_time
async def test_a_datagram_is_answered_by_datagrams_that_are_received_one_by_one() -> None:
    net = Net()
    net.io.script(*PEER, Listening(answer=lambda request: request.upper(), delay=0.3))
    sock = net.io.datagrams(AF_INET)
    assert sock.connect_ex(PEER) == 0
    net.poller.register(sock.fileno(), EVERYTHING)
    await net.clock.sleep(0.1)
    assert net.taken() == [(sock.fileno(), epoll.OUT)]
    assert [sock.send(b"one"), sock.send(b"")] == [3, 0]
    with pytest.raises(BlockingIOError):
        sock.recv(10)
    await net.clock.sleep(0.4)
    assert net.taken() == [(sock.fileno(), epoll.OUT | epoll.IN)]
    assert [sock.recv(2), sock.recv(10)] == [b"ON", b""]
    with pytest.raises(BlockingIOError):
        sock.recv(10)


@virtual_time
async def test_a_datagram_to_nobody_comes_back_as_an_error() -> None:
    net = Net()
    sock = net.io.datagrams(AF_INET)
    sock.connect_ex(PEER)
    net.poller.register(sock.fileno(), EVERYTHING)
    sock.send(b"anybody?")
    await net.clock.sleep(0.1)
    assert net.taken()[-1][1] & epoll.ERR
    with pytest.raises(ConnectionRefusedError):
        sock.recv(10)
    sock.close()
    assert net.io.open_sockets == 0


@virtual_time
@pytest.mark.parametrize(("closes", "resets"), [(True, False), (False, True)])
async def test_a_socket_is_made_as_new_by_a_reset_or_after_the_other_sides_end(closes: bool, resets: bool) -> None:
    net = Net()
    renew = net.io.renewer()
    net.io.script(*PEER, Listening(answer=b"left unread", closes=closes))
    sock = net.io.socket(AF_INET)
    sock.connect_ex(PEER)
    await net.clock.sleep(0.01)
    sock.send(b"hello")
    assert not renew(sock, False), "nothing has ended yet"
    await net.clock.sleep(0.01)
    assert renew(sock, resets)
    assert sock.connect_ex(PEER) == errno.EINPROGRESS
    await net.clock.sleep(0.01)
    with pytest.raises(BlockingIOError):
        sock.recv(10)
