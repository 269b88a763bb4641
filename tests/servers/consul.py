"""A real Consul agent on loopback: one server of a datacenter of its own, with everything in memory."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from tests.cluster.processes import Component, free_ports
from tests.cluster.rest import RequestFailedError, send
from tests.servers.programs import Programs
from tests.servers.server import Server

Status = Literal["passing", "warning", "critical"]
_ACTIONS: Mapping[Status, str] = {"passing": "pass", "warning": "warn", "critical": "fail"}
START_SECONDS = 20.0
NODE = "agent-1"


class Consul(Server):
    """An agent, which runs inside the ``with`` block, and what a test does to it.

    Its ports stay the same over ``kill``, ``start`` and ``restart``; what it knew does not.

    Attributes:
        url: Its HTTP API, ``http://127.0.0.1:PORT``.
        https_url: The same over TLS, "" where there is no ``tls``.
        token: With ``acls``, the token that may do everything; a new one after each start. Otherwise "".
    """

    def __init__(
        self,
        programs: Programs,
        directory: Path,
        *,
        acls: bool = False,
        datacenter: str = "dc1",
        tls: tuple[Path, Path] | None = None,
        client_ca: Path | None = None,
    ) -> None:
        """``directory`` is an empty folder for its log and its configuration.

        With ``acls``, whoever has no token sees and may do nothing. ``tls`` is a certificate and its key for
        ``https_url``; ``client_ca`` is the authority by which its clients must then be certified.
        """
        http, server, lan, wan, https = free_ports(5)
        self.url = f"http://127.0.0.1:{http}"
        self.https_url = f"https://127.0.0.1:{https}" if tls else ""
        self.token = ""
        self._acls = acls
        self._wan_port = wan
        settings: dict[str, Any] = {"ports": {"https": https if tls else -1}}
        if acls:
            settings["acl"] = {"enabled": True, "default_policy": "deny"}
        if tls:
            settings |= {"cert_file": str(tls[0]), "key_file": str(tls[1])}
        if client_ca:
            settings |= {"ca_file": str(client_ca), "verify_incoming_https": True}
        (directory / "settings.json").write_text(json.dumps(settings))
        arguments = (
            *("agent", "-dev", "-log-level=warn", f"-node={NODE}", f"-datacenter={datacenter}"),
            *("-bind=127.0.0.1", "-client=127.0.0.1", f"-http-port={http}", "-dns-port=-1", "-grpc-port=-1"),
            *(f"-server-port={server}", f"-serf-lan-port={lan}", f"-serf-wan-port={wan}"),
            f"-config-file={directory / 'settings.json'}",
        )
        super().__init__(
            Component(programs.paths["consul"], arguments, directory=directory, environment=programs.environment)
        )

    def start(self) -> None:
        """Start it, knowing nothing, and wait until it leads its datacenter and has registered itself there."""
        self.token = ""
        self._component.start(self._leads, seconds=START_SECONDS)

    def restart(self) -> None:
        """Kill it and start it again: at the same place, nothing is registered any more and indexes begin anew."""
        self.kill()
        self.start()

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | int] | None = None,
        token: str | None = None,
    ) -> Any:
        """Send one request to its API and return the decoded answer, None for an empty one.

        ``token`` None is the one that may do everything.

        Raises:
            RequestFailedError: it refused.
            OSError: it is not there.
        """
        token = self.token if token is None else token
        answer = send(
            method,
            f"{self.url}{path}?{urlencode(query or {})}",
            headers={"X-Consul-Token": token} if token else {},
            body=None if body is None else json.dumps(body).encode(),
        )
        return json.loads(answer) if answer.strip() else None

    def register(
        self,
        service: str,
        address: str,
        port: int,
        *,
        status: Status = "passing",
        identity: str | None = None,
        tags: Sequence[str] = (),
        **fields: Any,
    ) -> str:
        """Register an instance, replacing the one of the same identity; return its ID.

        It has one check, of which ``set_status`` tells the result. ``address`` "" leaves it to the node's. ``fields``
        are further ones of ``/v1/agent/service/register``, such as ``Meta``, ``TaggedAddresses`` and ``Weights``.
        """
        identity = identity or f"{service}-{address}-{port}"
        check = {"CheckID": _check(identity), "TTL": "1h", "Status": status}
        body = {"ID": identity, "Name": service, "Address": address, "Port": port, "Tags": list(tags), "Check": check}
        self.request("PUT", "/v1/agent/service/register", body | fields)
        return identity

    def deregister(self, identity: str) -> None:
        """Remove an instance."""
        self.request("PUT", f"/v1/agent/service/deregister/{quote(identity)}")

    def set_status(self, identity: str, status: Status) -> None:
        """Let the check of an instance pass, warn or fail."""
        self.request("PUT", f"/v1/agent/check/{_ACTIONS[status]}/{quote(_check(identity))}")

    def set_maintenance(self, identity: str | None, enabled: bool) -> None:
        """Put an instance, or the whole node if None, into maintenance or out of it."""
        path = "/v1/agent/maintenance" if identity is None else f"/v1/agent/service/maintenance/{quote(identity)}"
        self.request("PUT", path, query={"enable": str(enabled).lower(), "reason": "test"})

    def put_in_catalog(
        self,
        service: str,
        address: str,
        port: int,
        *,
        node: str,
        node_address: str,
        node_meta: Mapping[str, str] | None = None,
        status: Status = "passing",
        **fields: Any,
    ) -> None:
        """Register an instance at another node, on which no agent runs, as external services are.

        ``fields`` are further ones of the service. ``remove_from_catalog`` takes the node away again.
        """
        described = {"ID": f"{service}-{node}", "Service": service, "Address": address, "Port": port, **fields}
        check = {"CheckID": f"check-{node}", "Name": "external", "Status": status, "ServiceID": described["ID"]}
        body = {
            "Node": node,
            "Address": node_address,
            "NodeMeta": dict(node_meta or {}),
            "Service": described,
            "Check": check,
        }
        self.request("PUT", "/v1/catalog/register", body)

    def remove_from_catalog(self, node: str) -> None:
        """Remove a node that ``put_in_catalog`` made, with its instances."""
        self.request("PUT", "/v1/catalog/deregister", {"Node": node})

    def instances(self, service: str, **query: str | int) -> list[dict[str, Any]]:
        """What its health endpoint says of a service."""
        found: list[dict[str, Any]] = self.request("GET", f"/v1/health/service/{quote(service)}", query=query)
        return found

    def create_token(self, rules: str) -> str:
        """With ACLs: make a token that may do what ``rules`` say, in Consul's own language for them; return it."""
        number = len(self.request("GET", "/v1/acl/policies"))
        policy = self.request("PUT", "/v1/acl/policy", {"Name": f"policy-{number}", "Rules": rules})
        token = self.request("PUT", "/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
        return str(token["SecretID"])

    def change_rights(self, token: str, rules: str) -> None:
        """With ACLs: let a token that ``create_token`` made do what ``rules`` say, and nothing else any more."""
        [policy] = self.request("GET", "/v1/acl/token/self", token=token)["Policies"]
        changed = {"ID": policy["ID"], "Name": policy["Name"], "Rules": rules}
        self.request("PUT", f"/v1/acl/policy/{policy['ID']}", changed)

    def delete_token(self, token: str) -> None:
        """With ACLs: whoever uses ``token`` from now on is refused."""
        identity = self.request("GET", "/v1/acl/token/self", token=token)["AccessorID"]
        self.request("DELETE", f"/v1/acl/token/{identity}")

    def join(self, other: "Consul") -> None:
        """Let two datacenters know each other, so that each answers for both (``dc`` in queries)."""
        self.request("PUT", f"/v1/agent/join/127.0.0.1:{other._wan_port}", query={"wan": 1})

    def _leads(self) -> bool:
        try:
            if not self.request("GET", "/v1/status/leader"):
                return False
            if self._acls and not self.token:
                self.token = str(self.request("PUT", "/v1/acl/bootstrap")["SecretID"])
                self.request("PUT", "/v1/agent/token/agent", {"Token": self.token})
            return bool(self.instances("consul"))
        except RequestFailedError as error:
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or self._acls:
                return False  # it is electing its leader, or setting its ACLs up
            raise
        except OSError:
            return False


def _check(identity: str) -> str:
    return f"check-{identity}"
