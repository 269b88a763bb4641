"""The OpenAPI document of the status API, made from the structs that the answers are."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from extsync import __version__
from extsync.web.documents import Problem, ProcessDocument, ServiceDocument, ServiceList

_REF: Final = "#/components/schemas/{name}"

_STRING: Final = {"type": "string"}


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain data."""
    kinds = (ProcessDocument, ServiceList, ServiceDocument, Problem)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    process, services, service, problem = schemas
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
                missing=problem,
            ),
        },
        "components": {"schemas": components},
    }


def _path(summary: str, answer: Any, *parameters: dict[str, Any], missing: Any = None) -> dict[str, Any]:
    answers = {"200": _answer("found", answer)}
    if missing is not None:
        answers["404"] = _answer("not kept", missing)
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answers}}


def _answer(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _query(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": _STRING}


def _part(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _STRING}
