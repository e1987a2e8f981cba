"""What a port is while its server runs at another cloud, and how it becomes what it shall be: pure.

Neutron's Open vSwitch firewall delivers to a port, whether its server runs or not, what others at its host send to it,
routers included, whatever the switch has learned of where that address is. A port without port security has no such
flows.
"""

from collections.abc import Mapping
from typing import Any

from intercloud.clouds.openstack.names import AWAY

GUARDED, GROUP, PAIR = f"{AWAY}guarded", f"{AWAY}group:", f"{AWAY}pair:"
ASIDE: Mapping[str, Any] = {
    "is_port_security_enabled": False,
    "security_group_ids": [],
    "allowed_address_pairs": [],
}
"""Attributes of a port to which nothing is delivered as long as its address is learned to be elsewhere."""


def is_away(port: Any) -> bool:
    """Whether a port has stepped aside, or is about to."""
    return any(tag.startswith(AWAY) for tag in port.tags or ())


def own(port: Any) -> Mapping[str, Any]:
    """What a port has of the attributes in ASIDE; of one that has stepped aside, what it had before."""
    if not is_away(port):
        return {
            "is_port_security_enabled": port.is_port_security_enabled is not False,
            "security_group_ids": port.security_group_ids or [],
            "allowed_address_pairs": port.allowed_address_pairs or [],
        }
    pairs = [tag.removeprefix(PAIR).split() for tag in port.tags if tag.startswith(PAIR)]
    return {
        "is_port_security_enabled": GUARDED in port.tags,
        "security_group_ids": [tag.removeprefix(GROUP) for tag in port.tags if tag.startswith(GROUP)],
        "allowed_address_pairs": [dict(zip(("ip_address", "mac_address"), pair, strict=False)) for pair in pairs],
    }


def tags_away(port: Any) -> list[str]:
    """Tags for a port that steps aside: its own, and those from which `own` finds what it had."""
    had = own(port)
    groups = [f"{GROUP}{number}" for number in had["security_group_ids"]]
    pairs = [f"{PAIR}{pair['ip_address']} {pair.get('mac_address', '')}" for pair in had["allowed_address_pairs"]]
    return [*tags_back(port), AWAY, *([GUARDED] if had["is_port_security_enabled"] else []), *groups, *pairs]


def tags_back(port: Any) -> list[str]:
    """The port's own tags."""
    return [tag for tag in port.tags or () if not tag.startswith(AWAY)]
