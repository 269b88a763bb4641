"""Whether the server keeps what it was given: else it, or an admission webhook, changed it, which is news."""

from __future__ import annotations

from extsync.changes import ApplyService, Create, Update
from extsync.kube.writer import Done
from extsync.objects import Endpoints, EndpointSlice, KubeObject


def is_as_sent(done: Done) -> bool:
    """Whether the answer to a change shows an object as it was sent, but for what a server adds to all of them."""
    match done.change:
        case Create(obj=sent) | Update(obj=sent) if done.obj is not None:
            return _has_metadata_of(done.obj, sent) and _says_the_same(done.obj, sent)
    return False


def is_in_vain(done: Done) -> bool:
    """Whether a Service is as it was before it was applied: the server does not keep what was to be changed."""
    change, obj = done.change, done.obj
    return (
        isinstance(change, ApplyService)
        and obj is not None
        and change.resource_version is not None
        and (change.uid, change.resource_version) == (obj.metadata.uid, obj.metadata.resource_version)
    )


def _has_metadata_of(got: KubeObject, sent: KubeObject) -> bool:
    return (
        got.labels == sent.labels
        and sent.annotations.items() <= got.annotations.items()
        and got.metadata.owner_references == sent.metadata.owner_references
    )


def _says_the_same(got: KubeObject, sent: KubeObject) -> bool:
    match got, sent:
        case EndpointSlice(), EndpointSlice():  # no ports, and no endpoints, are read back as null
            return (got.endpoints or ()) == (sent.endpoints or ()) and (got.ports or ()) == (sent.ports or ())
        case Endpoints(), Endpoints():
            return (got.subsets or ()) == (sent.subsets or ())
    return False
