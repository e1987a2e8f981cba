"""Clouds as the network sees them, and where things are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from intercloud.units import BitsPerSecond, Bytes, Seconds


class Tunnel(StrEnum):
    """How two border bridges are joined."""

    VXLAN = "vxlan"
    GRE = "gre"

    @property
    def overhead(self) -> int:
        """Bytes that the tunnel adds to an inner IP packet over IPv4 (PERFORMANCE: VXLAN 50; GRE with key 42)."""
        return 50 if self is Tunnel.VXLAN else 42


@dataclass(frozen=True)
class Site:
    """One cloud (or one office with clients) as the control layer sees it.

    ovsdb: connection of its Open vSwitch database ('unix:/path' or 'tcp:host:port').
    bridge: name of the border bridge, which the control layer owns: it makes it, and plugs and unplugs its ports.
    datapath_id: of that bridge, 16 hex digits, unique among all sites.
    underlay: for each peer site's name, (local, remote) IP addresses of the tunnel to it. An address is a site's own
    end on that path; where sites have one address for all peers, it is simply repeated.
    controller: what the bridge connects to ('unix:/path' or 'tcp:host:port'), seen from the site's switch.
    datapath_type: 'netdev' (userspace) or 'system'.
    fabrics: network → device behind which the cloud's own fabric carries it. Servers there have no device of their own:
    that one is the port of all of them. A network that is not named has a device for each card.
    """

    name: str
    ovsdb: str
    bridge: str
    datapath_id: str
    underlay: Mapping[str, tuple[str, str]]
    controller: str
    datapath_type: str = "netdev"
    fabrics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """Where a server's cards are plugged at one site: MAC → name of the network device to put on the border bridge."""

    site: str
    ports: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Platform:
    """What a cloud's servers run on. hypervisor: name and version; machine, cpu: models, as the hypervisor names them.

    A running server keeps its machine and CPU when it moves, so it needs a target with the same.
    """

    hypervisor: str
    machine: str
    cpu: str


@dataclass(frozen=True)
class Quota:
    """What a cloud allows or uses. memory and disk in bytes; image_store: bytes of base images."""

    vcpus: int
    memory: Bytes
    disk: Bytes
    image_store: Bytes


@dataclass(frozen=True)
class WanPath:
    """What the path between two sites really carries, measured.

    rtt: seconds; rate: bits a second of TCP payload; mtu: bytes of the largest IP packet that crosses unfragmented;
    tunnel_mtu: the same between the ends of the tunnels, 0 when nothing crosses there, None where it is not measured.
    """

    rtt: Seconds
    rate: BitsPerSecond
    mtu: int
    tunnel_mtu: int | None = None
