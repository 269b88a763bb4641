"""Environment variables that are not for manifests are not taken, whoever asks for them."""

from __future__ import annotations

import pytest

from extsync.config.secret import Secret
from extsync.engine.prepare import prepare
from extsync.engine.world import context_of
from extsync.errors import ConfigError
from extsync.limits import Limits
from extsync.variables import Variables
from tests.engine.support import Rig, loaded, manifest, rack

ENVIRON = {"CONSUL_TOKEN": "a", "AWS_SECRET_ACCESS_KEY": "b", "EXTSYNC_SECRET_X": "c"}


def test_what_is_looked_up_later_is_judged_as_well() -> None:
    seen = Variables().within(ENVIRON)
    assert Secret("${CONSUL_TOKEN}").resolve(seen) == "a"
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY may be a login of this machine"):
        Secret("${AWS_SECRET_ACCESS_KEY}").resolve(seen)
    with pytest.raises(ConfigError, match="OTHER is not set"):
        Secret("${OTHER}").resolve(seen)


def test_those_that_are_not_allowed_are_not_seen_at_all() -> None:
    assert dict(Variables().within(ENVIRON)) == {"CONSUL_TOKEN": "a", "EXTSYNC_SECRET_X": "c"}
    named = Variables(("EXTSYNC_SECRET_*",)).within(ENVIRON)
    assert (dict(named), len(named)) == ({"EXTSYNC_SECRET_X": "c"}, 1)
    assert "AWS_SECRET_ACCESS_KEY" not in named


def test_a_name_is_matched_as_a_whole_and_with_its_case() -> None:
    only = Variables(("TOKEN",))
    assert not only.denied("TOKEN")
    assert all(map(only.denied, ("TOKENS", "MY_TOKEN", "token")))


def test_sources_and_checks_get_no_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "a")
    monkeypatch.setenv("OTHER", "b")
    check = {"httpGet": {"port": 80, "httpHeaders": [{"name": "X", "value": "${OTHER}"}]}, "periodSeconds": 5}
    [orders] = loaded(manifest("orders", rack("192.0.2.1"), checks=[check])).manifests
    limits = Limits(variables=Variables(("TOKEN",)))
    with pytest.raises(ConfigError, match="OTHER is none that manifests may name"):
        prepare(orders.manifest, orders.base_dir, owner="default", limits=limits)
    rig = Rig()
    prepared = prepare(
        orders.manifest, orders.base_dir, owner="default", limits=Limits(variables=Variables(("OTHER",)))
    )
    seen = context_of(prepared.manifest.spec.sources[0], prepared, rig.world).environ
    assert dict(seen) == {"OTHER": "b"}
