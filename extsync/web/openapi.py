"""The OpenAPI document of the status API, made from the structs that the answers are."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from extsync import __version__
from extsync.web.documents import Problem, ProcessDocument, ServiceDocument, ServiceList
from extsync.web.rows import ServicesEvent

_REF: Final = "#/components/schemas/{name}"

MOST_SKIPPED: Final = 999_999_999
"""Endpoints that may be left out."""

_STRING: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": MOST_SKIPPED}
_TRUE: Final = {"type": "string", "enum": ["true", "false"]}

_EVENTS: Final = (
    "Server-sent events without an end. `process` has a ProcessDocument, about once a second. `services` has a"
    " ServicesEvent: first every service, then each that changes; what changes several times in between is told once."
)

_EVENT: Final = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["process", "services"]},
        "data": {**_STRING, "contentMediaType": "application/json"},
        "id": _STRING,
    },
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain data."""
    kinds = (ProcessDocument, ServiceList, ServiceDocument, ServicesEvent, Problem)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    process, services, service, _, problem = schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "extsync status API",
            "description": "What a running extsync knows. It is for reading only.",
            "version": __version__,
        },
        "paths": {
            "/api/v1/status": _path("The process", process),
            "/api/v1/services": _path(
                "Services in the order of their names, in pages",
                services,
                _query("namespace", "services of this namespace only"),
                _query("search", "services whose NAMESPACE/NAME has this in it"),
                _query("after", "what was the `next` of the page before"),
            ),
            "/api/v1/services/{namespace}/{name}": _path(
                "One service in full",
                service,
                _part("namespace"),
                _part("name"),
                _query("address", "endpoints of this address only, with the evidence of their probes"),
                _query("skip", "how many endpoints to leave out, for the next of very many", _NUMBER),
                _query("probes", "with the evidence of their probes, for fewer endpoints", _TRUE),
                missing=problem,
                refused=problem,
            ),
            "/api/v1/events": _stream(problem),
        },
        "components": {"schemas": components},
    }


def _stream(problem: Any) -> dict[str, Any]:
    """OpenAPI 3.1 has no words for a stream without an end: the schema is that of one event."""
    stream = {"description": _EVENTS, "content": {"text/event-stream": {"schema": _EVENT}}}
    return {
        "get": {
            "summary": "What changes, for as long as the connection lasts",
            "parameters": [_query("after", "the id of the last event that is known, to go on from there")],
            "responses": {"200": stream, "503": _answer("too many streams", problem)},
        }
    }


def _path(
    summary: str, answer: Any, *parameters: dict[str, Any], missing: Any = None, refused: Any = None
) -> dict[str, Any]:
    answers = {"200": _answer("found", answer)}
    if refused is not None:
        answers["400"] = _answer("not understood", refused)
    if missing is not None:
        answers["404"] = _answer("not kept", missing)
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


def _answer(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _query(name: str, description: str, schema: dict[str, Any] = _STRING) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _part(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _STRING}
