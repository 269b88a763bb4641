"""The sockets of probes: where they are sent from."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from extsync.errors import ConfigError
from extsync.seams import SystemProbeIO

pytestmark = pytest.mark.sockets

FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def local_address(sock: object) -> tuple[str, int]:
    assert isinstance(sock, socket.SocketType)
    host, port, *_ = sock.getsockname()
    return host, port


def test_without_a_source_address_the_system_chooses() -> None:
    io = SystemProbeIO()
    for family in FAMILIES:
        for sock in (io.socket(family), io.datagrams(family)):
            assert local_address(sock)[0] in ("0.0.0.0", "::")
            sock.close()


def test_a_family_with_a_source_address_is_bound_to_it_and_the_other_is_not() -> None:
    io = SystemProbeIO(source_addresses=["127.0.0.2"])
    for sock in (io.socket(socket.AF_INET), io.datagrams(socket.AF_INET)):
        assert local_address(sock)[0] == "127.0.0.2"
        sock.close()
    for sock in (io.socket(socket.AF_INET6), io.datagrams(socket.AF_INET6)):
        assert local_address(sock)[0] == "::"
        sock.close()


def test_no_port_is_taken_before_it_is_known_where_to() -> None:
    io = SystemProbeIO(source_addresses=["127.0.0.2", "::1"])
    for family, host in FAMILIES.items():
        for sock in (io.socket(family), io.datagrams(family)):
            assert local_address(sock)[1] == 0
            sock.connect_ex((host, 9))
            assert local_address(sock)[1] != 0
            sock.close()


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77"])
def test_an_address_that_is_not_this_machines_is_an_error_at_once_and_leaves_nothing_open(address: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError) as caught:
        SystemProbeIO(source_addresses=[address])
    assert str(caught.value) == (
        f"probes cannot be sent from {address}: cannot assign requested address: is it an address of this machine?"
    )
    assert os.listdir("/proc/self/fd") == before


def test_two_addresses_of_a_family_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"one address of a family, not from 127\.0\.0\.2, 127\.0\.0\.3"):
        SystemProbeIO(source_addresses=["127.0.0.2", "127.0.0.3"])


def test_an_address_that_leaves_the_machine_later_is_told_by_its_errno_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    io = SystemProbeIO(source_addresses=["127.0.0.2"])
    before = os.listdir("/proc/self/fd")

    class Gone(socket.SocketType):
        def bind(self, address: object) -> None:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    monkeypatch.setattr(socket, "SocketType", Gone)
    with pytest.raises(OSError, match="annot assign"):
        io.socket(socket.AF_INET)
    assert os.listdir("/proc/self/fd") == before
