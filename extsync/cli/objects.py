"""Kubernetes objects as plain data, for printing and comparing."""

from __future__ import annotations

from typing import Any

import msgspec

from extsync.objects import TRIGGER_TIME_ANNOTATION, KubeObject
from extsync.plan.evidence import EVIDENCE_ANNOTATION

_BY_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_OF_ONE_WRITE = (TRIGGER_TIME_ANNOTATION, EVIDENCE_ANNOTATION)
"""Annotations that say what was known when: out of a file they would put what is older in the place of that."""


def plain(obj: KubeObject) -> dict[str, Any]:
    """``obj`` as it would be in a file, without what only a server fills in."""
    data = msgspec.to_builtins(obj)
    metadata = {key: value for key, value in data.pop("metadata").items() if key not in _BY_THE_SERVER and value}
    data.pop("apiVersion", None)
    data.pop("kind", None)
    return {"apiVersion": obj.API_VERSION, "kind": type(obj).__name__, "metadata": metadata, **data}


def comparable(obj: KubeObject) -> dict[str, Any]:
    """``plain``, without what changes with every write."""
    data = plain(obj)
    annotations = data["metadata"].pop("annotations", {})
    if kept := {key: value for key, value in annotations.items() if key not in _OF_ONE_WRITE}:
        data["metadata"]["annotations"] = kept
    return data
