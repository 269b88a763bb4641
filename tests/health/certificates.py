"""Certificates for tests, made by the ``openssl`` command: a CA, and what it has and has not signed."""

from __future__ import annotations

import ssl
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

Certificate: TypeAlias = tuple[Path, Path]
"""A certificate and its key."""

_CA = """\
[ca]
default_ca = here
[here]
database = {name}.index
policy = anything
copy_extensions = copyall
unique_subject = no
rand_serial = yes
[anything]
commonName = supplied
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "ca", *, span: tuple[datetime, datetime] | None = None) -> None:
        """``span`` is when its own certificate is valid (UTC), by default for a month from now."""
        self._folder = folder
        self._name = name
        if span is None:
            self._openssl(
                *("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
            )
        else:
            self._request(name, "basicConstraints=critical,CA:TRUE")
            self._sign(name, *span, "-selfsign", "-keyfile", f"{name}.key")

    @property
    def certificate(self) -> Path:
        return self._folder / f"{self._name}.pem"

    def issue(self, name: str, *, names: str = "IP:127.0.0.1", days: int = 30) -> Certificate:
        """A certificate for ``names`` and its key; with ``days=0`` it has expired when this returns."""
        self._request(name, f"subjectAltName={names}")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self._name}.pem", "-CAkey", f"{self._name}.key"),
            *("-copy_extensions", "copyall", "-days", str(days), "-out", f"{name}.pem"),
        )
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def issue_for(self, name: str, first: datetime, last: datetime) -> Certificate:
        """A certificate for 127.0.0.1 and its key, valid from ``first`` to ``last`` (UTC)."""
        self._request(name, "subjectAltName=IP:127.0.0.1")
        return self._sign(name, first, last, "-cert", f"{self._name}.pem", "-keyfile", f"{self._name}.key")

    def _request(self, name: str, extension: str) -> None:
        self._openssl(
            *("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"),
            *("-addext", extension),
        )

    def _sign(self, name: str, first: datetime, last: datetime, *by: str) -> Certificate:
        settings = self._folder / f"{name}.cnf"
        settings.write_text(_CA.format(name=name))
        (self._folder / f"{name}.index").touch()
        self._openssl(
            *("ca", "-batch", "-config", settings.name, "-in", f"{name}.csr", "-out", f"{name}.pem", *by),
            *("-startdate", f"{first:%Y%m%d%H%M%SZ}", "-enddate", f"{last:%Y%m%d%H%M%SZ}"),
            *("-notext", "-md", "sha256", "-outdir", "."),
        )
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


def server_context(certificate: tuple[Path, Path], *, clients: Path | None = None) -> ssl.SSLContext:
    """What a server needs to present ``certificate``; ``clients`` is the CA of the clients that it lets in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context
