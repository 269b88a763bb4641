"""Which kubeconfig and which context: kubectl's rules, without its silence.

Files: ``--kubeconfig``, else the list in ``$KUBECONFIG``, else ``~/.kube/config``. Of several files the first one that
has an entry or a current-context wins, and relative paths are relative to the file that has them
(https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/). Where kubectl goes on with
what is left when a file or a context is missing, this raises a ConfigError that says what there is instead.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from extsync.errors import ConfigError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Extension(msgspec.Struct):
    name: str
    extension: Any = None


class Cluster(msgspec.Struct, rename="kebab", kw_only=True, omit_defaults=True):
    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    extensions: tuple[Extension, ...] | None = None


class User(msgspec.Struct, rename="kebab", kw_only=True, omit_defaults=True):
    """How to authenticate. It holds secrets, so its repr shows nothing."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    as_: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: tuple[str, ...] | None = None
    as_user_extra: dict[str, tuple[str, ...]] | None = None
    auth_provider: dict[str, Any] | None = None
    exec: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return "User(...)"


class Context(msgspec.Struct, rename="kebab", kw_only=True):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: User


class _NamedContext(msgspec.Struct):
    name: str
    context: Context


class _File(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """One context with the cluster and the user that it names; all paths in it are absolute.

    ``base`` is the directory of the file that has the user. ``place`` names context and files for messages.
    """

    cluster: Cluster
    user: User
    namespace: str
    base: Path
    place: str


def find(explicit: str | None, *, environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """The kubeconfig files to read, in order; none where nothing is named and there is no ``~/.kube/config``.

    Raises ConfigError where what is named does not exist.
    """
    if explicit:
        path = Path(explicit).absolute()
        if not path.exists():
            raise ConfigError(f"kubeconfig {path} (--kubeconfig) does not exist; give the path of an existing file")
        return (path,)
    if listed := environ.get("KUBECONFIG"):
        named = tuple(dict.fromkeys(Path(entry).absolute() for entry in listed.split(os.pathsep) if entry))
        existing = tuple(path for path in named if path.exists())
        if not existing:
            raise ConfigError(f"no file that $KUBECONFIG names exists ({listed}); correct the variable or unset it")
        return existing
    default = home / ".kube" / "config"
    return (default,) if default.exists() else ()


def select(paths: Sequence[Path], context: str | None) -> Selected:
    """Reads ``paths`` and picks ``context``, or the current one where it is None.

    Raises ConfigError where a file is unusable or the context, its cluster or its user does not exist.
    """
    files = [(path, _read(path)) for path in paths]
    place = ", ".join(str(path) for path in paths)
    contexts = _first_wins((named.name, named.context) for _, file in files for named in file.contexts or ())
    name = context or next((file.current_context for _, file in files if file.current_context), None)
    if name is None:
        raise ConfigError(f"{place} has no current-context; choose one with --context: {_names(contexts)}")
    chosen = contexts.get(name)
    if chosen is None:
        asked = "--context" if context else "current-context"
        raise ConfigError(f"{place} has no context {name!r} ({asked}){_hint(name, contexts)}; {_names(contexts)}")
    clusters = _first_wins(
        (named.name, _absolute_cluster(named.cluster, path.parent))
        for path, file in files
        for named in file.clusters or ()
    )
    users = _first_wins((named.name, (path.parent, named.user)) for path, file in files for named in file.users or ())
    where = f"context {name!r} of {place}"
    if chosen.cluster not in clusters:
        raise ConfigError(f"{where} names the cluster {chosen.cluster!r}, which is not there; add it to clusters")
    if chosen.user and chosen.user not in users:
        raise ConfigError(f"{where} names the user {chosen.user!r}, who is not there; add the user to users")
    base, user = users.get(chosen.user, (paths[0].parent, User()))
    return Selected(
        cluster=clusters[chosen.cluster],
        user=_absolute_user(user, base),
        namespace=chosen.namespace or "default",
        base=base,
        place=where,
    )


def _read(path: Path) -> _File:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"kubeconfig {path} cannot be read: {reason}") from error
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        # Not the parser's own words: they quote the file, which has secrets in it.
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: the kubeconfig is not valid YAML; compare with `kubectl config view`") from None
    try:
        return msgspec.convert({} if content is None else content, _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: not a kubeconfig: {error}") from error


def _first_wins(entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, entry in entries:
        merged.setdefault(name, entry)
    return merged


def _names(contexts: Mapping[str, object]) -> str:
    return f"contexts there: {', '.join(sorted(contexts))}" if contexts else "there are no contexts in it"


def _hint(name: str, contexts: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, contexts, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _absolute(path: str | None, base: Path) -> str | None:
    return str(base / path) if path else None


def _absolute_cluster(cluster: Cluster, base: Path) -> Cluster:
    authority = _absolute(cluster.certificate_authority, base)
    return msgspec.structs.replace(cluster, certificate_authority=authority)


def _absolute_user(user: User, base: Path) -> User:
    return msgspec.structs.replace(
        user,
        client_certificate=_absolute(user.client_certificate, base),
        client_key=_absolute(user.client_key, base),
        token_file=_absolute(user.token_file, base),
    )
