"""The status API, ``/api/v1``: what a running extsync knows, as JSON, for reading only."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from aiohttp import web

from extsync.engine.explain import EndpointDetail
from extsync.engine.run import Engine
from extsync.model import ServiceKey
from extsync.web import openapi
from extsync.web.documents import (
    Problem,
    ServiceList,
    process_document,
    service_document,
    summary,
)

MOST_SERVICES: Final = 500
"""Services of one answer; for more, the answer says where to go on."""

MOST_ENDPOINTS: Final = 1000
"""Endpoints of one answer."""

MOST_PROBED: Final = 50
"""Endpoints of one answer with the evidence of their probes."""


class Api:
    """The handlers; they are quick, or give way: probes share the event loop with them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._openapi = openapi.document()

    def add_to(self, application: web.Application) -> None:
        """Adds the routes."""
        add = application.router.add_get
        add("/api/v1/openapi.json", self.openapi)
        add("/api/v1/status", self.status)
        add("/api/v1/services", self.services)
        add("/api/v1/services/{namespace}/{name}", self.service)

    async def openapi(self, request: web.Request) -> web.Response:
        """What this API is, for programs."""
        return _json(self._openapi)

    async def status(self, request: web.Request) -> web.Response:
        return _json(process_document(self._engine.status()))

    async def services(self, request: web.Request) -> web.Response:
        """``namespace`` and ``search`` (a part of the name) choose; ``after`` is the ``next`` of the answer before."""
        namespace, search, after = (request.query.get(name, "") for name in ("namespace", "search", "after"))
        last = tuple(after.split("/", 1))
        keys = [
            key
            for key in self._engine.service_keys()
            if key > last and search in str(key) and namespace in ("", key.namespace)
        ]
        page = keys[:MOST_SERVICES]
        statuses = (self._engine.service_status(key) for key in page)
        items = tuple(summary(status) for status in statuses if status is not None)
        return _json(ServiceList(items, str(page[-1]) if len(keys) > len(page) else None))

    async def service(self, request: web.Request) -> web.Response:
        """``address`` chooses endpoints, ``skip`` leaves the first of them out.

        With ``address`` or ``probes=true`` the evidence of their probes is told as well.
        """
        key = ServiceKey(request.match_info["namespace"], request.match_info["name"])
        address, skip = request.query.get("address", ""), request.query.get("skip", "0")
        if not re.fullmatch("[0-9]{1,9}", skip) or int(skip) > openapi.MOST_SKIPPED:
            return _json(Problem("skip is no number of endpoints to leave out, such as 50"), status=400)
        probed = bool(address) or request.query.get("probes") == "true"
        status = self._engine.service_status(key)
        most = MOST_PROBED if probed else MOST_ENDPOINTS
        detail = self._engine.details(key, address=address, most=most, skip=int(skip))
        if status is None or detail is None:
            return _json(Problem(f"extsync does not keep {key}"), status=404)
        if probed:
            endpoints = tuple([await self._with_evidence(one) for one in detail.endpoints])
            detail = msgspec.structs.replace(detail, endpoints=endpoints)
        return _json(service_document(status, detail))

    async def _with_evidence(self, endpoint: EndpointDetail) -> EndpointDetail:
        if not endpoint.target:
            return endpoint
        try:
            return msgspec.structs.replace(endpoint, probes=await self._engine.evidence(endpoint.target))
        except TimeoutError:  # its probe worker is being replaced
            return endpoint


def _json(document: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")
