"""The rights are told alike wherever they are: in the roles, in the documentation, and by ``extsync doctor``."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from extsync.doctor.checks.rights import LEASES, NEEDED, OPTIONAL
from tests.deploy.chart import KUSTOMIZE

BASE = KUSTOMIZE / "base"
SECURITY = Path(__file__).parents[2] / "docs" / "security.md"
CLUSTER_SCOPED = {"nodes", "servicecidrs"}

Rights = set[tuple[str, str, str]]


def of_role(path: Path) -> Rights:
    """Each right as API group, resource and verb."""
    rules = yaml.safe_load(path.read_text())["rules"]
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def of_docs() -> Rights:
    """Those of the tables under "Rights", without what OpenShift alone asks for."""
    text = SECURITY.read_text()
    rows = re.findall(
        r"^\| ([a-z0-9.]+) \| `([a-z/]+)` \| ([a-z, ]+) \|", text[text.index("## Rights") :], re.MULTILINE
    )
    return {("" if g == "core" else g, resource, verb) for g, resource, verbs in rows for verb in verbs.split(", ")}


def test_the_documentation_has_the_rights_of_the_roles() -> None:
    assert of_docs() == of_role(BASE / "clusterrole.yaml") | of_role(BASE / "role.yaml")


def test_doctor_looks_for_the_rights_of_the_roles() -> None:
    looked_for = {(g, r, verb) for g, r, verbs in (*NEEDED, *OPTIONAL) for verb in verbs}
    assert looked_for == of_role(BASE / "clusterrole.yaml")
    assert {(LEASES[0], LEASES[1], verb) for verb in LEASES[2]} == of_role(BASE / "role.yaml")


def test_the_role_of_one_namespace_has_all_rights_that_a_namespace_can_give() -> None:
    everywhere = of_role(BASE / "clusterrole.yaml")
    here = of_role(KUSTOMIZE / "overlays" / "namespaced" / "role.yaml")
    assert here == {right for right in everywhere if right[1] not in CLUSTER_SCOPED}
