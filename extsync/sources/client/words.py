"""Failures of the network and of TLS in words that say what helps."""

from __future__ import annotations

import os
import re
import ssl
from typing import Final

import aiohttp

from extsync.config.faults import shown

# Codes of OpenSSL's certificate verification (x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME: Final = frozenset({62, 64})

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
_NO_CLIENT_CERTIFICATE: Final = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
_CLIENT_CERTIFICATE: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
    }
)
_LONGEST: Final = 120


def in_words(error: Exception, *, where: str, stage: str, tls: bool) -> str:
    """Why a request came to nothing. ``where`` says with whom it spoke, ``stage`` what was under way."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError):
        return _tls_reason(cause, where)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refusal(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, cause, where, tls)
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"{where} broke off the connection while {stage}"
    if isinstance(error, aiohttp.ClientResponseError):
        return _no_http(error.message, where)
    hint = (
        "if it wants a client certificate, set certFile and keyFile in tlsConfig"
        if tls
        else "if it speaks TLS, begin the URL with https://"
    )
    told = f" ({_system_words(cause)})" if isinstance(cause, OSError) else ""
    return f"{where} closed the connection without an answer{told}: {hint}"


def is_about_dates(error: aiohttp.ClientConnectorCertificateError) -> bool:
    """Whether a certificate was refused because of the time."""
    return getattr(error.certificate_error, "verify_code", 0) in (_EXPIRED, _NOT_YET_VALID)


def certificate_reason(
    error: aiohttp.ClientConnectorCertificateError, where: str, validity: tuple[str, str] | None, now: str
) -> str:
    """Why a certificate was refused; ``validity`` are the ends of its time, where known, in the form of ``now``."""
    refused = error.certificate_error
    code = getattr(refused, "verify_code", 0)
    message = str(getattr(refused, "verify_message", "") or refused).rstrip(".")
    if code == _EXPIRED:
        if validity is not None and validity[1] <= now:
            return f"the certificate of {where} expired at {validity[1]}: it has to be renewed there"
        return f"a certificate in the chain of {where} has expired: it has to be renewed there"
    if code == _NOT_YET_VALID:
        since = f" before {validity[0]}" if validity is not None and validity[0] > now else " yet"
        return f"the certificate of {where} is not valid{since}: is the clock of one side wrong?"
    if code in _UNTRUSTED:
        return (
            f"the certificate of {where} is of an authority that is not trusted ({message}): "
            "name the authority's certificate in tlsConfig.caFile"
        )
    if code in _WRONG_NAME:
        return (
            f"the certificate of {where} is for another name ({message}): "
            "ask by a name that it has, or set tlsConfig.serverName to one"
        )
    return f"the certificate of {where} is refused: {message}"


def _tls_reason(error: ssl.SSLError, where: str) -> str:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return f"{where} does not speak TLS: if plain HTTP is meant, begin the URL with http://"
    said = reason.lower().replace("_", " ") or "protocol error"
    if reason in _NO_CLIENT_CERTIFICATE:
        return f"{where} wants a client certificate: set certFile and keyFile in tlsConfig"
    if reason in _CLIENT_CERTIFICATE:
        return f"{where} refuses the client certificate ({said}): set another in tlsConfig"
    if reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        return f"{where} refuses TLS ({said}): if it wants a client certificate, set certFile and keyFile in tlsConfig"
    return f"TLS with {where} failed ({said})"


def _proxy_refusal(error: aiohttp.ClientHttpProxyError) -> str:
    if error.status == 407:
        return PROXY_AUTHENTICATION
    return f"the proxy refuses to connect (status {error.status} {shown(error.message)}): check its rules and proxyUrl"


PROXY_AUTHENTICATION: Final = (
    "the proxy wants other credentials (status 407): proxyUrl takes them as http://user:password@host:port"
)


def _no_connection(error: aiohttp.ClientConnectorError, cause: BaseException, where: str, tls: bool) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {shown(error.host)} cannot be resolved ({_system_words(cause)}): is it spelt right?"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy {error.host}:{error.port} cannot be reached ({_system_words(cause)}): check proxyUrl"
    if tls and isinstance(cause, ConnectionResetError):
        return f"{where} closed the connection in the TLS handshake: does it speak TLS?"
    hint = ": does the server run, and on this port?" if isinstance(cause, ConnectionRefusedError) else ""
    return f"cannot connect to {where} ({_system_words(cause)}){hint}"


def _no_http(message: str, where: str) -> str:
    if "b'\\x15\\x03" in message:  # the beginning of a TLS alert
        return f"{where} speaks TLS: begin the URL with https://"
    # Not what it said instead: that may be our own request, with its secrets, as an echo.
    text = " ".join(re.split(r"\bb['\"]", message)[0].split()).rstrip(":")
    return f"{where} does not speak proper HTTP ({text if len(text) <= _LONGEST else text[:_LONGEST] + '...'})"


def _cause(error: BaseException) -> BaseException:
    """What the operating system or OpenSSL said."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error.__cause__ if isinstance(error.__cause__, OSError) else error


def _system_words(error: BaseException) -> str:
    if isinstance(error, OSError):
        if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno).lower()
        if error.strerror:
            return error.strerror.lower()
        if isinstance(error, ConnectionResetError):
            return "connection reset"
    return type(error).__name__
