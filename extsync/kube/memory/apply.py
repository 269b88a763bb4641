"""Server-side apply of Services: who owns which field, merging, conflicts and the removal of what is no longer applied.

The rules are those of Kubernetes's structured-merge-diff for the schema of a Service: maps are merged by key, the
list of ports by port and protocol, and the items of the latter field by field; owner references and finalizers are
items as a whole; every other list, and the selector, is one value. A field is a path of keys; the item of a list has a
key in brackets and a field "." of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from extsync.errors import FieldConflict
from extsync.kube.memory.metadata import Json

Path: TypeAlias = tuple[str, ...]
Manager: TypeAlias = tuple[str, str]
"""Name and operation: "Apply" or "Update"."""
Owners: TypeAlias = dict[Manager, frozenset[Path]]

ITEM = "."

_ITEM_KEYS: dict[Path, Callable[[Any], str]] = {
    ("spec", "ports"): lambda port: f'[port={port["port"]},protocol="{port.get("protocol", "TCP")}"]',
    ("metadata", "ownerReferences"): lambda owner: f'[uid="{owner["uid"]}"]',
    ("metadata", "finalizers"): lambda name: f'["{name}"]',
}
_MERGED_ITEMS = {("spec", "ports")}
_ATOMIC_MAPS = {("spec", "selector")}
# No manager owns these, whatever it sends: the server's own, and what names the object.
_UNOWNED = {
    ("apiVersion",), ("kind",), ("status",),
    *(("metadata", name) for name in (
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
        "deletionGracePeriodSeconds", "selfLink", "managedFields",
    )),
}  # fmt: skip


def fields_of(obj: Json) -> dict[Path, Any]:
    """Every field of ``obj`` that a manager can own, with its value."""
    found: dict[Path, Any] = {}
    _collect(obj, (), found)
    return found


def _collect(value: Any, path: Path, found: dict[Path, Any]) -> None:
    if path in _UNOWNED:
        return
    if isinstance(value, dict) and value and path not in _ATOMIC_MAPS:
        for name, inner in value.items():
            _collect(inner, (*path, name), found)
    elif path in _ITEM_KEYS:
        for item in value:
            inner_path = (*path, _ITEM_KEYS[path](item))
            atomic = path not in _MERGED_ITEMS
            found[(*inner_path, ITEM)] = item if atomic else None
            if not atomic:
                _collect(item, inner_path, found)
    else:
        found[path] = value


def conflicts(live: Json, applied: Json, manager: Manager, owners: Owners) -> FieldConflict | None:
    """The error of an apply that would change fields of other managers."""
    changed = _changed(fields_of(live), fields_of(applied))
    found = [
        (other[0], "." + ".".join(path).replace(".[", "["))
        for other, owned in owners.items()
        if other != manager
        for path in sorted(owned & changed)
    ]
    if not found:
        return None
    listed = ", ".join(f"{field} (of {name!r})" for name, field in found)
    return FieldConflict(f"Apply failed with {len(found)} conflicts: {listed}", tuple(found))


def _changed(before: dict[Path, Any], after: dict[Path, Any]) -> set[Path]:
    """The fields that ``after`` adds or changes, with the maps that it brings into being (which may be owned empty)."""
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    return (changed | _maps(after)) - _maps(before)


def _lost(before: dict[Path, Any], after: dict[Path, Any]) -> set[Path]:
    """The fields, and the maps, that are gone in ``after``."""
    return (before.keys() | _maps(before)) - after.keys() - _maps(after)


def _maps(fields: dict[Path, Any]) -> set[Path]:
    """The maps and lists in which there are fields; ``metadata`` and ``spec`` are nobody's."""
    return {path[:length] for path in fields for length in range(2, len(path))}


def merge(live: Json, applied: Json, manager: Manager, owners: Owners) -> Json:
    """``live`` with what ``manager`` applies, and without what it applied before and does no more."""
    merged: Json = _merge(live, applied, ())
    others = frozenset[Path]().union(*(owned for other, owned in owners.items() if other != manager))
    dropped = owners.get(manager, frozenset()) - others - fields_of(applied).keys()
    return _without(merged, (), dropped) if dropped else merged


def _merge(live: Any, applied: Any, path: Path) -> Any:
    if path in _ITEM_KEYS:
        return _merge_items(live or [], applied, path)
    if isinstance(live, dict) and isinstance(applied, dict) and path not in _ATOMIC_MAPS:
        merged = dict(live)
        for name, value in applied.items():
            merged[name] = _merge(live.get(name), value, (*path, name))
        return merged
    return applied


def _merge_items(live: list[Any], applied: list[Any], path: Path) -> list[Any]:
    """Items of both in the order of ``applied``; what only ``live`` has stays between the items that both have."""
    key = _ITEM_KEYS[path]
    by_key = {key(item): item for item in live}
    wanted = [key(item) for item in applied]
    merged: list[Any] = []
    position = 0
    for index, item in enumerate(applied):
        shared = next((name for name in wanted[index:] if name in by_key), None)
        while position < len(live) and key(live[position]) != shared:
            if key(live[position]) not in wanted:
                merged.append(live[position])
            position += 1
        if key(item) == shared:
            position += 1
        live_item = by_key.get(key(item)) if path in _MERGED_ITEMS else None
        merged.append(_merge(live_item, item, (*path, key(item))))
    return merged + [item for item in live[position:] if key(item) not in wanted]


def _without(value: Any, path: Path, dropped: Iterable[Path]) -> Any:
    """``value`` without the fields at ``dropped``; an item goes as a whole with its own field."""
    if path in _ITEM_KEYS:
        key = _ITEM_KEYS[path]
        kept = [item for item in value if (*path, key(item), ITEM) not in dropped]
        return [_without(item, (*path, key(item)), dropped) for item in kept]
    if isinstance(value, dict) and path not in _ATOMIC_MAPS:
        inner = {name: _without(item, (*path, name), dropped) for name, item in value.items()}
        return {
            name: item
            for name, item in inner.items()
            if _is_kept(value[name], item, dropped=(*path, name) in dropped, atomic=(*path, name) in _ATOMIC_MAPS)
        }
    return value


def _is_kept(before: Any, after: Any, *, dropped: bool, atomic: bool) -> bool:
    """Whether a field stays, given its value before and after the fields in it were dropped."""
    if isinstance(before, dict) and before and not atomic:
        return bool(after)  # a map goes when nothing of anybody is left in it
    return not dropped and bool(after or not before)


def after_apply(live: Json, applied: Json, merged: Json, manager: Manager, owners: Owners) -> Owners:
    """The owners once ``manager`` has applied; what it removed is nobody's any more."""
    removed = _lost(fields_of(live), fields_of(merged))
    others = {other: owned - removed for other, owned in owners.items() if other != manager}
    return _present(others | {manager: frozenset(fields_of(applied))})


def after_update(stored: Json | None, new: Json, name: str, owners: Owners) -> Owners:
    """The owners once ``name`` has created or replaced the object: it owns what it changed, and only it."""
    before = fields_of(stored) if stored is not None else {}
    after = fields_of(new)
    changed = _changed(before, after)
    lost = changed | _lost(before, after)
    updated = {other: owned - lost for other, owned in owners.items()}
    manager = (name, "Update")
    return _present(updated | {manager: updated.get(manager, frozenset()) | changed})


def _present(owners: Owners) -> Owners:
    return {manager: owned for manager, owned in owners.items() if owned}
