"""What a port is while its server runs at another cloud, and how it becomes what it shall be: pure.

Neutron's Open vSwitch firewall delivers to a port, whether its server runs or not, what others at its host send to it,
routers included, whatever the switch has learned of where that address is. A port without port security has no such
flows.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from intercloud.clouds.openstack.names import AWAY

GUARDED, GROUP, PAIR = f"{AWAY}guarded", f"{AWAY}group:", f"{AWAY}pair:"
ASIDE: Mapping[str, Any] = {
    "is_port_security_enabled": False,
    "security_group_ids": [],
    "allowed_address_pairs": [],
}
"""Attributes of a port to which nothing is delivered as long as its address is learned to be elsewhere."""


def is_away(tags: Iterable[str]) -> bool:
    """Whether these are the tags of a port that has stepped aside, or is about to."""
    return any(tag.startswith(AWAY) for tag in tags)


def tags_away(port: Any) -> list[str]:
    """The tags from which `before` finds what a port was; its own are among them."""
    found = [*(port.tags or ()), AWAY]
    if port.is_port_security_enabled is not False:
        found.append(GUARDED)
    found += [f"{GROUP}{number}" for number in port.security_group_ids or ()]
    found += [f"{PAIR}{pair['ip_address']} {pair['mac_address']}" for pair in port.allowed_address_pairs or ()]
    return found


def tags_back(tags: Iterable[str]) -> list[str]:
    """The port's own tags."""
    return [tag for tag in tags if not tag.startswith(AWAY)]


def before(tags: Collection[str]) -> Mapping[str, Any]:
    """Attributes that a port had before it stepped aside."""
    pairs = [tag.removeprefix(PAIR).split() for tag in tags if tag.startswith(PAIR)]
    return {
        "is_port_security_enabled": GUARDED in tags,
        "security_group_ids": [tag.removeprefix(GROUP) for tag in tags if tag.startswith(GROUP)],
        "allowed_address_pairs": [dict(zip(("ip_address", "mac_address"), pair, strict=True)) for pair in pairs],
    }
