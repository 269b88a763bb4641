"""From the API server's refusals to the errors of ``extsync.errors``: the one place that looks at status codes."""

from __future__ import annotations

import re

import msgspec

from extsync.decoding import decoded
from extsync.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    FieldConflict,
    Forbidden,
    Invalid,
    NotFound,
    StoreError,
    Terminating,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One of several reasons, and the field that it is about."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The API's ``Status`` object: the answer to a request that failed."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: Details | None = None

    @property
    def causes(self) -> tuple[Cause, ...]:
        return (self.details and self.details.causes) or ()


_DENIED = re.compile(r'admission webhook "[^"]*" denied the request')
_MANAGER = re.compile(r'conflict with "([^"]*)"')
# etcd's own limit (1.5 MiB by default) and, where an object passes it by far, that of the API server's gRPC client.
_TOO_LARGE = ("request is too large", "trying to send message larger than max")
_TEXT_LIMIT = 300
MAX_RETRY_AFTER = 300.0
"""Seconds: who asks for more, as a proxy might, is asked again all the same."""


def error_of(status: Status, what: str, *, retry_after: float | None = None) -> StoreError:
    """The error for ``status``, the answer to ``what`` ("update EndpointSlice default/a").

    ``retry_after`` is the answer's Retry-After in seconds. Where no row of the table fits the error is Unavailable,
    the one that promises nothing.
    """
    text = f"{what}: {status.message or status.reason or f'HTTP {status.code}'}"
    if retry_after is None and status.details and status.details.retry_after_seconds:
        retry_after = float(status.details.retry_after_seconds)
    if retry_after is not None:
        retry_after = min(retry_after, MAX_RETRY_AFTER)
    if any(sign in status.message for sign in _TOO_LARGE):
        return TooLarge(text)
    if _DENIED.match(status.message):  # a webhook answers with any code it likes, and it is no word of the API's own
        return Forbidden(text)
    match status.code:
        case 400 | 405 | 406 | 415 | 422:
            return Invalid(text, tuple((cause.field, cause.message) for cause in status.causes))
        case 401:
            return Unauthorized(text)
        case 403:
            if any(cause.reason == "NamespaceTerminating" for cause in status.causes):
                return Terminating(text)
            return Forbidden(text)
        case 404:
            return NotFound(text)
        case 409:
            return _conflict(status, text)
        case 410:
            return Expired(text)
        case 413:
            return TooLarge(text)
        case 429:
            return TooManyRequests(text, retry_after)
        case _:
            return Unavailable(text, retry_after)


def _conflict(status: Status, text: str) -> StoreError:
    if status.reason == "AlreadyExists":
        return AlreadyExists(text)
    fields = tuple(
        (manager[1] if (manager := _MANAGER.search(cause.message)) else "unknown", cause.field)
        for cause in status.causes
        if cause.reason == "FieldManagerConflict"
    )
    return FieldConflict(text, fields) if fields else Conflict(text)


def read_status(code: int, body: bytes, content_type: str) -> Status:
    """The Status that an answer with an error ``code`` stands for, also where a proxy gave it and it has none."""
    try:
        found: Status = decoded(body, Status)
    except msgspec.DecodeError:
        return Status(code=code, message=f"HTTP {code}, {_excerpt(body, content_type)}")
    # Within an answer it is HTTP's own code that counts: an object that is no Status has none.
    return msgspec.structs.replace(found, code=code, message=found.message or f"HTTP {code}")


def _excerpt(body: bytes, content_type: str) -> str:
    """What a person can use of a body that is not JSON."""
    text = " ".join(body[: 4 * _TEXT_LIMIT].decode(errors="replace").split())
    if "html" in content_type or text.startswith("<"):
        return "and a web page instead of an answer from the Kubernetes API; is there a proxy in between?"
    return text[:_TEXT_LIMIT] or "without a word"


def read_retry_after(value: str | None) -> float | None:
    """The seconds of a Retry-After header; None where there is none or it is a date, which the API does not send."""
    if value is None or not value.strip().isascii() or not value.strip().isdigit():
        return None
    return float(value)
