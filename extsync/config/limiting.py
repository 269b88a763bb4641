"""What settings of networks, directories and variables come to together: the limits of inputs."""

from __future__ import annotations

from extsync.address_policy import AddressRules, ClusterRanges, Lists
from extsync.config.networks import NetworkLists
from extsync.config.settings import Settings
from extsync.file_roots import FileRoots
from extsync.limits import Limits
from extsync.variables import Variables


def limits_of(settings: Settings) -> Limits:
    """What the settings say of addresses, files and variables."""
    own = settings.namespace_cidrs.items()
    return Limits(
        rules=AddressRules(
            published=Lists(settings.allowed_cidrs, settings.denied_cidrs),
            contacted=Lists(settings.contact_allowed_cidrs, settings.contact_denied_cidrs),
            published_in=tuple((name, _lists(networks.published)) for name, networks in own),
            contacted_in=tuple((name, _lists(networks.contacted)) for name, networks in own),
        ),
        ranges=ClusterRanges(settings.pod_cidrs, settings.service_cidrs, settings.node_cidrs),
        roots=FileRoots(settings.file_roots),
        variables=Variables(settings.manifest_variables),
    )


def _lists(lists: NetworkLists) -> Lists:
    return Lists(lists.allowed, lists.denied)
