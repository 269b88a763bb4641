"""An authority for client certificates, with lifetimes to the second, by openssl."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

_CONFIG = """\
[ca]
default_ca = own
[own]
database = {0}/index.txt
serial = {0}/serial
new_certs_dir = {0}
certificate = {0}/ca.crt
private_key = {0}/ca.key
default_md = sha256
unique_subject = no
policy = names
[names]
commonName = supplied
organizationName = optional
[req]
distinguished_name = empty
[empty]
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Issues certificates that an API server with ``certificate`` as its ``--client-ca-file`` believes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.certificate = directory / "ca.crt"
        self._directory = directory
        self._config = directory / "openssl.cnf"
        self._config.write_text(_CONFIG.format(directory))
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1000\n")
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "30", "-subj", "/CN=clients"),
            *("-keyout", str(directory / "ca.key"), "-out", str(self.certificate)),
        )

    def issue(self, user: str, *, seconds: float) -> tuple[str, str]:
        """A certificate of ``user`` for so many seconds from now, and its key, as PEM texts."""
        request, key, certificate = (self._directory / f"{user}.{end}" for end in ("csr", "key", "crt"))
        _openssl(
            *("req", "-new", *_NEW_KEY, "-config", str(self._config), "-subj", f"/CN={user}"),
            *("-keyout", str(key), "-out", str(request)),
        )
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        _openssl(
            *("ca", "-batch", "-notext", "-config", str(self._config), "-in", str(request), "-out", str(certificate)),
            *("-startdate", "20200101000000Z", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"),
        )
        return certificate.read_text(), key.read_text()


def server_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1, and its key."""
    certificate, key = directory / "server.crt", directory / "server.key"
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", "30", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], capture_output=True, timeout=30, check=True)
