"""Each refusal of the API becomes one error."""

from __future__ import annotations

from typing import Any

import pytest

from extsync import errors
from extsync.kube.status import MAX_RETRY_AFTER, Cause, Details, Status, error_of, read_retry_after, read_status


def details(*causes: tuple[str, str, str]) -> Details:
    return Details(
        causes=tuple(Cause(reason=reason, message=message, field=field) for reason, message, field in causes)
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(code=400), errors.Invalid),
        (Status(code=401), errors.Unauthorized),
        (Status(code=403), errors.Forbidden),
        (Status(code=403, details=details(("NamespaceTerminating", "", "metadata.namespace"))), errors.Terminating),
        (Status(code=404), errors.NotFound),
        (Status(code=405), errors.Invalid),
        (Status(code=409, reason="AlreadyExists"), errors.AlreadyExists),
        (Status(code=409, reason="Conflict"), errors.Conflict),
        (Status(code=409, details=details(("FieldManagerConflict", "", ".a"))), errors.FieldConflict),
        (Status(code=410), errors.Expired),
        (Status(code=413), errors.TooLarge),
        (Status(code=415), errors.Invalid),
        (Status(code=422), errors.Invalid),
        (Status(code=429), errors.TooManyRequests),
        (Status(code=500), errors.Unavailable),
        (Status(code=500, message="etcdserver: request is too large"), errors.TooLarge),
        (Status(code=503), errors.Unavailable),
        (Status(code=504), errors.Unavailable),
        (Status(code=302), errors.Unavailable),
        (Status(), errors.Unavailable),
    ],
)
def test_the_table(status: Status, expected: type[errors.StoreError]) -> None:
    assert type(error_of(status, "write it")) is expected


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 410, 429, 500, 503])
def test_what_a_webhook_denies_is_forbidden_whatever_code_it_gives(code: int) -> None:
    """A 404 of it is no object that is gone, nor a 429 of it a server that asks for time."""
    status = Status(code=code, message='admission webhook "w.example" denied the request: not on a Friday')
    assert type(error_of(status, "delete it", retry_after=60.0)) is errors.Forbidden


def test_the_text_says_what_was_asked_and_what_was_answered() -> None:
    assert str(error_of(Status(code=404, message="gone"), "get Service a/b")) == "get Service a/b: gone"
    assert str(error_of(Status(code=404, reason="NotFound"), "get it")) == "get it: NotFound"
    assert str(error_of(Status(code=404), "get it")) == "get it: HTTP 404"


def test_an_invalid_object_has_its_fields() -> None:
    error = error_of(Status(code=422, details=details(("FieldValueInvalid", "bad", "ports[0]"))), "create it")
    assert isinstance(error, errors.Invalid)
    assert error.causes == (("ports[0]", "bad"),)


def test_a_field_conflict_has_managers_and_fields_and_nothing_else() -> None:
    causes = (
        ("FieldManagerConflict", 'conflict with "helm" using v1', ".spec.ports"),
        ("FieldManagerConflict", "conflict", ".spec.type"),
        ("Other", 'conflict with "x"', ".metadata"),
    )
    error = error_of(Status(code=409, details=details(*causes)), "apply it")
    assert isinstance(error, errors.FieldConflict)
    assert error.fields == (("helm", ".spec.ports"), ("unknown", ".spec.type"))


def test_the_header_counts_before_the_details() -> None:
    status = Status(code=429, details=Details(retry_after_seconds=9))
    error = error_of(status, "write it", retry_after=2.0)
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after == 2.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), (" 10 ", 10.0), (None, None), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)],
)
def test_retry_after_is_seconds_or_nothing(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value) == seconds


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b'{"message": "no", "code": 200}', "application/json", "no"),
        (b"{}", "application/json", "HTTP 500"),
        (b"404 page not\n  found", "text/plain", "HTTP 500, 404 page not found"),
        (b"", "", "HTTP 500, without a word"),
        (b"<p>x</p>", "", "HTTP 500, and a web page"),
        (b"\xff\xfe", "text/plain", "HTTP 500, "),
        (
            b'{"message": "gesperrt f\xfcr alle"}',
            "application/json",
            'HTTP 500, {"message": "gesperrt f\N{REPLACEMENT CHARACTER}r',
        ),
        (b'{"x": ' + b"[" * 100_000, "application/json", 'HTTP 500, {"x": [[['),
        (b"x" * 5000, "text/plain", "HTTP 500, " + "x" * 300),
    ],
)
def test_a_body_that_is_no_status_is_quoted_in_short(body: bytes, content_type: str, message: str) -> None:
    status = read_status(500, body, content_type)
    assert status.code == 500
    assert status.message.startswith(message)
    assert len(status.message) < 350


def test_http_codes_and_errors_are_a_closed_set() -> None:
    outcomes: dict[int, Any] = {code: error_of(Status(code=code), "x") for code in range(300, 600)}
    assert all(isinstance(error, errors.StoreError) for error in outcomes.values())


def test_nobody_is_waited_for_beyond_some_minutes() -> None:
    error = error_of(Status(code=429), "write it", retry_after=1e9)
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after == MAX_RETRY_AFTER


def test_the_cause_of_an_error_is_the_same_for_all_requests() -> None:
    one, other = (error_of(Status(code=503, message="etcd: no leader"), what) for what in ("list a", "write b"))
    assert one.cause == other.cause == "etcd: no leader"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status(code=401), "renew the token or the client certificate"),
        (Status(code=403), "clusterrole.yaml"),
        (Status(code=403, message="x is forbidden: exceeded quota: few, requested: 1"), "raise that ResourceQuota"),
        (Status(code=422, message="ValidatingAdmissionPolicy 'p' denied request: no"), "that policy has to let"),
        (Status(code=400, message='admission webhook "w" denied the request'), "that webhook has to let"),
        (Status(code=500, message='failed calling webhook "w": refused'), "see to it that it answers"),
    ],
)
def test_a_refusal_has_a_cure(status: Status, words: str) -> None:
    assert words in errors.cure(error_of(status, "write it"))


def test_what_nobody_knows_a_cure_for_has_none() -> None:
    assert errors.cure(error_of(Status(code=503), "write it")) == ""
    assert errors.cure(ValueError("exceeded quota")) == ""
