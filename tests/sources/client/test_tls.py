"""TLS contexts from real files, and the dates of certificates."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.certificates import read_validity
from extsync.config.client import ClientTLS
from extsync.errors import ReadFailed
from extsync.sources.client import tls
from extsync.sources.client.tls import TlsFiles
from extsync.sources.whole_file import read_file
from tests.health.certificates import Authority

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an authority (ca.pem) and two certificates with their keys (one, two)."""
    made = tmp_path_factory.mktemp("certificates")
    authority = Authority(made)
    for name in ("one", "two"):
        authority.issue(name)
    return made


def files(base_dir: Path, **keys: Any) -> TlsFiles:
    return TlsFiles(ClientTLS.model_validate(keys), base_dir)


def refusal(made: TlsFiles) -> str:
    with pytest.raises(ReadFailed) as refused:
        made.contexts()
    return str(refused.value)


def test_certificates_and_names_are_verified_unless_that_is_turned_off() -> None:
    for made in (TlsFiles(None, Path()), files(Path())):
        context = made.contexts().own
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.get_ca_certs() or ssl.get_default_verify_paths().cafile is None
        assert not made.has_files
    lax = files(Path(), insecureSkipVerify=True).contexts().own
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_an_authority_of_the_manifest_takes_the_place_of_the_systems(folder: Path) -> None:
    [trusted] = files(folder, caFile="ca.pem").contexts().own.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "ca"),),)


def test_a_bundle_may_have_comments_in_any_language(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("# Zertifikat für Prüfzwecke ✓\n" + (folder / "ca.pem").read_text())
    assert len(files(tmp_path, caFile="ca.pem").contexts().own.get_ca_certs()) == 1


def test_others_than_the_server_of_the_manifest_are_shown_no_client_certificate(folder: Path) -> None:
    assert len({id(context) for context in files(folder, caFile="ca.pem").contexts()}) == 1
    both = files(folder, caFile="ca.pem", certFile="one.pem", keyFile="one.key").contexts()
    assert both.own is not both.others


def test_a_context_is_made_again_when_a_file_says_something_else_and_only_then(folder: Path, tmp_path: Path) -> None:
    for name in ("ca.pem", "one.pem", "one.key", "two.pem", "two.key"):
        shutil.copy(folder / name, tmp_path)
    made = files(tmp_path, caFile="ca.pem", certFile="one.pem", keyFile="one.key")
    first = made.contexts()
    os.utime(tmp_path / "ca.pem")
    shutil.copy(folder / "one.key", tmp_path / "one.key")
    assert made.contexts() is first
    shutil.copy(folder / "two.pem", tmp_path / "one.pem")
    assert "the certificate is not that of the key" in refusal(made)
    shutil.copy(folder / "two.key", tmp_path / "one.key")
    assert made.contexts() is not first


def test_files_that_are_exchanged_while_they_are_read_are_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one.pem", "one.key"):
        shutil.copy(folder / name, tmp_path)
    made = files(tmp_path, insecureSkipVerify=True, certFile="one.pem", keyFile="one.key")
    looks = 0

    def rotating(path: Path, **options: Any) -> bytes:
        nonlocal looks
        looks += 1
        content = read_file(path, **options)
        if looks == 2:  # between the first look and the making
            for name in ("pem", "key"):
                shutil.copy(folder / f"two.{name}", tmp_path / f"one.{name}")
        return content

    monkeypatch.setattr(tls, "read_file", rotating)
    made.contexts()
    assert looks == 2 * 4  # twice before and twice after: what was made at last is what the files hold


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"caFile": "missing.pem"}, "missing.pem: there is no such file"),
        ({"caFile": "."}, "directory"),
        ({"caFile": "one.key"}, "one.key: holds no certificates in PEM form"),
        ({"caFile": "empty.pem"}, "empty.pem: holds no certificates in PEM form"),
        ({"caFile": "blank.pem"}, "blank.pem: holds no certificates in PEM form"),
        ({"caFile": "large.pem"}, "large.pem: is larger than 4 MiB"),
        ({"certFile": "one.pem", "keyFile": "missing.key"}, "missing.key: there is no such file"),
        ({"certFile": "one.pem", "keyFile": "two.key"}, "two.key: the certificate is not that of the key"),
        ({"certFile": "one.key", "keyFile": "one.pem"}, "hold no certificate and key in PEM form"),
        ({"certFile": "one.pem", "keyFile": "encrypted.key"}, "the key is encrypted, and nobody is here to type"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(folder: Path, keys: dict[str, str], told: str) -> None:
    (folder / "empty.pem").touch()
    (folder / "blank.pem").write_text("# ünfinished\n")
    with (folder / "large.pem").open("wb") as large:
        large.truncate(tls.MAX_PEM + 1)
    encrypt = ["openssl", "ec", "-in", "one.key", "-aes128", "-passout", "pass:x", "-out", "encrypted.key"]
    subprocess.run(encrypt, cwd=folder, check=True, capture_output=True)
    assert told in refusal(files(folder, **keys))


# ---- dates ---------------------------------------------------------------------------------------------------------


def test_the_dates_of_a_certificate_are_those_that_openssl_reads(folder: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert((folder / "one.pem").read_text())
    command = ["openssl", "x509", "-in", "one.pem", "-noout", "-dates", "-dateopt", "iso_8601"]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    first, last = (line.partition("=")[2].replace(" ", "T") for line in told.splitlines())
    assert read_validity(der) == (first, last)


def test_dates_beyond_2049_are_read_too(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "36500", "-subj", "/CN=a", "-keyout", "a.key", "-out", "a.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    validity = read_validity(ssl.PEM_cert_to_DER_cert((tmp_path / "a.pem").read_text()))
    assert validity is not None
    assert int(validity[1][:4]) - int(validity[0][:4]) in (99, 100)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda junk: b"\x30\x82\x00\x40\x30\x3c" + junk))
def test_what_is_no_certificate_has_no_dates(junk: bytes) -> None:
    assert read_validity(junk) is None
