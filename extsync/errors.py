"""Every exception that extsync raises on purpose.

The store's errors are a closed set: an adapter maps each transport error to exactly one of them, once, at its
boundary, and nothing above the adapter looks at status codes.
"""

from __future__ import annotations

from typing import ClassVar


class ExtsyncError(Exception):
    """Base of all errors of this package; its text is fit to be shown to a person."""


class UsageError(ExtsyncError):
    """The command line or a setting is wrong; nothing was attempted."""


class ConfigError(ExtsyncError):
    """Manifests, process settings or a kubeconfig cannot be used; the text names the place and the cure."""


class ReadFailed(ExtsyncError):
    """A source could not be read; the text is one line that says what was asked, what went wrong and what helps."""


class StoreError(ExtsyncError):
    """A request to the store failed. Subclasses say how; the text says which request, and after a colon why.

    ``code`` is HTTP's, for metrics; "unavailable" where there was no answer, or a 5xx.
    """

    code: ClassVar[str] = "unavailable"

    @property
    def cause(self) -> str:
        """Why, without the request: the same for all requests that fail for the same reason."""
        text = str(self)
        return text.partition(": ")[2] or text


class NotFound(StoreError):
    """404: the object is not there (any more)."""

    code = "404"


class AlreadyExists(StoreError):
    """409 AlreadyExists: a create met an object of that name."""

    code = "409"


class Conflict(StoreError):
    """409: the resourceVersion or uid of the request is not the object's. Nothing was written: read and plan again."""

    code = "409"


class FieldConflict(Conflict):
    """409 of a server-side apply: other field managers own the fields. ``fields`` are (manager, field) pairs."""

    def __init__(self, message: str, fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class Invalid(StoreError):
    """400 or 422: the store refuses the object. ``causes`` are (field, message) pairs."""

    code = "422"

    def __init__(self, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


class Forbidden(StoreError):
    """403: no permission, or a policy or quota refuses; retried slowly, since that can change."""

    code = "403"


class Unauthorized(Forbidden):
    """401: the server does not know who asks, since a token or certificate has expired or was revoked."""

    code = "401"


FORBIDDEN_CURE = "; deploy/kustomize/base/clusterrole.yaml has the rights that extsync needs"
"""What to say to somebody who met Forbidden."""

_CURES = (
    (
        'resource "leases"',
        "; deploy/kustomize/base/role.yaml has the rights that extsync needs in the namespace of the Leases",
    ),
    ("exceeded quota", "; raise that ResourceQuota, or make room in the namespace"),
    ("failed quota", "; raise that ResourceQuota, or make room in the namespace"),
    ("failed calling webhook", "; that webhook is not extsync's: see to it that it answers"),
    ("admission webhook", "; that webhook has to let extsync write, or the manifest has to follow its rule"),
    ("ValidatingAdmissionPolicy", "; that policy has to let extsync write, or the manifest has to follow its rule"),
)


def cure(error: BaseException) -> str:
    """What a person can do about an error of the store, to be put behind its text; "" where nothing is known."""
    text = str(error)
    for sign, words in _CURES:
        if isinstance(error, StoreError) and sign in text:
            return words
    match error:
        case Unauthorized():
            return "; renew the token or the client certificate that extsync uses"
        case Forbidden():
            return FORBIDDEN_CURE
    return ""


class Terminating(StoreError):
    """403 with cause NamespaceTerminating: the namespace is going away; nothing is created in it."""

    code = "403"


class Expired(StoreError):
    """410: the resourceVersion of a list or watch is too old; list again."""

    code = "410"


class TooManyRequests(StoreError):
    """429. With ``retry_after`` (seconds) the server asks everybody for time, as priority and fairness does; without it
    nothing is known but that this request was refused, maybe by a rule about its object."""

    code = "429"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def asks_for_time(self) -> bool:
        """Whether it holds for every request."""
        return self.retry_after is not None


class TooLarge(StoreError):
    """413, or etcd's "request is too large": the object does not fit."""

    code = "413"


class Unavailable(StoreError):
    """No answer, a cut connection, a time-out or 5xx. A write may or may not have happened.

    Where it never was ``connected`` it has not.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, connected: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.connected = connected


class Fenced(ExtsyncError):
    """The fence refused a write: it could not be sure to end while this replica may write."""
