"""What is told of certificates and of TLS, without any connection."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.health.tls_words import dated, is_about_dates, notice, words

FIRST = datetime(2026, 9, 1, tzinfo=UTC)
LAST = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)


def element(tag: int, content: bytes) -> bytes:
    length = len(content)
    return bytes((tag, length) if length < 128 else (tag, 0x82, *divmod(length, 256))) + content


def certificate(first: datetime = FIRST, last: datetime = LAST) -> bytes:
    """As much of a certificate as has dates."""
    moments = b"".join(element(0x17, f"{moment:%y%m%d%H%M%SZ}".encode()) for moment in (first, last))
    head = element(0xA0, b"\2\1\2") + element(0x02, b"\1") + element(0x30, b"") + element(0x30, b"")
    return element(0x30, element(0x30, head + element(0x30, moments)) + element(0x30, b""))


def refused(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def failed(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused(10), "certificate expired"),
        (refused(9), "certificate not valid yet"),
        (refused(18, "self-signed certificate"), "certificate verify failed: self-signed certificate"),
        (refused(62, "Hostname mismatch."), "certificate verify failed: Hostname mismatch"),
        (ssl.SSLEOFError(8, "EOF"), "connection closed in the TLS handshake"),
        (failed("WRONG_VERSION_NUMBER"), "the port does not speak TLS"),
        (failed("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "the server wants a client certificate"),
        (failed("TLSV1_ALERT_UNKNOWN_CA"), "the server refuses the client certificate: unknown ca"),
        (failed("SSLV3_ALERT_HANDSHAKE_FAILURE"), "TLS failed: sslv3 alert handshake failure"),
        (ssl.SSLError(1, "something"), "TLS failed: protocol error"),
    ],
)
def test_each_failure_has_words(error: ssl.SSLError, told: str) -> None:
    assert words(error) == told


def test_only_a_certificate_outside_its_time_is_about_dates() -> None:
    assert [is_about_dates(refused(code)) for code in (9, 10, 18, 62)] == [True, True, False, False]
    assert not is_about_dates(failed("WRONG_VERSION_NUMBER"))


@pytest.mark.parametrize(
    ("code", "now", "told"),
    [
        (10, LAST, "certificate expired 2026-12-01"),
        (10, LAST + timedelta(days=400), "certificate expired 2026-12-01"),
        (9, FIRST - timedelta(seconds=1), "certificate not valid before 2026-09-01"),
        (10, FIRST, "certificate expired: not the server's own, but one that vouches for it"),
        (9, FIRST, "certificate not valid yet: not the server's own, but one that vouches for it"),
    ],
)
def test_a_refusal_because_of_the_time_names_the_date(code: int, now: datetime, told: str) -> None:
    assert dated(refused(code), certificate(), now.timestamp()) == told


@pytest.mark.parametrize("junk", [b"", b"\x30", certificate()[:40], element(0x30, b"x" * 300)])
def test_without_a_certificate_that_can_be_read_there_is_no_date(junk: bytes) -> None:
    assert dated(refused(10), junk, 0.0) == "certificate expired"
    assert notice(junk, 0.0) == ""


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=14), ""),
        (timedelta(days=14, seconds=-1), "certificate expires 2026-12-01 (in 13 days)"),
        (timedelta(days=8, hours=23), "certificate expires 2026-12-01 (in 8 days)"),
        (timedelta(days=1), "certificate expires 2026-12-01 (in 1 day)"),
        (timedelta(hours=23), "certificate expires 2026-12-01 (in less than a day)"),
        (timedelta(days=-1), "certificate expired 2026-12-01"),
        (timedelta(days=200), "certificate not valid before 2026-09-01"),
    ],
)
def test_a_notice_is_given_two_weeks_before_a_certificate_expires(left: timedelta, told: str) -> None:
    assert notice(certificate(), (LAST - left).timestamp()) == told


@given(st.binary(max_size=80), st.integers(0, 60), st.floats(0, 4e9))
def test_no_damaged_certificate_confuses_anybody(damage: bytes, position: int, now: float) -> None:
    sound = certificate()
    damaged = sound[:position] + damage + sound[position + len(damage) :]
    assert dated(refused(10), damaged, now).startswith("certificate ")
    assert isinstance(notice(damaged, now), str)
