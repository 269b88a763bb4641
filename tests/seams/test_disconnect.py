"""A TCP socket that is disconnected is as new, and its connection has ended with a reset."""

from __future__ import annotations

import socket
import sys

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
        assert disconnector()(sock)
        with first, pytest.raises(ConnectionResetError):
            first.recv(1)
        sock.connect(other.getsockname())
        second, _ = other.accept()
        with second:
            second.send(b"hello")
            assert sock.recv(100) == b"hello"


@pytest.mark.sockets
def test_a_descriptor_that_is_no_socket_cannot_be_disconnected() -> None:
    with open("/dev/null", "rb") as nothing:
        assert not disconnector()(nothing)


@pytest.mark.sockets
def test_where_the_c_library_cannot_be_called_nothing_can_be_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.connect(listener.getsockname())
        assert not disconnector()(sock)
