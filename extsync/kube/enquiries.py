"""What is asked of an API server beside its objects: who asks, what somebody may do, and which version it is.

The answers are reviews (https://kubernetes.io/docs/reference/access-authn-authz/authorization/), which every user may
ask about themselves, and only a few about others.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec

from extsync.decoding import decoded
from extsync.errors import Unavailable
from extsync.kube.access import Access
from extsync.kube.transport import Transport
from extsync.seams import Clock, Dialer

_A = TypeVar("_A")

_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"
_AUTHENTICATION: Final = "/apis/authentication.k8s.io/v1"


class Right(NamedTuple):
    """Something to be allowed. ``resource`` may name a subresource, as in "pods/exec"; namespace "" is all of them."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f"{kind}/{self.name}" if self.name else kind
        return f"{self.verb} {named} in {self.namespace or 'all namespaces'}"


class Answered(msgspec.Struct, frozen=True):
    """Whether something is allowed, and what the server says of it."""

    allowed: bool
    reason: str = ""


class User(msgspec.Struct, frozen=True):
    """As whom the server knows who asks."""

    username: str = ""
    groups: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """A rule of RBAC as the server has worked it out for one user and namespace."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    resource_names: tuple[str, ...] | None = None


class Rules(msgspec.Struct, frozen=True, rename="camel"):
    """All that a user may do in a namespace; ``incomplete``: there may be more."""

    resource_rules: tuple[Rule, ...] = ()
    incomplete: bool = False


class ServerVersion(msgspec.Struct, frozen=True, rename="camel"):
    """The version of the API server, such as v1.36.3."""

    git_version: str
    major: str = ""
    minor: str = ""


class _Review(msgspec.Struct):
    status: msgspec.Raw


class _Whoami(msgspec.Struct, rename="camel"):
    user_info: User


class Enquiries:
    """Asks the API server of ``access``; every call has a deadline in seconds and raises StoreError."""

    def __init__(self, access: Access, *, clock: Clock, dialer: Dialer) -> None:
        self.transport = Transport(access, clock=clock, dialer=dialer)

    async def close(self) -> None:
        """Ends all connections."""
        await self.transport.close()

    async def version(self, *, timeout: float) -> ServerVersion:
        """The server's version, which everybody may read as a rule."""
        answer = await self.transport.call("GET", "/version", what="get the version", deadline=timeout)
        return _decode(answer, ServerVersion, "get the version")

    async def whoami(self, *, timeout: float) -> User:
        """Who asks; the API server has it since Kubernetes 1.28."""
        what = "create SelfSubjectReview"
        status = await self._review(_AUTHENTICATION, "selfsubjectreviews", {}, what, timeout)
        return _decode(status, _Whoami, what).user_info

    async def may(self, right: Right, *, timeout: float) -> Answered:
        """Whether who asks is allowed that."""
        what = f"create SelfSubjectAccessReview ({right})"
        spec = {"resourceAttributes": _attributes(right)}
        return _decode(
            await self._review(_AUTHORIZATION, "selfsubjectaccessreviews", spec, what, timeout), Answered, what
        )

    async def may_account(self, right: Right, *, namespace: str, name: str, timeout: float) -> Answered:
        """Whether a ServiceAccount is allowed that; only administrators may ask as a rule."""
        what = f"create SubjectAccessReview ({right})"
        spec = {
            "resourceAttributes": _attributes(right),
            "user": f"system:serviceaccount:{namespace}:{name}",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
        }
        return _decode(await self._review(_AUTHORIZATION, "subjectaccessreviews", spec, what, timeout), Answered, what)

    async def rules(self, namespace: str, *, timeout: float) -> Rules:
        """All that who asks may do in ``namespace``."""
        what = f"create SelfSubjectRulesReview in {namespace}"
        spec = {"namespace": namespace}
        return _decode(await self._review(_AUTHORIZATION, "selfsubjectrulesreviews", spec, what, timeout), Rules, what)

    async def _review(self, group: str, plural: str, spec: dict[str, Any], what: str, timeout: float) -> msgspec.Raw:
        """The status of a review, which the server answers and does not keep."""
        review = {"apiVersion": group.removeprefix("/apis/"), "kind": _KINDS[plural], "spec": spec}
        answer = await self.transport.call(
            "POST", f"{group}/{plural}", what=what, deadline=timeout, body=msgspec.json.encode(review)
        )
        return _decode(answer, _Review, what).status


_KINDS: Final = {
    "selfsubjectreviews": "SelfSubjectReview",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    "subjectaccessreviews": "SubjectAccessReview",
}


def _attributes(right: Right) -> dict[str, str]:
    resource, _, subresource = right.resource.partition("/")
    given = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    return {key: value for key, value in given.items() if value}


def _decode(answer: bytes | msgspec.Raw, kind: type[_A], what: str) -> _A:
    try:
        return cast(_A, decoded(answer, kind))
    except msgspec.DecodeError as error:
        raise Unavailable(f"{what}: the answer is not from a Kubernetes API or cut off: {error}") from error
