"""Process settings: a file, then the environment, then flags; and what is said where one of them is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from extsync.config.settings import KEYS, Settings, load_settings
from extsync.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config" / "settings.yaml"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for variable in list(os.environ):
        if variable.startswith("EXTSYNC_"):
            monkeypatch.delenv(variable)


def wrong(path: Path | None, **overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, overrides=overrides)
    return str(caught.value).splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_without_anything_there_are_the_defaults() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.owner, settings.concurrency, settings.namespaces) == ("default", 4, ())
    assert (settings.qps, settings.burst, settings.max_in_flight) == (20, 30, 10_000)
    assert [str(setting) for setting in (settings.request_timeout, settings.removal_delay)] == ["10s", "1m"]


def test_the_example_has_every_key_with_its_default() -> None:
    assert load_settings(EXAMPLE) == Settings()
    assert set(yaml.safe_load(EXAMPLE.read_text())) == set(KEYS)


def test_the_later_layer_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("owner: from-file\nconcurrency: 1\nqps: 1\n")
    monkeypatch.setenv("EXTSYNC_CONCURRENCY", "2")
    monkeypatch.setenv("EXTSYNC_QPS", "2.5")
    settings = load_settings(file, overrides={"qps": "3"})
    assert (settings.owner, settings.concurrency, settings.qps) == ("from-file", 2, 3.0)


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_NAMESPACES", "shop, payments")
    monkeypatch.setenv("EXTSYNC_LOG_LEVEL", "debug")
    monkeypatch.setenv("EXTSYNC_REMOVAL_DELAY", "5m")
    monkeypatch.setenv("EXTSYNC_OWNER", "")
    settings = load_settings()
    assert settings.namespaces == ("shop", "payments")
    assert (settings.log_level, str(settings.removal_delay), settings.owner) == ("debug", "5m", "default")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().owner = "x"  # type: ignore[misc]


def test_a_named_file_that_is_missing_is_an_error(file: Path) -> None:
    assert wrong(file) == [f"{file}: error: there is no such file or directory"]
    assert wrong(file.parent) == [f"{file.parent}: this is a directory: name the file with the settings"]


def test_a_file_with_nothing_but_comments_is_no_error(file: Path) -> None:
    file.write_text("# owner: x\n")
    assert load_settings(file) == Settings()


def test_every_fault_is_reported_with_where_the_value_came_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("owner: a b\nconcurency: 3\nlogLevel: inf\nnamespaces: [a, B]\nremovalDelay: 60\nburst:\n")
    monkeypatch.setenv("EXTSYNC_QPS", "fast")
    monkeypatch.setenv("EXTSYNC_LEADER_ELECTION", "maybe")
    rule = "beginning and ending with a letter or digit"
    assert sorted(wrong(file, max_in_flight=0)) == sorted(
        [
            f"{file}:2:1: error: concurency: unknown key (did you mean 'concurrency'?)",
            f"{file}:6:1: error: burst: is empty: give it a value or leave the key out",
            f"{file}:1:8: error: owner: 'a b' is not allowed: use letters, digits, '-', '_' and '.', {rule}",
            f"{file}:3:11: error: logLevel: must be 'debug', 'info', 'warning' or 'error', not 'inf'"
            " (did you mean 'info'?)",
            f"{file}:4:17: error: namespaces[1]: 'B' is not allowed: use lower-case letters, digits and '-', {rule}",
            f"{file}:5:15: error: removalDelay: 60 has no unit: write 60s for seconds",
            "EXTSYNC_QPS: must be a number, not text",
            "EXTSYNC_LEADER_ELECTION: must be true or false, not text",
            "--max-in-flight: must be at least 1",
        ]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "settings are a mapping, not a list"),
        ("owner: a\n---\nowner: b\n", "another one begins"),
        ("owner: [\n", "this is not YAML"),
        ("owner: a\nowner: b\n", "the key 'owner' is given twice"),
        ("owner: yes\n", "reads as true or false"),
        ("concurrency: true\n", "must be a number, not true or false"),
        ("qps: 0\n", "must be more than 0"),
        ("requestTimeout: 0s\n", "0s is too short"),
        ("namespaces: a b\n", "'a b' is not allowed"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    [line] = wrong(file)
    assert words in line
    assert line.startswith(f"{file}:")


def test_a_variable_that_is_nearly_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_CONCURENCY", "3")
    assert wrong(None) == ["EXTSYNC_CONCURENCY: unknown variable (did you mean EXTSYNC_CONCURRENCY?)"]


def test_the_variables_of_a_service_named_extsync_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EXTSYNC_SERVICE_HOST", "EXTSYNC_SERVICE_PORT", "EXTSYNC_PORT", "EXTSYNC_PORT_9440_TCP_ADDR"):
        monkeypatch.setenv(variable, "tcp://10.0.0.1:9440")
    assert load_settings() == Settings()


def test_reading_manifests_imports_nothing_that_is_slow() -> None:
    code = "import extsync.config.loader, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    slow = {"pydantic_settings", "asyncio", "aiohttp", "rich", "kubernetes_asyncio", "extsync.config.schema"}
    assert slow.isdisjoint(run.stdout.split())


@pytest.mark.parametrize(
    "text", ["192.0.2.1", "dns.example:53", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:53", "[fe80::1%eth0]:53"]
)
def test_a_sentinel_is_an_address_with_a_port(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_SENTINELS", f"192.0.2.2:53,{text}")
    with pytest.raises(ConfigError, match=r"^EXTSYNC_SENTINELS: is no address with a port: write 192\.0\.2\.1:53"):
        load_settings()


def test_sentinels_may_have_either_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_SENTINELS", "192.0.2.1:53,[2001:DB8:0::1]:53")
    assert load_settings().sentinels == ("192.0.2.1:53", "[2001:db8::1]:53")


def test_probes_are_sent_from_one_address_of_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_PROBE_SOURCE_ADDRESSES", "192.0.2.1, 2001:DB8:0::1")
    assert load_settings().probe_source_addresses == ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.0.2.1,192.0.2.2", "has two addresses of one family"),
        ("2001:db8::1,192.0.2.1,2001:db8::2", "has two addresses of one family"),
        ("eth0", "eth0"),
        ("fe80::1%eth0", "has a zone id"),
        ("0.0.0.0", "0.0.0.0 is "),
    ],
)
def test_a_source_address_that_cannot_be_one_is_told(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_PROBE_SOURCE_ADDRESSES", text)
    with pytest.raises(ConfigError, match=f"^EXTSYNC_PROBE_SOURCE_ADDRESSES: .*{said}"):
        load_settings()


@pytest.mark.parametrize(("count", "said"), [(-1, "must be at least 0"), (65, "must be at most 64")])
def test_probes_are_made_by_at_most_64_processes(count: int, said: str) -> None:
    assert load_settings(overrides={"probe_workers": 64}).probe_workers == 64
    assert wrong(None, probe_workers=count) == [f"--probe-workers: {said}"]


@pytest.mark.parametrize("text", ["none", "127.0.0.1:0", ":9440", "0.0.0.0:9440", "[::]:9440"])
def test_the_status_port_is_an_address_and_a_port_or_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTSYNC_LISTEN", text)
    assert load_settings().listen == text


@pytest.mark.parametrize("text", ["9440", ":", "[]:9440", "localhost:9440", "::1:9440", "127.0.0.1:65536", "127.0.0.1"])
def test_what_is_no_address_with_a_port_is_told(text: str) -> None:
    said = "is no address with a port: write 127.0.0.1:9440, :9440 for all addresses, or none"
    assert wrong(None, listen=text) == [f"--listen: {said}"]
