"""Which environment variables a manifest may name, whoever wrote it.

``${NAME}`` in a manifest takes a secret from the environment of this process and sends it to the server that the
manifest names. But the environment has more in it than was put there for that: what logs this machine in at its cloud,
or a pipeline at its forge. Where ``manifestVariables`` of the settings says which variables are for manifests, no other
is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

LOGINS: Final = (
    "ACTIONS_*", "ALIBABA_CLOUD_*", "ALICLOUD_*", "ARM_*", "AWS_*", "AZURE_*", "BITBUCKET_*", "BUILDKITE_*", "CARGO_*",
    "CI_*", "CIRCLE_*", "CLOUDSDK_*", "DIGITALOCEAN_*", "DOCKER_*", "GH_*", "GITHUB_*", "GITLAB_*", "GOOGLE_*",
    "HCLOUD_*", "IDENTITY_*", "KUBE*", "LINODE_*", "MSI_*", "NPM_*", "OCI_*", "OS_*", "PIP_*", "SSH_*", "SYSTEM_*",
    "TWINE_*", "UV_*", "VAULT_*",
)  # fmt: skip
"""Where clouds, forges, registries and their tools have the credentials of a machine or of a pipeline."""


class DeniedVariable(KeyError):
    """An environment variable that manifests may not name; ``reason`` says why, and the cure."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Variables:
    """The variables that manifests may name, as names and patterns with ``*``; none: all but ``LOGINS``."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.allowed = tuple(allowed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variables) and self.allowed == other.allowed

    def __hash__(self) -> int:
        return hash(self.allowed)

    def __repr__(self) -> str:
        return f"Variables({self.allowed!r})"

    def denied(self, name: str) -> str:
        """Why a manifest may not name this variable, and the cure; "" where it may."""
        if self.allowed:
            if any(fnmatchcase(name, pattern) for pattern in self.allowed):
                return ""
            return (
                f"the environment variable {name} is none that manifests may name: take one of manifestVariables "
                f"({', '.join(self.allowed)}), or add it there"
            )
        for pattern in LOGINS:
            if fnmatchcase(name, pattern):
                return (
                    f"the environment variable {name} may be a login of this machine, as those of {pattern} are: "
                    "put the secret into a variable of another name, or name this one in manifestVariables"
                )
        return ""

    def within(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Those of ``environ`` that manifests may name, as they are whenever they are looked up."""
        return _Allowed(self, environ)


class _Allowed(Mapping[str, str]):
    def __init__(self, variables: Variables, environ: Mapping[str, str]) -> None:
        self._variables = variables
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        """Raises DeniedVariable, and KeyError where the variable is not set."""
        if reason := self._variables.denied(name):
            raise DeniedVariable(reason)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._environ if not self._variables.denied(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)
