"""A TCP socket that is disconnected is as new; its connection has ended with a reset, or in order before."""

from __future__ import annotations

import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extsync.seams.disconnect import disconnector


@pytest.mark.sockets
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_disconnected_socket_connects_elsewhere_and_the_peer_sees_a_reset(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as one,
        socket.create_server((host, 0), family=family) as other,
        socket.socket(family) as sock,
    ):
        sock.connect(one.getsockname())
        first, _ = one.accept()
        first.send(b"too late")
        assert disconnector()(sock, True)
        with first, pytest.raises(ConnectionResetError):
            first.recv(1)
        sock.connect(other.getsockname())
        second, _ = other.accept()
        with second:
            second.send(b"hello")
            assert sock.recv(100) == b"hello"


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both sides of a connection: ours, and the other one."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        other, _ = listener.accept()
        with other:
            yield sock, other


def has_ended(sock: socket.socket) -> None:
    """Waits for the other side's end."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    assert poll.poll(20_000)


def disconnected_in_order(sock: socket.socket, other: socket.socket) -> bool:
    other.sendall(b"all there is")
    other.shutdown(socket.SHUT_WR)
    has_ended(sock)
    done = disconnector()(sock, False)
    assert other.recv(1) == b"", "the other side sees an end in order"
    return done


@pytest.mark.sockets
def test_a_connection_that_the_other_side_has_ended_ends_in_order_and_leaves_nothing() -> None:
    # The system may be late with its acknowledgement now and then, so one of several must do.
    for _ in range(20):
        with connected() as (sock, other):
            if disconnected_in_order(sock, other):
                with socket.create_server(("127.0.0.1", 0)) as listener:
                    sock.connect(listener.getsockname())
                    next_one, _ = listener.accept()
                    with next_one:
                        next_one.send(b"hello")
                        assert sock.recv(100) == b"hello", "not what was left of the connection before"
                return
    pytest.fail("no socket could be used again")


@pytest.mark.sockets
def test_without_a_reset_a_connection_that_stands_is_not_disconnected_but_ended_on_our_side() -> None:
    with connected() as (sock, other):
        assert not disconnector()(sock, False)
        assert other.recv(1) == b""
        other.sendall(b"more")
        assert sock.recv(100) == b"more", "no reset was sent"


@pytest.mark.sockets
def test_without_a_reset_a_connection_that_was_reset_is_left_as_it_is() -> None:
    with connected() as (sock, other):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        has_ended(sock)
        assert not disconnector()(sock, False)


@pytest.mark.sockets
@pytest.mark.parametrize("resets", [True, False])
def test_a_socket_that_is_closed_cannot_be_disconnected(resets: bool) -> None:
    with socket.socket() as sock:
        sock.close()
        assert not disconnector()(sock, resets)


@pytest.mark.sockets
@pytest.mark.parametrize("resets", [True, False])
def test_where_the_c_library_cannot_be_called_nothing_can_be_disconnected(
    monkeypatch: pytest.MonkeyPatch, resets: bool
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    with connected() as (sock, other):
        assert not disconnector()(sock, resets)
        sock.sendall(b"x")
        assert other.recv(1) == b"x", "the connection stands"
