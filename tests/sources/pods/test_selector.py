"""Label selectors of manifests in the syntax of the Kubernetes API."""

from __future__ import annotations

from typing import Any

import pytest

from extsync.config.sources import LabelSelector
from extsync.sources.pods.selector import selector_text


def text(**block: Any) -> str:
    return selector_text(LabelSelector.model_validate(block))


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({}, ""),
        ({"matchLabels": {"tier": "db", "app": "shop"}}, "app=shop,tier=db"),
        ({"matchLabels": {"app": ""}}, "app="),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x", "y"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["y", "x"]}]}, "a notin (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": [""]}]}, "a="),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a!=x"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        ({"matchExpressions": [{"key": "example.com/a", "operator": "DoesNotExist"}]}, "!example.com/a"),
    ],
)
def test_each_condition_has_its_form(block: dict[str, Any], expected: str) -> None:
    assert text(**block) == expected


def test_all_conditions_are_joined_and_their_order_does_not_matter() -> None:
    exists = {"key": "b", "operator": "Exists"}
    absent = {"key": "c", "operator": "DoesNotExist"}
    one = text(matchLabels={"a": "1", "d": "2"}, matchExpressions=[exists, absent])
    other = text(matchLabels={"d": "2", "a": "1"}, matchExpressions=[absent, exists])
    assert one == other == "!c,a=1,b,d=2"
