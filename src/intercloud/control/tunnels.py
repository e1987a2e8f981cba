"""What each switch's database shall hold: the border bridge, tunnels to the peers, the endpoints' devices.

Wanted x found → changes. Only what is ours is compared and only what carries our mark is removed: an operator's own
port on the bridge stays (and gets no flows).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from intercloud.control.registry import Registry
from intercloud.model.site import Site, Tunnel

_NAME_LIMIT = 15
"""Linux's limit for device names, and OpenFlow's for port names."""


@dataclass(frozen=True)
class Bridge:
    """The border bridge's settings, as far as they are ours. options: in other_config; backoff in milliseconds.

    Out-of-band: the control channel never runs through the bridge itself, so no hidden flows for it.
    """

    name: str
    datapath_type: str
    options: Mapping[str, str]
    controller: str | None
    fail_mode: str | None = "secure"
    protocols: frozenset[str] = frozenset({"OpenFlow14"})
    max_backoff: int | None = 1000
    connection_mode: str | None = "out-of-band"


@dataclass(frozen=True)
class Port:
    """A port with one interface of the same name. type: '' for a device, else 'vxlan' or 'gre'; ours: has our mark."""

    name: str
    type: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True


@dataclass(frozen=True)
class Layout:
    """A bridge and its ports by name; bridge None: there is, or shall be, none."""

    bridge: Bridge | None
    ports: Mapping[str, Port]


@dataclass(frozen=True)
class PutBridge:
    """Make the bridge, or make its settings these."""

    bridge: Bridge


@dataclass(frozen=True)
class RemoveBridge:
    """Remove the bridge with all its ports."""


@dataclass(frozen=True)
class PutPort:
    """Make the port, or make its settings these."""

    port: Port


@dataclass(frozen=True)
class RemovePort:
    """Take a port off the bridge."""

    name: str


Change = PutBridge | RemoveBridge | PutPort | RemovePort


def tunnel_name(kind: Tunnel, peer: str) -> str:
    """Name the port of the tunnel to a peer; a long name is cut and made unique by a digest."""
    name = f"{kind}-{peer}"
    if len(name) <= _NAME_LIMIT:
        return name
    digest = hashlib.sha256(peer.encode()).hexdigest()[:6]
    return f"{name[: _NAME_LIMIT - 6]}{digest}"


def heard(
    before: Mapping[str, tuple[int, float]], counts: Mapping[str, int], now: float
) -> Mapping[str, tuple[int, float]]:
    """For each tunnel's port: the packets it has received, and when that was last seen to be another number.

    A port that was not looked at before is heard now: silence has to be waited for.
    """
    known = {name: before.get(name, (-1, now)) for name in counts}
    return {name: known[name] if known[name][0] == count else (count, now) for name, count in counts.items()}


def wanted(registry: Registry, site: Site) -> Layout:
    """Say what a site's database shall hold."""
    tunnels = (
        Port(
            tunnel_name(registry.tunnel, peer),
            registry.tunnel.value,
            {"key": "flow", "local_ip": local, "remote_ip": remote},
        )
        for peer, (local, remote) in site.underlay.items()
        if peer in registry.sites
    )
    cards = (e.ports[site.name] for e in registry.endpoints.values() if site.name in e.ports)
    fabrics = (device for network, device in site.fabrics.items() if network in registry.networks)
    devices = (Port(name) for name in (*cards, *fabrics))
    bridge = Bridge(
        site.bridge,
        site.datapath_type,
        {"datapath-id": site.datapath_id, "disable-in-band": "true"},
        site.controller,
    )
    return Layout(bridge, {port.name: port for port in (*tunnels, *devices)})


def changes(want: Layout, found: Layout) -> tuple[Change, ...]:
    """Compare; what makes comes before what removes."""
    if want.bridge is None:
        return () if found.bridge is None else (RemoveBridge(),)
    return (
        *((PutBridge(want.bridge),) if want.bridge != found.bridge else ()),
        *(PutPort(port) for name, port in want.ports.items() if found.ports.get(name) != port),
        *(RemovePort(name) for name, port in found.ports.items() if port.ours and name not in want.ports),
    )
