"""What rules make of the labels of backends, as Prometheus's relabel_configs do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.relabel import Relabel
from extsync.model import Backend, Observation, Outcome, Rejected, several
from extsync.sources.relabel import Relabelling

LABELS = {"__meta_consul_dc": "dc1", "__meta_consul_tags": ",blue,primary,", "env": "Prod", "zone": "by-itself"}


def rules(*blocks: dict[str, Any]) -> Relabelling:
    return Relabelling(Relabel.model_validate(block) for block in blocks)


def backend(address: str = "10.0.0.1", *, labels: dict[str, str] = LABELS, **fields: Any) -> Backend:
    return Backend(address, labels=tuple(sorted(labels.items())), **fields)


def found(*backends: Backend) -> Observation:
    return Observation(Outcome.FOUND, backends)


def one(given: Backend, *blocks: dict[str, Any]) -> Backend:
    (made,) = rules(*blocks).apply(found(given)).backends
    return made


def refused(given: Backend, *blocks: dict[str, Any]) -> str:
    observation = rules(*blocks).apply(found(given))
    assert not observation.backends
    (rejected,) = observation.rejected
    return rejected.reason


def copy(label: str, target: str, **more: Any) -> dict[str, Any]:
    return {"sourceLabels": [label], "targetLabel": target, **more}


@pytest.mark.parametrize(
    ("rule", "zone"),
    [
        (copy("__meta_consul_dc", "zone"), "dc1"),
        (copy("__meta_consul_dc", "zone", regex="dc([0-9]+)", replacement="zone-$1"), "zone-1"),
        (copy("__meta_consul_dc", "zone", regex="dc(?P<number>[0-9]+)", replacement="zone-${number}a"), "zone-1a"),
        (copy("__meta_consul_dc", "zone", regex="c1", replacement="never: it is not all of it"), None),
        (copy("no_such_label", "zone"), None),
        (copy("no_such_label", "zone", regex="()", replacement="by-default"), "by-default"),
        ({"targetLabel": "zone", "replacement": "constant"}, "constant"),
        ({"sourceLabels": ["env", "__meta_consul_dc"], "separator": "-", "targetLabel": "zone"}, "Prod-dc1"),
        ({"sourceLabels": ["env", "__meta_consul_dc"], "targetLabel": "zone", "regex": "(.*);dc.*"}, "Prod"),
        (copy("env", "zone", action="lowercase"), "prod"),
        (copy("env", "zone", action="uppercase"), "PROD"),
        (copy("env", "zone", action="hashmod", modulus=1000), "501"),
        ({"action": "labelmap", "regex": "__meta_consul_(dc)", "replacement": "zone"}, "dc1"),
        ({"action": "labelmap", "regex": "(zone)"}, "by-itself"),
    ],
)
def test_a_rule_sets_a_field(rule: dict[str, Any], zone: str | None) -> None:
    assert one(backend(), rule).zone == zone


@pytest.mark.parametrize(
    ("target", "value", "attribute", "expected"),
    [
        ("address", "2001:DB8::1", "address", "2001:db8::1"),
        ("hostname", "db-1", "hostname", "db-1"),
        ("nodeName", "edge-1", "node_name", "edge-1"),
        ("group", "blue", "group", "blue"),
        ("port", "3307", "port", 3307),
        ("drain", "true", "drain", True),
        ("drain", "false", "drain", False),
    ],
)
def test_each_field_can_be_set(target: str, value: str, attribute: str, expected: object) -> None:
    assert getattr(one(backend(), {"targetLabel": target, "replacement": value}), attribute) == expected


def test_an_empty_value_unsets_a_field() -> None:
    given = backend(zone="a", port=80, group="blue", hostname="db", drain=True)
    unset = [{"targetLabel": name, "replacement": ""} for name in ("zone", "port", "group", "hostname", "drain")]
    assert one(given, *unset) == backend()


@pytest.mark.parametrize(
    ("target", "value", "reason"),
    [
        ("address", "db.example.com", "relabel: "),
        ("address", "", "relabel: it leaves no address"),
        ("port", "http", "relabel: 'http' is not a port: ports are 1 to 65535"),
        ("port", "70000", "relabel: '70000' is not a port: ports are 1 to 65535"),
        ("drain", "yes", "relabel: drain is true or false, not 'yes'"),
    ],
)
def test_a_backend_whose_field_cannot_be_so_is_set_aside(target: str, value: str, reason: str) -> None:
    assert refused(backend(), {"targetLabel": target, "replacement": value}).startswith(reason)


def test_one_bad_backend_takes_no_other_away_and_earlier_rejections_stay() -> None:
    bad, good = backend("10.0.0.1", labels={"port": "x"}), backend("10.0.0.2", labels={"port": "81"})
    earlier = Rejected("db-9", "is no address")
    observation = Observation(Outcome.FOUND, (bad, good), (earlier,), refresh=5.0)
    made = rules({"action": "labelmap", "regex": "(port)"}).apply(observation)
    assert [one.port for one in made.backends] == [81]
    assert [one.entry for one in made.rejected] == ["db-9", "10.0.0.1"]
    assert made.refresh == 5.0


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"sourceLabels": ["env"], "regex": "Prod|Test", "action": "keep"}, True),
        ({"sourceLabels": ["env"], "regex": "Pro", "action": "keep"}, False),
        ({"sourceLabels": ["env"], "regex": "Prod", "action": "drop"}, False),
        ({"sourceLabels": ["__meta_consul_tags"], "regex": ".*,blue,.*", "action": "keep"}, True),
        ({"sourceLabels": ["zone"], "targetLabel": "zone", "action": "keepequal"}, True),
        ({"sourceLabels": ["env"], "targetLabel": "zone", "action": "keepequal"}, False),
        ({"sourceLabels": ["env"], "targetLabel": "zone", "action": "dropequal"}, True),
        ({"sourceLabels": ["__address__"], "regex": "10\\.0\\.0\\.1:80", "action": "keep"}, True),
    ],
)
def test_rules_keep_and_drop_backends(rule: dict[str, Any], kept: bool) -> None:
    other = backend("10.0.0.9", port=80, labels={"env": "Prod", "zone": "Prod", "__meta_consul_tags": ",blue,"})
    observation = rules(rule).apply(found(backend(port=80), other))
    assert ("10.0.0.1" in [one.address for one in observation.backends]) is kept


def test_where_no_backend_is_kept_the_answer_is_empty_and_waits_for_its_hold() -> None:
    observation = rules({"sourceLabels": ["env"], "regex": "x", "action": "keep"}).apply(found(backend()))
    assert observation == Observation(Outcome.EMPTY, detail="relabel keeps none of its 1 backends")


def test_metadata_that_happens_to_be_called_like_a_field_changes_nothing_by_itself() -> None:
    given = backend()
    assert one(given, {"targetLabel": "__tmp_x", "replacement": "y"}) is given


def test_a_field_that_is_set_comes_before_metadata_of_its_name() -> None:
    assert one(backend(zone="a"), copy("zone", "group")).group == "a"
    assert one(backend(), copy("zone", "group")).group == "by-itself"


def test_a_later_rule_reads_what_an_earlier_one_wrote() -> None:
    made = one(backend(), copy("env", "__tmp_env", action="lowercase"), copy("__tmp_env", "group"))
    assert made.group == "prod"
    assert made.labels == backend().labels


def test_metadata_can_be_dropped_and_made_and_fields_stay() -> None:
    given = backend(zone="a")
    dropped = one(given, {"action": "labeldrop", "regex": "__meta_.*|zone"})
    assert dropped.labels == (("env", "Prod"), ("zone", "by-itself"))
    assert dropped.zone == "a"
    assert one(given, {"action": "labelkeep", "regex": "env"}).labels == (("env", "Prod"), ("zone", "by-itself"))
    mapped = one(given, {"action": "labelmap", "regex": "__meta_consul_(.+)"})
    assert dict(mapped.labels)["dc"] == "dc1"


def test_without_rules_and_for_failures_the_report_is_the_same_object() -> None:
    observation, failed = found(backend()), Observation(Outcome.ERROR, detail="x")
    assert Relabelling(()).apply(observation) is observation
    assert rules({"targetLabel": "zone", "replacement": "x"}).apply(failed) is failed


def test_parts_are_relabelled_one_by_one_and_those_that_did_not_change_are_the_same_objects() -> None:
    relabelling = rules({"targetLabel": "zone", "replacement": "x"})
    a, b = found(backend("10.0.0.1")), found(backend("10.0.0.2"))
    first = relabelling.apply(several([("a", a), ("b", b)]))
    assert [part.backends[0].zone for _, part in first.parts] == ["x", "x"]
    second = relabelling.apply(several([("a", a), ("b", Observation(Outcome.ERROR, detail="x"))]))
    assert second.parts[0][1] is first.parts[0][1]
    assert second.outcome is Outcome.ERROR


def test_the_same_report_once_more_is_the_same_object() -> None:
    relabelling = rules({"targetLabel": "zone", "replacement": "x"})
    for observation in (found(backend()), several([("a", found(backend()))])):
        assert relabelling.apply(observation) is relabelling.apply(observation)


TEXT = st.text(max_size=6)


@given(
    st.dictionaries(TEXT, TEXT, max_size=4),
    st.lists(
        st.sampled_from(
            [
                copy("a", "zone"),
                copy("b", "port"),
                copy("a", "address", regex="(.+)"),
                copy("a", "drain", action="lowercase"),
                copy("a", "group", action="hashmod", modulus=7),
                {"action": "labelmap", "regex": "(.+)"},
                {"action": "labeldrop", "regex": "a.*"},
                {"sourceLabels": ["a"], "regex": ".+", "action": "drop"},
            ]
        ),
        max_size=4,
    ),
)
def test_whatever_the_labels_are_nothing_is_raised(labels: dict[str, str], blocks: list[dict[str, Any]]) -> None:
    made = rules(*blocks).apply(found(backend(labels=labels, port=80)))
    assert len(made.backends) + len(made.rejected) <= 1
    assert made.outcome in (Outcome.FOUND, Outcome.EMPTY)
