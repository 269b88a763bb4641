"""What rules make of the labels of backends, as Prometheus's relabel_configs do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extsync.config.loader import load
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
        ("drain", "True", "drain", True),
        ("drain", "TRUE", "drain", True),
        ("drain", "False", "drain", False),
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


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("value", ["yes", "1", "truely"])
def test_what_is_neither_true_nor_false_leaves_drain_as_it_is_and_is_told(value: str, before: bool) -> None:
    given = backend(port=80, drain=before)
    made = rules({"targetLabel": "drain", "replacement": value}, copy("env", "group")).apply(found(given))
    assert [(one.drain, one.group) for one in made.backends] == [(before, "Prod")]
    reason = "relabel: it is neither true nor false, and drain stays as the source has it"
    assert made.rejected == (Rejected(f"drain '{value}' of 10.0.0.1:80", reason),)


def test_a_remark_is_kept_with_the_backend_that_did_not_change() -> None:
    relabelling = rules({"targetLabel": "drain", "replacement": "yes"})
    first = relabelling.apply(found(backend("10.0.0.1")))
    second = relabelling.apply(found(backend("10.0.0.1"), backend("10.0.0.2")))
    assert second.backends[0] is first.backends[0]
    assert [one.entry for one in second.rejected] == ["drain 'yes' of 10.0.0.1", "drain 'yes' of 10.0.0.2"]


def test_backends_that_are_set_aside_are_told_before_fields_and_both_up_to_a_bound() -> None:
    many = [backend(f"10.0.{n // 250}.{n % 250 + 1}", labels={"d": "yes"}) for n in range(1500)]
    bad = backend("10.9.0.1", labels={"d": "yes", "p": "x"})
    made = rules(copy("d", "drain"), copy("p", "port")).apply(found(*many, bad))
    assert len(made.backends) == 1500
    assert len(made.rejected) == 1001
    assert made.rejected[0].entry == "10.9.0.1"
    assert made.rejected[-1].reason == "501 further backends or fields cannot be used either"


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


@pytest.mark.parametrize(("text", "hashed"), [("baz", "976"), ("foo\nbar", "734")])
def test_hashes_are_those_of_prometheus(text: str, hashed: str) -> None:
    given = backend(labels={"c": text})
    assert one(given, copy("c", "zone", action="hashmod", modulus=1000)).zone == hashed


@pytest.mark.parametrize(
    ("regex", "text", "zone"),
    [
        ("a.c", "a\nc", "a\nc"),  # the dot matches a line break
        ("a$", "a\n", None),  # the end is the end, not the last line break
        ("\\d", "\u0663", None),  # classes are ASCII
        ("\\w+", "\u00e9", None),
        ("(?i)\u00e9", "\u00c9", "\u00c9"),  # case is not
        ("a{,2}", "a{,2}", "a{,2}"),  # no repetition in RE2
        ("a|ab", "ab", "ab"),  # the whole, whichever alternative comes first
        ("(?U)(.+)b?", "ab", "ab"),
        ("[[:alpha:]]+", "ab", "ab"),
        ("\\pL", "\u00e9", "\u00e9"),
        ("", "", None),
    ],
)
def test_regular_expressions_are_those_of_prometheus(regex: str, text: str, zone: str | None) -> None:
    assert one(backend(labels={"a": text}), copy("a", "zone", regex=regex, replacement="$0")).zone == zone


def test_no_expression_takes_for_ever() -> None:
    given = backend(labels={"a": "a" * 5000})
    assert one(given, copy("a", "zone", regex="(a+)+(a|aa)*(.*,)*b", replacement="x")).zone is None


@pytest.mark.parametrize(
    ("replacement", "zone"),
    [
        ("${1}0", "x0"),
        ("$$1", "$1"),
        ("$0", "x-y"),
        ("${last}$1", "yx"),
        ("$last.", "y."),
        ("a$-", "a$-"),
        ("${1", "${1"),
        ("", None),
        ("$2$3", "y"),
    ],
)
def test_a_replacement_refers_to_groups(replacement: str, zone: str | None) -> None:
    rule = copy("a", "zone", regex="(x)-(?P<last>y)(z)?", replacement=replacement)
    assert one(backend(labels={"a": "x-y"}, zone="before"), rule).zone == zone


def test_where_a_rule_does_not_match_the_field_stays() -> None:
    given = backend(zone="before")
    assert one(given, copy("env", "zone", regex="(x)")) is given


@pytest.mark.parametrize(
    ("address", "port", "label"),
    [
        ("10.0.0.1", 80, "10.0.0.1:80"),
        ("2001:db8::1", 80, "[2001:db8::1]:80"),
        ("2001:db8::1", None, "2001:db8::1"),
    ],
)
def test_the_address_can_be_read_as_prometheus_has_it(address: str, port: int | None, label: str) -> None:
    assert one(backend(address, port=port), copy("__address__", "zone")).zone == label


@pytest.mark.parametrize(
    ("action", "text", "expected"),
    [
        ("lowercase", "\u03a3A\u03a3", "\u03c3a\u03c3"),
        ("uppercase", "stra\u00dfe", "STRA\u00dfE"),
        ("lowercase", "", None),
    ],
)
def test_letters_change_their_case_one_by_one(action: str, text: str, expected: str | None) -> None:
    assert one(backend(labels={"a": text}, zone="x"), copy("a", "zone", action=action)).zone == expected


def test_of_two_labels_that_are_mapped_to_one_name_the_last_by_name_counts() -> None:
    given = backend(labels={"x_a": "1", "y_a": "2"})
    assert dict(one(given, {"action": "labelmap", "regex": "[xy]_(.*)"}).labels)["a"] == "2"


def test_a_text_that_grows_without_end_sets_its_backend_aside() -> None:
    doubling = copy("__tmp_a", "__tmp_a", replacement="$1$1")
    reason = refused(backend(labels={"a": "x" * 100}), copy("a", "__tmp_a"), *[doubling] * 60)
    assert reason == "relabel: a text of 25600 characters is too long: at most 16384 are looked at"


def test_where_no_backend_is_fit_the_answer_says_so_and_is_not_empty() -> None:
    many = [backend(f"10.0.{number // 250}.{number % 250 + 1}") for number in range(1500)]
    observation = rules({"targetLabel": "port", "replacement": "x"}).apply(found(*many))
    assert (observation.outcome, observation.backends) == (Outcome.FOUND, ())
    assert len(observation.rejected) == 1001
    assert observation.rejected[-1].reason == "500 further backends or fields cannot be used either"


def test_an_answer_of_which_nothing_is_kept_carries_over_what_else_it_said() -> None:
    rejected = (Rejected("db-9", "is no address"),)
    given = Observation(Outcome.FOUND, (backend(),), rejected, refresh=5.0)
    made = rules({"sourceLabels": ["env"], "action": "drop"}).apply(given)
    assert (made.outcome, made.rejected, made.refresh) == (Outcome.EMPTY, rejected, 5.0)


def test_a_backend_that_is_reported_again_stays_the_same_object() -> None:
    relabelling = rules(copy("env", "zone"))
    first = relabelling.apply(found(backend("10.0.0.1"), backend("10.0.0.2")))
    second = relabelling.apply(found(backend("10.0.0.2"), backend("10.0.0.3")))
    assert second.backends[0] is first.backends[1]
    assert [one.zone for one in second.backends] == ["Prod", "Prod"]


def test_after_a_failure_what_was_made_before_is_still_known() -> None:
    relabelling = rules(copy("env", "zone"))
    first = relabelling.apply(found(backend()))
    relabelling.apply(Observation(Outcome.ERROR, detail="x"))
    assert relabelling.apply(found(backend())).backends[0] is first.backends[0]


def test_of_parts_only_those_that_keep_nothing_are_empty() -> None:
    relabelling = rules({"sourceLabels": ["__address__"], "regex": ".*2", "action": "keep"})
    made = relabelling.apply(several([("a", found(backend("10.0.0.1"))), ("b", found(backend("10.0.0.2")))]))
    assert [part.outcome for _, part in made.parts] == [Outcome.EMPTY, Outcome.FOUND]
    assert made.outcome is Outcome.FOUND


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
    assert len(made.backends) <= 1
    assert len(made.rejected) <= 1
    assert made.outcome in (Outcome.FOUND, Outcome.EMPTY)


EXAMPLE = Path(__file__).parents[2] / "config" / "manifests" / "relabel.yaml"


def test_the_example_makes_fields_of_what_registries_know() -> None:
    [loaded] = load([EXAMPLE]).manifests
    consul, inventory = (Relabelling(source.relabel) for source in loaded.manifest.spec.sources)
    labels = {
        "__meta_consul_metadata_zone": "dc-1a",
        "__meta_consul_node": "DB-7.example.com",
        "__meta_consul_service_metadata_zone": "dc-1b",
        "__meta_consul_tags": ",blue,retiring,",
    }
    [made] = consul.apply(found(backend(labels=labels))).backends
    assert (made.zone, made.drain, made.hostname) == ("dc-1b", True, "db-7")

    groups = json.loads((EXAMPLE.parent / "targets" / "catalogue.json").read_text())
    backends = [
        backend(target.rpartition(":")[0], port=8080, labels=group["labels"])
        for group in groups
        for target in group["targets"]
    ]
    made_of = inventory.apply(found(*backends)).backends
    assert [(one.zone, one.group, one.node_name, one.port) for one in made_of] == [
        ("dc-1-7", "stable", None, 8080),
        ("dc-1-7", "stable", None, 8080),
        ("dc-2-3", "canary", "edge-3", 9080),
    ]
