"""Rights: of who asks, and of extsync's own ServiceAccount."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extsync.doctor.facts import ClusterFacts, Seen, Unread
from extsync.doctor.findings import CLUSTER, Finding, Findings, count, kubectl
from extsync.kube.enquiries import Answered, Right, Rules, User

THEME: Final = "rights"

NEEDED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("", "services", ("get", "list", "watch")),
    ("", "endpoints", ("get", "list", "watch", "create", "update", "delete")),
    ("discovery.k8s.io", "endpointslices", ("get", "list", "watch", "create", "update", "delete")),
)
"""Groups, resources and verbs without which extsync cannot work, as in deploy/kustomize/base/clusterrole.yaml."""

OPTIONAL: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("", "services", ("create", "patch", "delete")),
    ("", "services/finalizers", ("update",)),
    ("", "events", ("create", "update")),
    ("", "pods", ("list", "watch")),
    ("", "nodes", ("get", "list", "watch")),
    ("networking.k8s.io", "servicecidrs", ("get", "list", "watch")),
)
"""Those that some uses need: Services of manifests, the enforcement of owner references, events, the source `pods`,
zones, and the cluster's own address ranges."""

LEASES: Final = ("coordination.k8s.io", "leases", ("get", "list", "watch", "create", "update", "delete"))
"""With leader election, in the namespace of the Leases."""

LOOKS: Final[tuple[tuple[str, str, str], ...]] = (
    ("get", "", "services"),
    ("get", "", "endpoints"),
    ("list", "discovery.k8s.io", "endpointslices"),
    ("list", "", "pods"),
    ("create", "", "pods/exec"),
)
"""What doctor itself wants to look at in the namespace of a Service."""


def is_optional(right: Right) -> bool:
    """Whether extsync works without it, but for a part of what it can do."""
    asked = right.group, right.resource
    return any(asked == (group, resource) and right.verb in verbs for group, resource, verbs in OPTIONAL)


def check_cluster(cluster: ClusterFacts) -> Iterator[Finding]:
    """Findings about rights."""
    yield from _user(cluster)
    yield from _account(cluster)


def _user(cluster: ClusterFacts) -> Iterator[Finding]:
    say = Findings(THEME, CLUSTER, kubectl("auth", "whoami"))
    name = "you"
    if isinstance(cluster.user, User):
        name = cluster.user.username or "you"
        yield say.ok("User", f"asked as {name}", evidence=cluster.user.groups)
    allowed, missing, unknown = _sorted(cluster.rights)
    if unknown:
        yield say.info("RightsUnread", f"what {name} may do could not be asked", evidence=unknown)
    if missing:
        yield Findings(THEME, CLUSTER, kubectl("auth", "can-i", "--list")).info(
            "RightsMissing",
            f"{name} may not look at everything",
            evidence=map(str, missing),
            cure="what these would show is missing above; ask somebody who has them to run doctor",
        )
    if isinstance(cluster.rules, Rules) and allowed:
        rules = len(cluster.rules.resource_rules)
        more = ", and perhaps more" if cluster.rules.incomplete else ""
        yield say.ok("Rights", f"{name} has {count(rules, 'rule')}{more}", evidence=map(str, allowed))


def _account(cluster: ClusterFacts) -> Iterator[Finding]:
    account = cluster.account
    name = f"{account.namespace}:{account.name}"
    asked = f"--as=system:serviceaccount:{name}"
    say = Findings(THEME, CLUSTER, kubectl("auth", "can-i", "--list", asked))
    if account.exists is False:
        yield say.info(
            "AccountMissing",
            f"there is no ServiceAccount {name}: extsync runs under another one, or not in this cluster",
            cure="name it with --service-account NAMESPACE:NAME",
            command=kubectl("get", "serviceaccounts", "-A"),
        )
        return
    allowed, missing, unknown = _sorted(account.rights)
    if unknown and not allowed and not missing:
        yield say.info(
            "AccountUnread",
            f"what the ServiceAccount {name} may do could not be asked",
            evidence=unknown[:1],
            cure="that takes the right to create subjectaccessreviews",
        )
        return
    needed = [right for right in missing if not is_optional(right)]
    if needed:
        yield say.error(
            "AccountRightsMissing",
            f"the ServiceAccount {name} lacks {count(len(needed), 'right')} that extsync needs",
            evidence=map(str, needed),
            cure="kubectl apply -k deploy/kustomize/base, or helm upgrade, gives them",
        )
    if optional := [right for right in missing if is_optional(right)]:
        yield say.info(
            "AccountRightsOptional",
            f"the ServiceAccount {name} lacks rights that some uses need",
            evidence=map(str, optional),
            cure="docs/security.md has what each is for",
        )
    if allowed and not missing:
        yield say.ok("AccountRights", f"the ServiceAccount {name} has all {len(allowed)} rights that extsync needs")


def _sorted(rights: tuple[tuple[Right, Seen[Answered]], ...]) -> tuple[list[Right], list[Right], list[str]]:
    """What is allowed, what is not, and why something could not be asked."""
    allowed = [right for right, answer in rights if isinstance(answer, Answered) and answer.allowed]
    missing = [right for right, answer in rights if isinstance(answer, Answered) and not answer.allowed]
    return allowed, missing, [answer.why for _, answer in rights if isinstance(answer, Unread)]
