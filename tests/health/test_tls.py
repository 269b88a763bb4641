from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from extsync.health.tls import Tls, TlsSession
from extsync.health.tls_words import words


def test_equal_parameters_share_one_context() -> None:
    assert Tls(insecure_skip_verify=True).context() is Tls(insecure_skip_verify=True).context()
    assert Tls(insecure_skip_verify=True).context() is not Tls().context()


def test_certificates_and_names_are_verified_unless_that_is_turned_off() -> None:
    strict, lax = Tls().context(), Tls(insecure_skip_verify=True).context()
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_a_file_that_never_could_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tls(ca_file=str(tmp_path / "missing.pem")).context()


def test_a_handshake_that_meets_something_else_is_told_in_words() -> None:
    session = TlsSession(Tls(), "192.0.2.1")
    session.handshake()
    assert session.outgoing().startswith(b"\x16\x03")
    with pytest.raises(ssl.SSLError) as caught:
        session.handshake(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert words(caught.value) == "the port does not speak TLS"


def test_a_connection_that_ends_in_the_handshake_is_told_in_words() -> None:
    session = TlsSession(Tls(), "192.0.2.1")
    session.handshake()
    with pytest.raises(ssl.SSLError) as caught:
        session.handshake(eof=True)
    assert words(caught.value) == "connection closed in the TLS handshake"
