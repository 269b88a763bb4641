"""The blocks of sources whose plugins are installed separately: Prometheus's words in both spellings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from extsync.config.sources import Source


def source(**blocks: Any) -> Source:
    return Source.model_validate({"name": "a", **blocks})


def reasons(**blocks: Any) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        source(**blocks)
    return [(details["loc"], details["msg"]) for details in caught.value.errors()]


def test_a_consul_entry_of_prometheus_pastes() -> None:
    entry = {
        "server": "consul.example.com:8500",
        "scheme": "https",
        "path_prefix": "/consul",
        "token": "${CONSUL_TOKEN}",
        "datacenter": "dc2",
        "services": ["orders"],
        "tags": ["primary"],
        "tag_separator": ";",
        "node_meta": {"rack": "7"},
        "allow_stale": False,
        "refresh_interval": "30s",
        "tls_config": {"ca_file": "ca.pem", "insecure_skip_verify": True},
        "http_headers": {"X-Team": {"values": ["shop"]}, "X-Key": {"secrets": ["${KEY}"]}},
    }
    consul = source(consul_sd_configs=[entry]).consul
    assert consul is not None
    assert consul.server == "https://consul.example.com:8500"
    assert (consul.path_prefix, consul.allow_stale, str(consul.wait)) == ("/consul", False, "30s")
    assert consul.tag_separator == ";"
    assert consul.tls_config is not None
    assert (consul.tls_config.ca_file, consul.tls_config.insecure_skip_verify) == ("ca.pem", True)
    assert {name: str(value) for name, value in consul.http_headers.items()} == {"X-Team": "shop", "X-Key": "${KEY}"}


@pytest.mark.parametrize(
    ("entry", "server"),
    [
        ({}, "http://localhost:8500"),
        ({"scheme": "https"}, "https://localhost:8500"),
        ({"server": "consul:8501"}, "http://consul:8501"),
        ({"server": "consul:8501", "scheme": "https"}, "https://consul:8501"),
        ({"server": "https://consul:8501", "scheme": "https"}, "https://consul:8501"),
    ],
)
def test_a_consul_entry_of_prometheus_has_prometheus_s_server(entry: dict[str, Any], server: str) -> None:
    consul = source(consul_sd_configs=[{"services": ["orders"], **entry}]).consul
    assert consul is not None
    assert consul.server == server


def test_user_and_password_of_an_old_consul_entry_are_basic_authentication() -> None:
    consul = source(consul_sd_configs=[{"services": ["orders"], "username": "u", "password": "${P}"}]).consul
    assert consul is not None
    assert consul.basic_auth is not None
    assert (consul.basic_auth.username, str(consul.basic_auth.password)) == ("u", "${P}")


def test_a_dns_entry_of_prometheus_has_prometheus_s_defaults() -> None:
    dns = source(dns_sd_configs=[{"names": ["_db._tcp.example.com"], "refresh_interval": "1m"}]).dns
    assert dns is not None
    assert (dns.type, str(dns.max_ttl)) == ("SRV", "1m")


def test_an_http_entry_of_prometheus_pastes() -> None:
    entry = {
        "url": "https://cmdb.example.com/targets",
        "basic_auth": {"username": "u", "password_file": "p"},
        "proxy_url": "http://proxy.example.com:3128",
        "follow_redirects": False,
    }
    http = source(http_sd_configs=[entry]).http
    assert http is not None
    assert http.basic_auth is not None
    assert (http.basic_auth.username, http.basic_auth.password_file) == ("u", "p")
    assert (http.follow_redirects, str(http.refresh_interval), http.max_body_bytes) == (False, "1m", 10485760)


@pytest.mark.parametrize(
    ("blocks", "place", "words"),
    [
        ({"http": {"url": "ftp://a"}}, ("http", "url"), "is not a URL"),
        ({"http": {"url": "http://"}}, ("http", "url"), "is not a URL"),
        ({"http": {"url": "http://a:99999/"}}, ("http", "url"), "99999 is not a port"),
        ({"http": {"url": "http://a:0/"}}, ("http", "url"), "0 is not a port"),
        ({"http": {"url": f"http://a:{'9' * 5000}/"}}, ("http", "url"), "is not a port"),
        ({"http": {"url": "http://a:b/"}}, ("http", "url"), "is not a URL"),
        ({"http": {"url": "http://a/?token=${TOKEN}"}}, ("http", "url"), "belongs to authorization"),
        ({"consul": {"server": "${HOST}:8500", "services": ["a"]}}, ("consul", "server"), "${NAME}"),
        ({"consul": {"server": "a", "services": ["a"], "token": ["hunter2"]}}, ("consul", "token"), "not a list"),
        ({"dns": {"names": ["a", "192.0.2.1"]}}, ("dns", "names", 1), "is an address, which needs no DNS: use static"),
        ({"dns": {"names": ["a", "2001:db8::1"]}}, ("dns", "names", 1), "use static"),
        ({"dns": {"names": ["a"], "nameservers": ["dns.example:53"]}}, ("dns", "nameservers", 0), "by its IP address"),
        ({"dns": {"names": ["a"], "nameservers": ["dns.example"]}}, ("dns", "nameservers", 0), "by its IP address"),
        ({"http": {"url": "http://a", "authorization": {}}}, ("http", "authorization"), "an authorization needs"),
        ({"http": {"url": "http://u:hunter2@a/"}}, ("http", "url"), "credentials in the URL"),
        ({"http": {"url": "http://a", "proxyUrl": "proxy:1"}}, ("http", "proxyUrl"), "not the URL of a proxy"),
        (
            {"http": {"url": "http://a", "basicAuth": {"username": "u"}}},
            ("http", "basicAuth"),
            "exactly one of password",
        ),
        (
            {"http": {"url": "http://a", "basicAuth": {"username": "u", "password": "a", "passwordFile": "b"}}},
            ("http", "basicAuth"),
            "this one has password and passwordFile",
        ),
        (
            {
                "http": {
                    "url": "http://a",
                    "basicAuth": {"username": "u", "password": "a"},
                    "authorization": {"credentials": "b"},
                }
            },
            ("http", "authorization"),
            "set the same header",
        ),
        ({"http": {"url": "http://a", "httpHeaders": {"a b": "c"}}}, ("http", "httpHeaders", "a b"), "name of an HTTP"),
        ({"http": {"url": "http://a", "httpHeaders": {"a": "c\nd"}}}, ("http", "httpHeaders", "a"), "line break"),
        ({"http": {"url": "http://a", "httpHeaders": {"a": 5}}}, ("http", "httpHeaders", "a"), "put it in quotes"),
        (
            {"http": {"url": "http://a", "httpHeaders": {"Accept-Encoding": "gzip"}}},
            ("http", "httpHeaders", "Accept-Encoding"),
            "set by extsync itself",
        ),
        (
            {
                "http": {
                    "url": "http://a",
                    "authorization": {"credentials": "${A}"},
                    "httpHeaders": {"authorization": "${B}"},
                }
            },
            ("http", "httpHeaders", "authorization"),
            "authorization sets this header too",
        ),
        (
            {"http": {"url": "http://a", "basicAuth": {"username": "u:v", "password": "${A}"}}},
            ("http", "basicAuth", "username"),
            "has a colon",
        ),
        ({"dns": {"names": ["a", "a b"]}}, ("dns", "names", 1), "is not allowed"),
        ({"dns": {"names": ["a"], "type": "MX"}}, ("dns", "type"), "'Host', 'A', 'AAAA' or 'SRV'"),
        ({"dns": {"names": ["a"], "type": "SRV", "port": 1}}, ("dns", "port"), "leave port out"),
        ({"dns": {"names": ["a"], "minTTL": "2m", "maxTTL": "1m"}}, ("dns", "minTTL"), "longer than maxTTL 1m"),
        ({"dns": {"names": ["a"], "nameservers": ["192.0.2.1"]}}, ("dns", "nameservers", 0), "is not ip:port"),
        ({"dns": {"names": ["a"], "nameservers": ["2001:db8::1:53"]}}, ("dns", "nameservers", 0), "is not ip:port"),
        ({"dns": {"names": ["a"], "nameservers": ["192.0.2.1:0"]}}, ("dns", "nameservers", 0), "0 is not a port"),
        ({"consul": {"server": "a", "services": []}}, ("consul", "services"), "at least 1"),
        (
            {"consul": {"server": "a", "services": ["b"], "token": "a", "tokenFile": "b"}},
            ("consul", "tokenFile"),
            "give only one",
        ),
        (
            {"pods": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
            ("pods", "selector", "matchExpressions", 0),
            "needs values",
        ),
        (
            {"pods": {"selector": {"matchLabels": {"app name": "db"}}}},
            ("pods", "selector", "matchLabels", "app name", "[key]"),
            "is not allowed",
        ),
        (
            {"pods": {"selector": {"matchExpressions": [{"key": "a=b", "operator": "Exists"}]}}},
            ("pods", "selector", "matchExpressions", 0, "key"),
            "is not allowed",
        ),
        (
            {"static": {"backends": []}, "relabel": [{"target_label": "colour"}]},
            ("relabel", 0, "targetLabel"),
            "is not a field of a backend",
        ),
        (
            {"static": {"backends": []}, "relabel": [{"targetLabel": "zone", "regex": "("}]},
            ("relabel", 0, "regex"),
            "regular expression",
        ),
    ],
)
def test_a_block_that_cannot_work_is_refused(blocks: dict[str, Any], place: tuple[int | str, ...], words: str) -> None:
    [(found, message)] = reasons(**blocks)
    assert found == place
    assert words in message
    assert "hunter2" not in message


def test_name_servers_are_written_canonically() -> None:
    dns = source(dns={"names": ["a"], "nameservers": ["[2001:DB8::1]:53", "127.0.0.1:5353"]}).dns
    assert dns is not None
    assert dns.nameservers == ("[2001:db8::1]:53", "127.0.0.1:5353")


def test_a_secret_is_in_no_form_of_a_model() -> None:
    consul = source(
        consul={
            "server": "http://a",
            "services": ["b"],
            "token": "hunter2",
            "httpHeaders": {"X-Token": "hunter2"},
            "basicAuth": {"username": "u", "password": "hunter2"},
            "proxyUrl": "http://u:hunter2@proxy.example.com:1",
        }
    ).consul
    assert consul is not None
    forms = (repr(consul), str(consul), str(consul.model_dump()), consul.model_dump_json())
    assert not any("hunter2" in form for form in forms)
    assert consul.token is not None
    assert consul.token.resolve({}) == "hunter2"


def test_a_secret_of_the_wrong_type_is_not_repeated() -> None:
    [(place, message)] = reasons(consul={"server": "a", "services": ["b"], "token": 8675309})
    assert place == ("consul", "token")
    assert "8675309" not in message
