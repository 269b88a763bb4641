"""The objects of the in-memory store and what an API server does to them. All of it is synchronous.

Like etcd it keeps the encoded JSON of each object; requests work on decoded copies, so nobody can change an object but
through a request. One counter gives every change its resourceVersion.
"""

from __future__ import annotations

import functools
import itertools
import uuid
from datetime import UTC, datetime

import msgspec

from extsync.errors import AlreadyExists, Conflict, Invalid, NotFound, Unavailable
from extsync.kube import codec
from extsync.kube.memory import apply, formats, service
from extsync.kube.memory.allocation import Allocator, allocate
from extsync.kube.memory.history import Change, History, State
from extsync.kube.memory.metadata import (
    GENERATED_PREFIX_LIMIT,
    OMITTED_IF_EMPTY,
    Json,
    clean,
    drop_empty,
    new_metadata,
    updated_metadata,
    validate_finalizers_update,
    validate_metadata,
)
from extsync.kube.memory.problems import Problems
from extsync.kube.memory.records import Backup, Key, Namespaces, Record
from extsync.kube.memory.rules import Rules, rules_of, same
from extsync.kube.memory.schema import check_applied
from extsync.kube.memory.selectors import Selector
from extsync.kube.store import WatchType
from extsync.objects import Endpoints, KubeObject, Service
from extsync.seams import Clock, Random

FIRST_VERSION = 100
"""The resourceVersion of an empty store; those before it count as too old, as they would with a real server."""

_NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
_NAME_ATTEMPTS = 8


class Server:
    """An API server and its etcd. Raises the errors that a client of a real one is shown."""

    def __init__(self, *, clock: Clock, random: Random, history: int, history_bytes: int) -> None:
        self._clock = clock
        self._random = random
        self._objects: dict[type[KubeObject], dict[Key, Record]] = {}
        self.namespaces = Namespaces()
        self._allocator = Allocator(random=random)
        self.version = FIRST_VERSION
        self.history = History(start=FIRST_VERSION, limit=history, size_limit=history_bytes)

    # ---- Reading ----------------------------------------------------------------------------------------------------

    def records(self, kind: type[KubeObject], namespace: str | None, selector: Selector) -> list[Record]:
        """The objects of a kind, ordered by namespace and name as etcd orders them."""
        return [
            record
            for key, record in sorted(self._objects.get(kind, {}).items(), key=lambda item: item[0])
            if namespace in (None, key[0]) and selector(record.labels)
        ]

    def find(self, kind: type[KubeObject], namespace: str, name: str) -> Record | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def get(self, kind: type[KubeObject], namespace: str, name: str) -> Record:
        record = self.find(kind, namespace, name)
        if record is None:
            raise NotFound(f'{kind.PLURAL} "{name}" not found')
        return record

    # ---- Writing ----------------------------------------------------------------------------------------------------

    def create(
        self,
        kind: type[KubeObject],
        given: bytes,
        *,
        manager: str,
        applied: bool = False,
        dry_run: bool = False,
    ) -> Record:
        """``applied`` says that ``manager`` owns exactly the given fields, instead of all that came of them."""
        body = _read(kind, given)
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        self.namespaces.admit(kind, namespace)
        _check_integers(body)
        if metadata.get("resourceVersion"):
            raise Unavailable("resourceVersion should not be set on objects to be created")  # a 500
        generated = not metadata.get("name") and metadata.get("generateName")
        body["metadata"] = new_metadata(metadata, uid=self._uid(), created=self._now())
        if generated:
            body["metadata"]["name"] = self._generated_name(kind, namespace, generated)
        rules = rules_of_kind(kind)
        rules.default(body)
        if kind is Service:
            owners = _apply_owners(given, manager) if applied else apply.after_update(None, body, manager, {})
            allocate(body, None, self._allocator)
        else:
            owners = {}
        if rules.counts_generations:
            body["metadata"]["generation"] = 1
        self._validate(kind, body, None)
        if kind is Service:
            service.normalise(body)
        name = body["metadata"]["name"]
        if self.find(kind, namespace, name) is not None:
            raise AlreadyExists(f'{kind.PLURAL} "{name}" already exists')
        return self._store(kind, body, None, owners, WatchType.ADDED, dry_run=dry_run)

    def update(self, kind: type[KubeObject], given: bytes, *, manager: str) -> Record:
        """A PUT: uid and resourceVersion are preconditions where they are given."""
        body = _read(kind, given)
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        record = self.find(kind, namespace, name)
        if record is None:
            return self._put_missing(kind, body, manager)
        stored = record.body()
        _check_preconditions(record, metadata.get("uid"), metadata.get("resourceVersion"))
        _check_integers(body)
        drop_empty(metadata, *OMITTED_IF_EMPTY)
        rules_of_kind(kind).default(body)
        owners = apply.after_update(stored, body, manager, record.owners) if kind is Service else {}
        return self._replace(record, stored, body, owners)

    def apply_service(self, given: bytes, *, manager: str, dry_run: bool) -> Record:
        """A server-side apply, not forced."""
        applied = _read(Service, given)
        check_applied(applied)
        metadata = applied["metadata"]
        record = self.find(Service, metadata.get("namespace", ""), metadata.get("name", ""))
        if record is None:
            if metadata.get("uid") or metadata.get("resourceVersion"):
                raise Conflict(f'services "{metadata["name"]}": uid or resourceVersion given, and there is no object')
            return self.create(Service, given, manager=manager, applied=True, dry_run=dry_run)
        stored = record.body()
        if metadata.get("resourceVersion") not in (None, record.metadata["resourceVersion"]):
            raise Conflict(f'services "{metadata["name"]}": the object has been modified')
        if metadata.get("uid") not in (None, record.metadata["uid"]):
            raise Invalid("metadata.uid: field is immutable", (("metadata.uid", "field is immutable"),))
        who = (manager, "Apply")
        if conflict := apply.conflicts(stored, applied, who, record.owners):
            raise conflict
        body = apply.merge(stored, applied, who, record.owners)
        _check_integers(body)
        owners = apply.after_apply(stored, applied, body, who, record.owners)
        rules_of_kind(Service).default(body)
        return self._replace(record, stored, body, owners, dry_run=dry_run)

    def delete(
        self, kind: type[KubeObject], namespace: str, name: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """Deletes in the background, as the API does without a propagation policy; finalizers are waited for."""
        record = self.get(kind, namespace, name)
        _check_preconditions(record, uid, version)
        if not record.metadata.get("finalizers"):
            self._remove(record)
        elif "deletionTimestamp" not in record.metadata:
            body = record.body()
            metadata = body["metadata"]
            metadata |= {"deletionTimestamp": self._now(), "deletionGracePeriodSeconds": 0}
            if "generation" in metadata:
                metadata["generation"] += 1
            self._store(kind, body, record, record.owners, WatchType.MODIFIED)

    def _put_missing(self, kind: type[KubeObject], given: Json, manager: str) -> Record:
        metadata = given["metadata"]
        if not rules_of_kind(kind).put_creates:
            raise NotFound(f'{kind.PLURAL} "{metadata.get("name")}" not found')
        if metadata.get("uid"):
            raise Conflict(f'{kind.PLURAL} "{metadata.get("name")}": uid given, and there is no object')
        metadata.pop("resourceVersion", None)
        return self.create(kind, msgspec.json.encode(given), manager=manager)

    def _replace(
        self, record: Record, stored: Json, body: Json, owners: apply.Owners, *, dry_run: bool = False
    ) -> Record:
        kind = record.kind
        body["metadata"] = updated_metadata(body["metadata"], stored["metadata"])
        if kind is Service:
            allocate(body, stored, self._allocator)
        if rules_of_kind(kind).counts_generations and _content_changed(body, stored):
            body["metadata"]["generation"] += 1
        self._validate(kind, body, stored)
        if kind is Service:
            service.normalise(body)
        body["metadata"]["resourceVersion"] = record.metadata["resourceVersion"]
        if "deletionTimestamp" in stored["metadata"] and not body["metadata"].get("finalizers"):
            if not dry_run:
                self._remove(record)
            return Record(kind, body, owners)
        if body == stored and owners == record.owners:
            return record  # a write that changes nothing is none: no version, no event
        return self._store(kind, body, record, owners, WatchType.MODIFIED, dry_run=dry_run)

    def _store(
        self,
        kind: type[KubeObject],
        body: Json,
        old: Record | None,
        owners: apply.Owners,
        change: WatchType,
        *,
        dry_run: bool = False,
    ) -> Record:
        if dry_run:
            return Record(kind, body, owners)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        record = Record(kind, body, owners)
        self._objects.setdefault(kind, {})[record.key] = record
        if kind is Service:
            self._allocator.replace(None if old is None else old.body(), body)
        before = None if old is None else old.state
        self.history.append(Change(kind, change, self.version, record.key[0], record.state, before))
        return record

    def _remove(self, record: Record) -> None:
        namespace, name = record.key
        del self._objects[record.kind][record.key]
        self.version += 1
        body = record.body()
        body["metadata"]["resourceVersion"] = str(self.version)
        gone = State(msgspec.json.encode(body), record.labels)
        self.history.append(Change(record.kind, WatchType.DELETED, self.version, namespace, gone, record.state))
        if record.kind is Service:
            self._allocator.replace(body, None)
            endpoints = self.find(Endpoints, namespace, name)
            if endpoints is not None:  # the API server itself does this, in the request that deletes the Service
                self.delete(Endpoints, namespace, name)

    # ---- Backups ----------------------------------------------------------------------------------------------------

    def backup(self) -> Backup:
        """All objects as they are now."""
        return Backup(self.version, {kind: dict(records) for kind, records in self._objects.items()})

    def restore(self, backup: Backup) -> None:
        """Goes back to ``backup``, with its version: what was written since is gone, and all watches break."""
        services = self._objects.get(Service, {})
        self._objects = {kind: dict(records) for kind, records in backup.objects.items()}
        restored = self._objects.get(Service, {})
        for key in {**services, **restored}:
            before, after = services.get(key), restored.get(key)
            self._allocator.replace(None if before is None else before.body(), None if after is None else after.body())
        self.version = backup.version
        self.history.restart(backup.version)

    # ---- Parts of requests ------------------------------------------------------------------------------------------

    def _validate(self, kind: type[KubeObject], body: Json, stored: Json | None) -> None:
        problems = Problems()
        validate_metadata(kind, body["metadata"], problems)
        if stored is not None:
            validate_finalizers_update(body["metadata"], stored["metadata"], problems)
        rules_of_kind(kind).validate(body, stored, problems)
        problems.raise_if_any(f'{kind.__name__} "{body["metadata"].get("name", "")}"')

    def _generated_name(self, kind: type[KubeObject], namespace: str, prefix: str) -> str:
        name = ""
        for _ in range(_NAME_ATTEMPTS):
            suffix = "".join(_NAME_CHARACTERS[int(self._random.random() * len(_NAME_CHARACTERS))] for _ in range(5))
            name = prefix[:GENERATED_PREFIX_LIMIT] + suffix
            if self.find(kind, namespace, name) is None:
                break
        return name

    def _uid(self) -> str:
        bits = 0
        for _ in range(4):
            bits = bits << 32 | int(self._random.random() * (1 << 32))
        return str(uuid.UUID(int=bits, version=4))

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def rules_of_kind(kind: type[KubeObject]) -> Rules:
    """The rules of every kind, Services included."""
    if kind is Service:
        return Rules(service.default_service, service.validate_service)
    return rules_of(kind)


def _read(kind: type[KubeObject], given: bytes) -> Json:
    """The object of a request; raises Invalid for what is not one of that kind."""
    try:
        codec.decode(kind, given)
    except msgspec.DecodeError as error:
        raise Invalid(f"the object cannot be read as {kind.__name__}: {error}") from error
    body: Json = clean(msgspec.json.decode(given))
    return body | {"apiVersion": kind.API_VERSION, "kind": kind.__name__}


def _check_integers(body: Json) -> None:
    """Raises Invalid for a port that is no 32-bit integer, which no other check may find."""
    parts: list[Json] = [body, body.get("spec", {}), *(body.get("subsets") or ())]
    for port in itertools.chain.from_iterable(part.get("ports") or () for part in parts):
        if port.get("port", 0) not in formats.INT32:
            raise Invalid(f"the object cannot be read: {port['port']} is no 32-bit integer")


def _apply_owners(given: bytes, manager: str) -> apply.Owners:
    applied = _read(Service, given)
    return apply.after_apply({}, applied, applied, (manager, "Apply"), {})


def _check_preconditions(record: Record, uid: str | None, version: str | None) -> None:
    metadata = record.metadata
    what = f'{record.kind.PLURAL} "{metadata["name"]}"'
    if uid not in (None, "", metadata["uid"]):
        raise Conflict(f"{what}: the UID in the precondition ({uid}) does not match the UID in record")
    if version not in (None, "", metadata["resourceVersion"]):
        raise Conflict(f"{what}: the object has been modified; please apply your changes to the latest version")


def _content_changed(body: Json, stored: Json) -> bool:
    labels = body["metadata"].get("labels"), stored["metadata"].get("labels")
    return {**body, "metadata": None} != {**stored, "metadata": None} or not same(*labels)
