"""What a file says, in both forms and both languages."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extsync.model import Backend, ProbeOverride, TargetRef
from extsync.sources.file.payload import parse
from extsync.sources.payload import Payload, builder, yaml_list


def parse_json(value: object, path: str = "targets.json") -> Payload:
    return parse(json.dumps(value).encode(), path)


def parse_yaml(text: str) -> Payload:
    return parse(text.encode(), "targets.yml")


def fault_of(content: bytes | str, path: str = "targets.yml") -> str:
    """Why the file is refused as a whole."""
    with pytest.raises(ValueError, match="^" + path) as refused:
        parse(content.encode() if isinstance(content, str) else content, path)
    return str(refused.value)


def only_rejected(found: Payload) -> tuple[str, str]:
    """Place and reason of the one entry that was set aside."""
    assert len(found.rejected) == 1
    return found.rejected[0].entry, found.rejected[0].reason


# ---- target groups -------------------------------------------------------------------------------------------------

# As the documentation of Prometheus's file_sd describes it.
FILE_SD_JSON = b"""[
  {
    "targets": ["10.0.0.1:9100", "[2001:db8::1]:9100"],
    "labels": {"env": "prod", "__meta_datacenter": "london"}
  },
  {"targets": ["10.0.0.2:9100"]}
]"""
FILE_SD_YAML = b"""
- targets: ['10.0.0.1:9100', '[2001:db8::1]:9100']
  labels:
    env: prod
    __meta_datacenter: london
- targets:
  - 10.0.0.2:9100
"""


@pytest.mark.parametrize(("content", "path"), [(FILE_SD_JSON, "dc/t.json"), (FILE_SD_YAML, "dc/t.yml")])
def test_a_file_for_prometheus_is_read_as_it_is(content: bytes, path: str) -> None:
    labels = (("__meta_datacenter", "london"), ("__meta_filepath", path), ("env", "prod"))
    assert parse(content, path).backends == (
        Backend("10.0.0.1", 9100, labels=labels),
        Backend("2001:db8::1", 9100, labels=labels),
        Backend("10.0.0.2", 9100, labels=(("__meta_filepath", path),)),
    )


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("10.0.0.1", "10.0.0.1", None),
        ("[2001:DB8:0::1]:65535", "2001:db8::1", 65535),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("2001:db8::1", "2001:db8::1", None),
    ],
)
def test_a_target_is_an_address_with_or_without_a_port(target: str, address: str, port: int | None) -> None:
    backend = parse_json([{"targets": [target]}]).backends[0]
    assert (backend.address, backend.port) == (address, port)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("db-1:3306", "use a dns source"),
        ("db-1.example.com", "use a dns source"),
        ("http://10.0.0.1:80/metrics", "is a URL or a network"),
        ("10.0.0.0/24", "is a URL or a network"),
        ("10.0.0.256:80", "is not an IP address"),
        ("10.0.0.1:0", "ports are 1 to 65535"),
        ("10.0.0.1:65536", "ports are 1 to 65535"),
        ("10.0.0.1:", "ports are 1 to 65535"),
        ("10.0.0.1:http", "ports are 1 to 65535"),
        ("10.0.0.1:\u0663", "ports are 1 to 65535"),
        ("10.0.0.1:-1", "ports are 1 to 65535"),
        ("127.0.0.1:80", "loopback"),
        ("", "is empty"),
        (80, "not a number"),
        (None, "not nothing"),
    ],
)
def test_an_unusable_target_is_set_aside_and_the_others_are_served(target: object, reason: str) -> None:
    found = parse_json([{"targets": ["10.0.0.1:80", target, "10.0.0.2:80"]}])
    assert [backend.address for backend in found.backends] == ["10.0.0.1", "10.0.0.2"]
    entry, why = only_rejected(found)
    assert entry.startswith("targets.json:1:2")
    assert reason in why


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ({"targets": "10.0.0.1:80"}, "targets must be a list"),
        ({"targets": ["10.0.0.1:80"], "labels": ["a"]}, "labels must be a mapping"),
        ({"targets": ["10.0.0.1:80"], "labels": {"shard": 1}}, "label 'shard' must be text, not a number"),
        ({"targets": ["10.0.0.1:80"], "label": {}}, "unknown key 'label'; did you mean 'labels'?"),
        ({"labels": {"a": "b"}}, "needs targets"),
    ],
)
def test_an_unusable_target_group_is_set_aside_and_the_others_are_served(group: object, reason: str) -> None:
    found = parse_json([{"targets": ["10.0.0.9"]}, group])
    assert [backend.address for backend in found.backends] == ["10.0.0.9"]
    assert reason in only_rejected(found)[1]


def test_labels_in_yaml_are_text_as_they_are_to_prometheus() -> None:
    found = parse_yaml("- targets: [10.0.0.1]\n  labels: {a: no, b: 010, c: 1.10, d: 22:22, e: ~, f: 'x'}")
    assert dict(found.backends[0].labels) == {
        "__meta_filepath": "targets.yml", "a": "no", "b": "010", "c": "1.10", "d": "22:22", "e": "", "f": "x",
    }  # fmt: skip
    assert not found.rejected


def test_null_targets_and_labels_are_none() -> None:
    assert parse_yaml("- {targets: [10.0.0.1], labels: }\n- {targets: , labels: ~}").backends[0].address == "10.0.0.1"


def test_anchors_and_merge_keys_work_in_yaml() -> None:
    found = parse_yaml(
        "- &first {targets: [10.0.0.1], labels: &common {env: prod, rack: a}}\n"
        "- {targets: [10.0.0.2], labels: *common}\n"
        "- {targets: [10.0.0.3], labels: {<<: *common, rack: b}}\n"
        "- *first\n"
    )
    labels = [dict(backend.labels) for backend in found.backends]
    assert [(label["env"], label["rack"]) for label in labels] == [
        ("prod", "a"),
        ("prod", "a"),
        ("prod", "b"),
        ("prod", "a"),
    ]


def test_the_path_of_the_file_wins_over_a_label_of_that_name() -> None:
    found = parse_json([{"targets": ["10.0.0.1"], "labels": {"__meta_filepath": "elsewhere"}}])
    assert found.backends[0].labels == (("__meta_filepath", "targets.json"),)


# ---- our own list --------------------------------------------------------------------------------------------------

FULL = {
    "address": "2001:DB8::1",
    "port": 3306,
    "ports": {"mysql": 3307, "admin": 33060},
    "hostname": "db-1",
    "nodeName": "edge-1",
    "zone": "dc-1a",
    "group": "canary",
    "drain": True,
    "ready": False,
    "targetRef": {"kind": "Pod", "namespace": "default", "name": "db-1", "uid": "u1"},
    "probe": {"host": "10.9.0.7", "port": "admin"},
}
FULL_BACKEND = Backend(
    "2001:db8::1",
    port=3306,
    ports=(("admin", 33060), ("mysql", 3307)),
    hostname="db-1",
    node_name="edge-1",
    zone="dc-1a",
    group="canary",
    drain=True,
    ready=False,
    target_ref=TargetRef("Pod", "default", "db-1", "u1"),
    probe=ProbeOverride(host="10.9.0.7", port="admin"),
    labels=(("__meta_filepath", "targets.json"),),
)


def test_a_backend_is_written_as_in_a_manifest() -> None:
    assert parse_json([FULL]).backends == (FULL_BACKEND,)
    assert parse(yaml.safe_dump([FULL]).encode(), "targets.json.").backends[0].ports == FULL_BACKEND.ports


def test_both_forms_may_stand_in_one_list() -> None:
    found = parse_json([{"address": "10.0.0.1"}, {"targets": ["10.0.0.2:80"]}])
    assert [(backend.address, backend.port) for backend in found.backends] == [("10.0.0.1", None), ("10.0.0.2", 80)]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"adress": "10.0.0.2"}, "did you mean 'address'?"),
        ({"address": "db-1.example.com"}, "use a dns source"),
        ({"address": "10.0.0.2", "port": 0}, "0 is not a port"),
        ({"address": "10.0.0.2", "port": "80"}, "take the quotes away"),
        ({"address": "10.0.0.2", "hostname": "DB_1"}, "hostname"),
        ({"address": "10.0.0.2", "ready": "yes"}, "ready: must be true or false"),
        ({}, "address"),
        ("10.0.0.2", "write {address: ...}"),
        (["10.0.0.2"], "not a list"),
        (None, "not nothing"),
    ],
)
def test_an_unusable_backend_is_set_aside_and_the_others_are_served(entry: object, reason: str) -> None:
    found = parse_json([{"address": "10.0.0.1"}, entry, {"address": "10.0.0.3"}])
    assert [backend.address for backend in found.backends] == ["10.0.0.1", "10.0.0.3"]
    assert reason in only_rejected(found)[1]


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("- address: 10.0.0.1\n- address: 10.0.0.2\n  ready: no\n", "3:10", "reads as true or false in YAML 1.1"),
        ("- address: 10.0.0.1\n- {address: 10.0.0.2, port: 22:22}\n", "2:29", "base 60"),
        ("- address: 10.0.0.1\n- {address: 10.0.0.2, port: 0080}\n", "2:29", "base 8"),
        ("- address: 10.0.0.1\n- address: 10.0.0.2\n  port: 80\n  port: 81\n", "4:3", "'port' is given twice"),
        ("- address: 10.0.0.1\n- address: !!python/name:os.system x\n", "2:12", "tag"),
        ("- address: 10.0.0.1\n- address: 10.0.0.2\n  [a]: b\n", "3:3", "a key must be text"),
        ("- address: 10.0.0.1\n- <<: 7\n  address: 10.0.0.2\n", "2:3", "<< merges mappings"),
    ],
)
def test_a_trap_of_yaml_sets_its_entry_aside_with_line_and_column(text: str, place: str, reason: str) -> None:
    found = parse_yaml(text)
    assert [backend.address for backend in found.backends] == ["10.0.0.1"]
    entry, why = only_rejected(found)
    assert entry == f"targets.yml:{place}"
    assert reason in why


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ('{"targets": ["192.0.2.1:80"], "targets": ["192.0.2.9:80"]}', "targets"),
        ('{"targets": ["192.0.2.1:80"], "t\\u0061rgets": ["192.0.2.9:80"]}', "targets"),
        ('{"targets": ["192.0.2.1:80"], "labels": {"a": "1", "a": "2"}}', "a"),
        ('{"address": "192.0.2.1", "port": 80, "port": 81}', "port"),
    ],
)
def test_a_key_given_twice_in_json_sets_its_entry_aside_as_in_yaml(entry: str, key: str) -> None:
    found = parse(f'[{{"address": "10.0.0.1"}},\n {entry}]'.encode(), "targets.json")
    assert [backend.address for backend in found.backends] == ["10.0.0.1"]
    assert only_rejected(found) == ("targets.json:2:2", f"the key {key!r} is given twice: leave one of them out")
    assert f"the key {key!r} is given twice" in fault_of(f"[{entry}]")


def test_quotes_within_texts_of_json_are_no_keys() -> None:
    found = parse_json([{"targets": ["10.0.0.1"], "labels": {"say": 'a "b": "c" \\', "ü": '"'}}])
    assert [backend.address for backend in found.backends] == ["10.0.0.1"]


def test_an_entry_of_json_that_is_set_aside_is_told_with_line_and_column() -> None:
    text = '[\n  {"address": "10.0.0.1"},\n  {"address": "ä"}, {"address": "10.0.0.300"}\n]'
    found = parse(text.encode(), "targets.json")
    assert [rejected.entry.split(" ")[0] for rejected in found.rejected] == ["targets.json:3:3", "targets.json:3:21"]
    assert "'10.0.0.300'" in found.rejected[1].entry


def test_the_place_of_an_entry_is_its_own_and_not_that_of_the_same_text_before() -> None:
    found = parse(b'[{"address": "10.0.0.1", "zone": "7"},\n "7", "7"]', "t.json")
    assert [rejected.entry for rejected in found.rejected] == ["t.json:2:2", "t.json:2:7"]


# ---- whole files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[]", " [ ]\n", "---\n[]\n", "# none for now\n[]"])
def test_only_a_literal_empty_list_declares_that_there_are_none(text: str) -> None:
    assert parse_yaml(text) == Payload((), (), declares_none=True)


@pytest.mark.parametrize("text", ["", " \n", "# nothing\n", "---\n", "~", "null"])
def test_a_file_without_a_list_is_no_empty_list(text: str) -> None:
    assert ":1:" in fault_of(text) or ":2:" in fault_of(text)


def test_target_groups_without_targets_are_no_empty_list() -> None:
    assert "write [] for no backends" in fault_of('[{"targets": [], "labels": {}}]')


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        (b'[{"address": "10.0.0.1"},\n {"address" "10.0.0.2"}]', "t.json", "t.json:2:13: is not JSON: expected ':'"),
        (b"- address: 10.0.0.1", "t.json", "t.json:1:2: is not JSON"),
        (b"- address: 10.0.0.1", "T.JSON", "T.JSON:1:2: is not JSON"),
        (b'{"address": "10.0.0.1"}', "t.json", "t.json:1:1: must be a list"),
        (b"address: 10.0.0.1", "t.yml", "t.yml:1:1: must be a list"),
        (b"<html><body>502 Bad Gateway</body></html>", "t.yml", "t.yml:1:1: must be a list"),
        (b"- address: 10.0.0.1\n x: y", "t.yml", "t.yml:2:2: is not YAML"),
        (b"- address: 10.0.0.1\n- \xff", "t.yml", "t.yml:2:3: is not UTF-8"),
        (b'[{"address": "10.0.0.1"},\n"\xff"]', "t.json", "t.json:2:1: is not UTF-8"),
        (b'[{"address": "\\ud800"}]', "t.json", "t.json"),
        (b"- address: 10.0.0.1\n- \x07", "t.yml", "t.yml:2:3: is not text"),
        (b"[]\n---\n[]", "t.yml", "t.yml:2:1: a second document begins here"),
        (b"- *nothing", "t.yml", "alias *nothing"),
        (b"- &loop [*loop]", "t.yml", "alias *loop"),
        (b"[" * 50 + b"]" * 50, "t.json", "none of its entries"),
        (b"- " + b"[" * 50 + b"]" * 50, "t.yml", "nested more than"),
        (b"[" * 100_000, "t.json", "nested too deeply"),
        (b"- " + b"[" * 100_000, "t.yml", "nested more than"),
    ],
)
def test_a_file_that_is_no_list_is_refused_with_place_and_reason(content: bytes, path: str, reason: str) -> None:
    assert reason in fault_of(content, path)


def test_a_file_of_which_nothing_can_be_used_is_refused() -> None:
    reason = fault_of('[{"address": "db-1"}, {"address": "db-2"}]', "t.json")
    assert "none of its entries can be used (2)" in reason
    assert "t.json:1:2" in reason
    assert "dns source" in reason


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse(b'\xef\xbb\xbf[{"address": "10.0.0.1"}]', "t.json").backends[0].address == "10.0.0.1"


def test_aliases_cannot_make_a_small_file_a_huge_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_list, "MOST_VALUES", 1000)
    text = "- &a {targets: [10.0.0.1, 10.0.0.1, 10.0.0.1, 10.0.0.1]}\n" + "- *a\n" * 200
    assert "more than 1,000 values" in fault_of(text)
    nested = "- targets: &b0 [x, x]\n" + "".join(f"- &b{n} [*b{n - 1}, *b{n - 1}]\n" for n in range(1, 40))
    assert "more than 1,000 values" in fault_of(nested)


def test_more_backends_than_can_be_meant_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MAX_BACKENDS", 3)
    assert "more than 3 backends" in fault_of('[{"targets": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]}]')


def test_entries_set_aside_are_told_up_to_a_bound_and_counted_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MAX_REJECTED", 2)
    found = parse_json([{"address": "10.0.0.1"}, *({"address": f"db-{n}"} for n in range(5))])
    assert [rejected.entry for rejected in found.rejected[:2]] == [
        "targets.json:1:27 'db-0'",
        "targets.json:1:48 'db-1'",
    ]
    assert found.rejected[2].reason == "further entries cannot be used either"


# ---- whatever comes ------------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]) | st.text(max_size=12)
BACKENDS = st.fixed_dictionaries(
    {"address": ADDRESSES},
    optional={key: JSON_VALUES | st.sampled_from([1, 80, "a", True, {"a": 1}]) for key in FULL if key != "address"},
)
TARGETS = st.builds(lambda host, port: f"{host}:{port}", ADDRESSES, st.integers(-1, 70_000)) | ADDRESSES | JSON_VALUES
LABELS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
ENTRIES = st.one_of(
    BACKENDS,
    st.fixed_dictionaries({"targets": st.lists(TARGETS, min_size=1, max_size=3)}, optional={"labels": LABELS}),
    JSON_VALUES,
)
GOOD = {"address": "192.0.2.1"}
PIECES = st.sampled_from(
    ["- ", "\n", "  ", "targets", "labels", "address", ": ", "[", "]", "{", "}", ", ", "10.0.0.1", ":80", "&a ", "*a",
     "<<", "no", "22:22", "'", '"', "#", "---", "|", ">", "!!str ", "? ", "\t", "\x00", "\u2028", "%", "~"]
)  # fmt: skip


@given(st.binary(max_size=200) | st.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode()))
def test_no_content_raises_anything_but_the_reason_why_it_is_refused(content: bytes) -> None:
    for path in ("t.json", "t.yml"):
        try:
            found = parse(content, path)
        except ValueError as error:
            assert str(error).startswith(path)  # noqa: PT017 - both ways of ending are right
        else:
            assert found.backends or found.declares_none


@given(st.lists(ENTRIES, max_size=6))
def test_every_entry_is_either_served_or_set_aside(entries: list[Any]) -> None:
    found = parse_json([GOOD, *entries])
    served = len(found.backends) + len(found.rejected)
    assert served == 1 + sum(_parts(entry) for entry in entries)
    assert all(rejected.entry and rejected.reason for rejected in found.rejected)


def _parts(entry: Any) -> int:
    """What one entry counts for: each target of a readable group, or itself."""
    if not isinstance(entry, dict) or not {"targets", "labels"} & entry.keys():
        return 1
    readable = entry.keys() <= {"targets", "labels"} and "targets" in entry
    targets, labels = entry.get("targets") or [], entry.get("labels") or {}
    readable = readable and isinstance(targets, list) and isinstance(labels, dict)
    readable = readable and all(isinstance(value, str) for value in labels.values())
    return len(targets) if readable else 1


@given(
    st.lists(
        BACKENDS | st.fixed_dictionaries({"targets": st.lists(ADDRESSES, max_size=3), "labels": LABELS}), max_size=5
    )
)
def test_yaml_says_the_same_as_json(entries: list[Any]) -> None:
    as_json = parse_json([GOOD, *entries], "t.yml")
    as_yaml = parse(yaml.safe_dump([GOOD, *entries]).encode(), "t.yml")
    assert as_yaml.backends == as_json.backends
    assert len(as_yaml.rejected) == len(as_json.rejected)
