"""What tests may rely on in the real servers; each fails where the server, or its fixture, does not do it."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.cluster.processes import can_listen
from tests.cluster.rest import RequestFailedError, send
from tests.cluster.waiting import wait_for
from tests.health.certificates import Authority
from tests.servers.consul import Consul
from tests.servers.knot import Knot, KnotCommandError
from tests.servers.nginx import Nginx

pytestmark = pytest.mark.sockets


def _checks(consul: Consul, service: str) -> dict[str, set[str]]:
    return {
        instance["Service"]["Address"]: {check["Status"] for check in instance["Checks"]}
        for instance in consul.instances(service)
    }


def test_consul_tells_statuses_and_maintenance_and_forgets_all_in_a_restart(consul: Consul) -> None:
    first = consul.register("web", "192.0.2.1", 80)
    second = consul.register("web", "192.0.2.2", 80, status="critical")
    consul.put_in_catalog("web", "192.0.2.3", 80, node="external", node_address="198.51.100.1")
    wait_for(
        lambda: (
            _checks(consul, "web")
            == {"192.0.2.1": {"passing"}, "192.0.2.2": {"passing", "critical"}, "192.0.2.3": {"passing"}}
        ),
        "three instances",
    )
    consul.set_status(first, "warning")
    consul.deregister(second)
    consul.remove_from_catalog("external")
    wait_for(lambda: _checks(consul, "web") == {"192.0.2.1": {"passing", "warning"}}, "one instance that warns")
    consul.set_maintenance(first, enabled=True)
    wait_for(lambda: "critical" in _checks(consul, "web")["192.0.2.1"], "maintenance")
    consul.restart()
    assert consul.instances("web") == []


def test_consul_with_acls_shows_to_each_token_what_it_may_see(make_consul: Callable[..., Consul]) -> None:
    consul = make_consul(acls=True)
    consul.register("web", "192.0.2.1", 80)
    consul.register("secret", "192.0.2.1", 80)
    wait_for(lambda: consul.instances("web") and consul.instances("secret"), "instances")
    token = consul.create_token('service "web" { policy = "read" } node_prefix "" { policy = "read" }')

    def seen(service: str, token: str) -> int:
        return len(consul.request("GET", f"/v1/health/service/{service}", token=token))

    assert [seen("web", token), seen("secret", token), seen("web", "")] == [1, 0, 0]
    consul.delete_token(token)
    wait_for(lambda: _is_refused(lambda: seen("web", token)), "refusal")


def test_consul_answers_for_a_datacenter_that_it_joined(make_consul: Callable[..., Consul]) -> None:
    here, there = make_consul(datacenter="dc1"), make_consul(datacenter="dc2")
    there.register("web", "192.0.2.1", 80)
    here.join(there)
    wait_for(lambda: not _is_refused(lambda: here.instances("web", dc="dc2")), "way to dc2")
    wait_for(lambda: len(here.instances("web", dc="dc2")) == 1, "instance in dc2")
    assert here.instances("web") == []


def test_consul_takes_clients_with_a_certificate_only(make_consul: Callable[..., Consul], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    consul = make_consul(tls=authority.issue("server"), client_ca=authority.certificate)
    url = f"{consul.https_url}/v1/status/leader"
    with pytest.raises(OSError, match=r"(?i)certificate"):
        send("GET", url, ca_file=authority.certificate)
    context = ssl.create_default_context(cafile=authority.certificate)
    context.load_cert_chain(*authority.issue("client"))
    with urllib.request.urlopen(url, context=context, timeout=30) as answer:
        assert answer.status == 200


def _is_refused(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except RequestFailedError:
        return True
    return False


def _ask(knot: Knot, name: str, kind: str = "A", *, host: str = "127.0.0.1") -> tuple[str, list[str], bool]:
    """The status, the records and whether it was truncated over UDP."""
    query = dns.message.make_query(name, kind)
    answer, by_tcp = dns.query.udp_with_fallback(query, host, port=knot.port, timeout=5)
    return dns.rcode.to_text(answer.rcode()), [str(rdata) for rrset in answer.answer for rdata in rrset], by_tcp


def test_knot_gives_every_kind_of_answer(make_knot: Callable[..., Knot]) -> None:
    records = ["www 7 A 192.0.2.1", *(f"big 1 A 192.0.2.{number}" for number in range(100))]
    knot = make_knot({"one.test": records, "broken.test": None})
    assert _ask(knot, "www.one.test") == ("NOERROR", ["192.0.2.1"], False)
    assert _ask(knot, "www.one.test", "AAAA") == ("NOERROR", [], False)
    assert _ask(knot, "missing.one.test") == ("NXDOMAIN", [], False)
    assert _ask(knot, "www.broken.test") == ("SERVFAIL", [], False)
    assert _ask(knot, "www.other.test") == ("REFUSED", [], False)
    status, addresses, truncated = _ask(knot, "big.one.test")
    assert (status, len(addresses), truncated) == ("NOERROR", 100, True)


def test_knot_changes_its_records_at_once_and_breaks_and_mends_a_zone(make_knot: Callable[..., Knot]) -> None:
    knot = make_knot({"one.test": ["www 7 A 192.0.2.1"]})
    knot.change("one.test", remove=["www A 192.0.2.1"], add=["www 7 A 192.0.2.2", "_web._tcp 7 SRV 0 5 80 www"])
    assert _ask(knot, "www.one.test")[1] == ["192.0.2.2"]
    assert _ask(knot, "_web._tcp.one.test", "SRV")[1] == ["0 5 80 www.one.test."]
    with pytest.raises(KnotCommandError, match="no such"):
        knot.change("one.test", remove=["www A 192.0.2.1"], add=["www 7 A 192.0.2.3"])
    assert _ask(knot, "www.one.test")[1] == ["192.0.2.2"]
    knot.fail("one.test")
    assert _ask(knot, "www.one.test")[0] == "SERVFAIL"
    knot.load("one.test", ["www 7 AAAA 2001:db8::1"])
    assert _ask(knot, "www.one.test", "AAAA")[1] == ["2001:db8::1"]


@pytest.mark.skipif(not can_listen("::1"), reason="this machine has no IPv6")
def test_knot_answers_over_ipv6(make_knot: Callable[..., Knot]) -> None:
    assert _ask(make_knot({"one.test": ["www 7 A 192.0.2.1"]}), "www.one.test", host="::1")[1] == ["192.0.2.1"]


def test_nginx_serves_files_and_locations_over_http_and_https(make_nginx: Callable[..., Nginx], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    nginx = make_nginx("location = /gone { return 410; }", tls=authority.issue("server"))
    (nginx.root / "targets.json").write_text(json.dumps([]))
    assert send("GET", f"{nginx.url}/targets.json") == b"[]"
    assert send("GET", f"{nginx.https_url}/targets.json", ca_file=authority.certificate) == b"[]"
    with pytest.raises(RequestFailedError, match=r"^410"):
        send("GET", f"{nginx.url}/gone")
    assert nginx.access_log.read_text().count("GET /targets.json") == 2
    nginx.kill()
    with pytest.raises(OSError, match="refused"):
        send("GET", nginx.url)
