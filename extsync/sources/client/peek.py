"""A second look at a certificate that was refused for its dates: until when was it valid? Python does not say."""

from __future__ import annotations

import asyncio

import aiohttp

from extsync.certificates import read_validity


class Peek(aiohttp.Fingerprint):
    """Fits no certificate, and keeps what it has seen: the connection ends before a request is sent.

    ``validity`` is from when until when the certificate is valid, or None where none was seen.
    """

    def __init__(self) -> None:
        super().__init__(bytes(32))
        self.validity: tuple[str, str] | None = None

    def check(self, transport: asyncio.Transport) -> None:
        """Called by aiohttp after the handshake; raises aiohttp.ServerFingerprintMismatch."""
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.validity = read_validity(certificate or b"")
        asyncio.get_running_loop().call_soon(transport.abort)  # aiohttp says farewell first, and waits for an answer
        raise aiohttp.ServerFingerprintMismatch(self.fingerprint, b"", "", 0)
