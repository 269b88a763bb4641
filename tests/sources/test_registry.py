"""The table of source plugins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from extsync.config.sources import Source as SourceBlock
from extsync.errors import ConfigError
from extsync.model import Outcome
from extsync.seams import SystemClock
from extsync.sources.registry import Plugin, Registry
from extsync.sources.static import StaticSource
from extsync.sources.supervise import first_report
from tests.sources.support import addresses, context

RACKDB = Path(__file__).parents[1] / "plugins" / "rackdb"


@pytest.fixture
def rackdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the third-party package as far as Python can tell, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(RACKDB))
    monkeypatch.setitem(sys.modules, "extsync_rackdb", None)
    monkeypatch.delitem(sys.modules, "extsync_rackdb")


def install(folder: Path, name: str, *entries: str) -> None:
    """Writes the metadata of a distribution that registers ``entries``."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[extsync.sources]", *entries, ""]))


def registry(*plugins: Plugin) -> Registry:
    return Registry(lambda: plugins)


def test_the_built_in_kinds_are_known_without_any_installation() -> None:
    assert registry().kinds() == ("consul", "dns", "file", "http", "pods", "static")


def test_a_built_in_kind_is_created_from_its_block() -> None:
    source = registry().create("static", SimpleNamespace(backends=()), context())
    assert isinstance(source, StaticSource)


@pytest.mark.usefixtures("rackdb")
async def test_a_source_of_another_package_registers_by_entry_point() -> None:
    block = SourceBlock.model_validate({"name": "racks", "plugin": {"type": "rackdb", "config": {"rack": "r1"}}})
    source = Registry().create(block.factory, block.config, context())
    report = await first_report(source, SystemClock(), 10)
    assert report.outcome is Outcome.FOUND
    assert addresses(report) == ["10.1.0.1", "10.1.0.2"]


@pytest.mark.usefixtures("rackdb")
def test_a_plugin_is_imported_only_when_its_own_kind_is_created() -> None:
    installed = Registry()
    assert "rackdb" in installed.kinds()
    installed.create("static", SimpleNamespace(backends=()), context())
    assert "extsync_rackdb" not in sys.modules
    installed.create("rackdb", {"rack": "r2"}, context())
    assert "extsync_rackdb" in sys.modules


def test_listing_the_kinds_imports_no_built_in_plugin_either() -> None:
    code = "import sys, extsync.sources.registry as r; r.kinds(); print('extsync.sources.file' in sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert listed.stdout == "False\n"


@pytest.mark.usefixtures("rackdb")
def test_what_a_plugin_says_against_its_configuration_names_the_source() -> None:
    with pytest.raises(ConfigError, match="source 'rack': there is no rack 'r9'; there are r1, r2"):
        Registry().create("rackdb", {"rack": "r9"}, context())


def test_two_distributions_with_one_kind_are_both_named_and_neither_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "acme-racks", "racks = acme:Source")
    install(tmp_path, "other-racks", "racks = other:Source")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        Registry().create("racks", {}, context())
    assert "acme-racks 1.0 (acme:Source)" in str(refused.value)
    assert "other-racks 1.0 (other:Source)" in str(refused.value)
    assert "uninstall one of them" in str(refused.value)


def test_a_kind_registered_twice_leaves_the_other_kinds_usable() -> None:
    twice = registry(Plugin("racks", "acme:Source", "acme 1.0"), Plugin("racks", "other:Source", "other 1.0"))
    assert twice.kinds() == ("consul", "dns", "file", "http", "pods", "racks", "static")
    twice.create("static", SimpleNamespace(backends=()), context())


def test_a_built_in_kind_cannot_be_replaced_silently() -> None:
    with pytest.raises(ConfigError, match=r"registered twice, by extsync .* and acme 1.0 \(acme:Source\)"):
        registry(Plugin("file", "acme:Source", "acme 1.0")).find("file")


def test_extsyncs_own_metadata_is_no_second_registration() -> None:
    own = registry(Plugin("file", "extsync.sources.file:FileSource", "extsync 0.1"))
    assert own.find("file").distribution == "extsync"


def test_a_mistyped_kind_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="no source of type 'statik'; did you mean 'static'"):
        registry().create("statik", {}, context())


def test_an_unknown_kind_is_told_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"no source of type 'zookeeper'; install the package.*known: consul, dns"):
        registry().create("zookeeper", {}, context())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "no attribute 'Source'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_with_its_distribution_and_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    install(tmp_path, "acme-broken", "broken = acme_broken:Source")
    (tmp_path / "acme_broken.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_broken", raising=False)
    with pytest.raises(ConfigError) as refused:
        Registry().create("broken", {}, context())
    sys.modules.pop("acme_broken", None)
    text = str(refused.value)
    assert "'broken' of acme-broken 1.0" in text
    assert reason in text
    assert "reinstall or upgrade acme-broken 1.0" in text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("extsync.sources.registry:GROUP", "is not callable"),
        ("builtins:dict", "failed on its configuration"),
        ("types:SimpleNamespace", "failed on its configuration"),
        ("extsync.model:ServiceKey", "has no run"),
    ],
)
def test_a_plugin_that_is_no_source_is_a_clear_error(value: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        registry(Plugin("odd", value, "acme 1.0")).create("odd", 7, context())
