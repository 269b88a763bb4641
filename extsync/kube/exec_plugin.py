"""Credentials from a command, as kubeconfigs of cloud providers name one (``users[].user.exec``).

The protocol is client-go's (https://kubernetes.io/docs/reference/access-authn-authz/authentication/
#client-go-credential-plugins). kubernetes-asyncio's own runner waits without a deadline, leaves the command running
when its caller gives up, asks it anew for each request where it names no expiry and does not tell it the cluster;
hence this one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from extsync.decoding import decoded
from extsync.errors import ConfigError

_SAID_LIMIT = 500


class _Variable(msgspec.Struct):
    name: str
    value: str


class ExecConfig(msgspec.Struct, rename="camel", kw_only=True):
    """The ``exec`` block of a kubeconfig."""

    command: str
    api_version: str
    args: tuple[str, ...] | None = None
    env: tuple[_Variable, ...] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False


class Issued(msgspec.Struct, rename="camel", kw_only=True):
    """What a plugin gave: a token, a client certificate with its key, or both. It shows none of them in its repr."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None

    def __repr__(self) -> str:
        return "Issued(...)"

    @property
    def expires(self) -> float | None:
        """Seconds since 1970, or None: good until the server refuses it."""
        when = self.expiration_timestamp
        if when is None:
            return None
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


class _Answer(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    status: Issued


class ExecPlugin:
    """A command that issues credentials. ``cluster`` is what it may be told of the cluster."""

    def __init__(
        self, block: Mapping[str, Any], *, base: Path, cluster: Mapping[str, Any], environ: Mapping[str, str]
    ) -> None:
        try:
            self._config = msgspec.convert(block, ExecConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(f"the exec block is wrong: {error}") from error
        command = self._config.command
        # With a slash it is relative to the kubeconfig; a bare name is looked up in PATH.
        self._command = str(base / command) if os.sep in command else command
        self._environ = {
            **environ,
            **{variable.name: variable.value for variable in self._config.env or ()},
            "KUBERNETES_EXEC_INFO": self._info(cluster).decode(),
        }

    def __str__(self) -> str:
        return f"exec plugin {self._config.command!r}"

    async def issue(self) -> Issued:
        """Runs the command and returns what it issued. Cancelled, it kills the command.

        Raises ConfigError where the command is missing, fails or answers with something else.
        """
        program = shutil.which(self._command, path=self._environ.get("PATH"))
        if program is None:
            hint = f": {self._config.install_hint.strip()}" if self._config.install_hint else ""
            raise ConfigError(f"{self} is not installed or not in PATH{hint}")
        output = await self._run(program)
        try:
            answer: _Answer = decoded(output, _Answer)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{self} did not answer with an ExecCredential: {error}") from error
        if answer.kind != "ExecCredential" or answer.api_version != self._config.api_version:
            raise ConfigError(f"{self} answered with another apiVersion or kind than {self._config.api_version}")
        issued = answer.status
        if not issued.token and not (issued.client_certificate_data and issued.client_key_data):
            raise ConfigError(f"{self} issued neither a token nor a client certificate with its key")
        return issued

    async def _run(self, program: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            program,
            *(self._config.args or ()),
            env=self._environ,
            # On a terminal it may ask for a password, or say where to log in.
            stdin=None if _on_terminal() else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=None if _on_terminal() else asyncio.subprocess.PIPE,
        )
        try:
            output, said = await process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            words = " ".join((said or b"").decode(errors="replace").split())[:_SAID_LIMIT]
            raise ConfigError(f"{self} failed with status {process.returncode}{words and f': {words}'}")
        return output

    def _info(self, cluster: Mapping[str, Any]) -> bytes:
        spec: dict[str, Any] = {"interactive": _on_terminal()}
        if self._config.provide_cluster_info:
            spec["cluster"] = cluster
        return msgspec.json.encode({"apiVersion": self._config.api_version, "kind": "ExecCredential", "spec": spec})


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
