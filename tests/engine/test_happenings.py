"""docs/events.md has every reason of an event, and no other; whatever a plan refuses has one."""

from __future__ import annotations

import ast
from pathlib import Path

from extsync.engine.happenings import REASONS, REFUSED, concerned
from extsync.objects import Endpoints, EndpointSlice, ObjectMeta, Service, SliceEndpoint
from extsync.plan.plan import Current
from extsync.plan.published import Published
from tests.engine.support import NAMESPACE, A, B, C

ROOT = Path(__file__).parents[2]


def meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=NAMESPACE)


def slice_of(name: str, *addresses: str) -> EndpointSlice:
    return EndpointSlice(
        metadata=meta(name), address_type="IPv4", endpoints=tuple(SliceEndpoint(addresses=(one,)) for one in addresses)
    )


SERVICE = Service(metadata=meta("web"))
SLICES = [slice_of("web-0", A), slice_of("web-1", B), slice_of("web-2", C)]


def calls(folder: str, name: str) -> list[ast.Call]:
    """The calls of what has that name, as a function, a method or a class."""
    found = []
    for file in sorted((ROOT / "extsync" / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and name in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")):
                found.append(node)
    return found


def test_the_page_has_every_reason() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    rows = [f"| `{one.name}` | {one.type} | {one.text} |" for one in REASONS]
    assert "\n".join(["| reason | type | when |", "|---|---|---|", *rows, ""]) in page


def test_whatever_a_plan_refuses_has_a_reason() -> None:
    codes = {node.args[0].value for node in calls("plan", "Refusal") if isinstance(node.args[0], ast.Constant)}
    assert codes == set(REFUSED)


def test_no_event_is_told_that_is_not_in_the_list() -> None:
    told = [node for node in calls("engine", "tell") if getattr(node.func, "attr", "") == "tell"]
    on_recorders = [ast.unparse(node) for node in told if "recorder" in ast.unparse(node.func)]
    assert on_recorders == ["recorder.tell(obj, reason.type, reason.name, message)"]


def test_names_are_told_apart() -> None:
    assert len({one.name for one in REASONS}) == len(REASONS)


def test_an_event_is_put_on_the_service_and_on_its_endpoints() -> None:
    endpoints = Endpoints(metadata=meta("web"))
    current = Current(service=SERVICE, slices=tuple(SLICES), endpoints=endpoints)
    assert concerned(current, Published(SLICES, endpoints), [B]) == [SERVICE, endpoints]


def test_without_endpoints_it_is_put_on_the_slices_concerned_or_else_the_first() -> None:
    current = Current(service=SERVICE, slices=tuple(SLICES), endpoints=None)
    assert concerned(current, Published(SLICES), [B, C]) == [SERVICE, SLICES[1], SLICES[2]]
    assert concerned(current, Published(SLICES), ["192.0.2.99"]) == [SERVICE, SLICES[0]]
    assert concerned(current, Published(SLICES)) == [SERVICE, SLICES[0]]
    assert concerned(current, Published()) == [SERVICE]


def test_without_a_service_there_is_nothing_to_put_it_on() -> None:
    assert concerned(Current(service=None, slices=tuple(SLICES), endpoints=None), Published(SLICES)) == []
