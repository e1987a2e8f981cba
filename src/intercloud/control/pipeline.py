"""The OpenFlow pipeline as data: tables, matches and actions, independent of any OpenFlow library.

    CLASSIFY   which network a packet belongs to, and whether its sender may send it (anti-spoof)
    ARP        requests for known endpoints are answered here, by the switch itself: they never cross the WAN
    UNICAST    (network, MAC) → local port or tunnel; also for what came in from a tunnel for an endpoint that moved on
    FLOOD      the little that is left: to local ports, and to tunnels only if it did not come from one (split horizon)

The metadata register carries the network's key in its low 32 bits, and above them whether the packet came from a
tunnel.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from intercloud.control.registry import Endpoint

COOKIE = 0x1C10DD5EED000001
"""Marks flows as ours; flows with another cookie are left alone."""

BORDER = "02:00:00:00:00:0c"
"""The border bridges' own MAC address, in what they say themselves; nothing for it goes further."""

IN_PORT = 0xFFFFFFF8
"""OpenFlow's name for the port that the packet came from."""

_CAME_FROM = "in_port_nxm"
"""The writable form of in_port (an Open vSwitch extension)."""

_IPV4, _ARP = 0x0800, 0x0806
_UDP, _DHCP_PORTS = 17, (67, 68)
_NETWORK = 0xFFFFFFFF
_FROM_TUNNEL = 1 << 32
_ALL = _FROM_TUNNEL | _NETWORK
_REFUSE, _ALLOW, _MISS = 300, 200, 0


class Table(IntEnum):
    """The tables, in the order in which a packet meets them."""

    CLASSIFY = 0
    ARP = 1
    UNICAST = 2
    FLOOD = 3


Value = int | str | tuple[int, int]
"""An address as text, a number, or (number, mask)."""


@dataclass(frozen=True)
class Output:
    """Send a copy to a port."""

    port: int


@dataclass(frozen=True)
class SetField:
    """Write one header field."""

    field: str
    value: int | str


@dataclass(frozen=True)
class Copy:
    """Copy one header field over another (an Open vSwitch extension). bits: how many."""

    source: str
    target: str
    bits: int


Action = Output | SetField | Copy


@dataclass(frozen=True)
class Flow:
    """One entry of a switch's tables; no action and no next table means drop.

    metadata: (value, mask) to write; goto: the next table.
    """

    table: int
    priority: int
    match: frozenset[tuple[str, Value]]
    actions: tuple[Action, ...] = ()
    metadata: tuple[int, int] | None = None
    goto: int | None = None

    @property
    def key(self) -> tuple[int, int, frozenset[tuple[str, Value]]]:
        """What makes it the same entry: adding another of the same key replaces it."""
        return self.table, self.priority, self.match


def always() -> tuple[Flow, ...]:
    """Give the flows that every switch has: what is neither ARP nor unicast goes on to the next table."""
    return (
        Flow(Table.ARP, _MISS, _match(), goto=Table.UNICAST),
        Flow(Table.UNICAST, _MISS, _match(), goto=Table.FLOOD),
    )


def admit_endpoint(endpoint: Endpoint, key: int, port: int) -> tuple[Flow, ...]:
    """Let in what an endpoint sends from its own MAC and IP address; all else from that port is dropped.

    A router passes on what comes from any address.
    ARP for its own address is dropped too: the switches would answer it, and the guest see a duplicate address.
    """
    sender: dict[str, Value] = {"in_port": port, "eth_src": endpoint.mac}
    arp: dict[str, Value] = {**sender, "eth_type": _ARP, "arp_sha": endpoint.mac}
    return (
        Flow(Table.CLASSIFY, _REFUSE, _match({**arp, "arp_tpa": endpoint.ip})),
        _admit({**sender, "eth_type": _IPV4} | ({} if endpoint.routes else {"ipv4_src": endpoint.ip}), key),
        _admit({**arp, "arp_spa": endpoint.ip}, key),
        _admit({**arp, "arp_spa": "0.0.0.0"}, key),
    )


def refuse_from_fabric(port: int) -> tuple[Flow, ...]:
    """Keep in a cloud's fabric what is its own affair: DHCP, and answers to the border itself.

    No cloud's DHCP answers another's servers.
    """
    ipv4: dict[str, Value] = {"in_port": port, "eth_type": _IPV4, "ip_proto": _UDP}
    dhcp = (Flow(Table.CLASSIFY, _REFUSE, _match({**ipv4, "udp_dst": number})) for number in _DHCP_PORTS)
    return *dhcp, Flow(Table.CLASSIFY, _REFUSE, _match({"in_port": port, "eth_dst": BORDER}))


def admit_tunnel(key: int, port: int) -> Flow:
    """Let in what a peer sends through a tunnel for one network."""
    return _admit({"in_port": port, "tunnel_id": key}, key | _FROM_TUNNEL)


def answer_arp(endpoint: Endpoint, key: int) -> Flow:
    """Answer a local request for an endpoint's address, wherever that endpoint is."""
    return Flow(
        Table.ARP,
        _ALLOW,
        _request(endpoint, key),
        (
            Copy("eth_src", "eth_dst", 48),
            SetField("eth_src", endpoint.mac),
            SetField("arp_op", 2),
            Copy("arp_sha", "arp_tha", 48),
            Copy("arp_spa", "arp_tpa", 32),
            SetField("arp_sha", endpoint.mac),
            SetField("arp_spa", endpoint.ip),
            Output(IN_PORT),
        ),
    )


def leave_arp(endpoint: Endpoint, key: int) -> Flow:
    """Leave requests for an endpoint to itself: behind its cloud's fabric it hears them.

    An answer in its name would teach the fabric that it is here.
    """
    return Flow(Table.ARP, _ALLOW, _request(endpoint, key), goto=Table.UNICAST)


def keep_arp(router: Endpoint, key: int, port: int | None) -> Flow:
    """Let only a site's own router hear requests for its address: another site's has the same, and would answer."""
    return Flow(Table.ARP, _ALLOW, _request(router, key), () if port is None else (Output(port),))


def deliver(endpoint: Endpoint, key: int, port: int | None) -> Flow:
    """Send an endpoint's packets to its local port; without one, nowhere."""
    return _unicast(endpoint, key, () if port is None else (Output(port),))


def forward(endpoint: Endpoint, key: int, tunnel: int | None, *, back: bool) -> Flow:
    """Send an endpoint's packets into a tunnel; without one, nowhere.

    back: also those that came out of that very tunnel. A site that the endpoint has just left needs it: the new site
    may have sent them before it knew. OpenFlow would drop them, unless the packet forgets where it came from.
    """
    forget = (SetField(_CAME_FROM, 0),) if back else ()
    return _unicast(endpoint, key, () if tunnel is None else (*forget, *_into(key, (tunnel,))))


def hand_to(router: Endpoint, endpoint: Endpoint, key: int, port: int | None) -> Flow:
    """Hand what is sent to another site's router to this site's own: servers that arrived remember the other's MAC."""
    own = (SetField("eth_dst", router.mac), SetField(_CAME_FROM, 0))
    return _unicast(endpoint, key, () if port is None else (*own, Output(port)))


def flood(key: int, local: Iterable[int], tunnels: Iterable[int]) -> tuple[Flow, ...]:
    """Send what no table knew to the local ports, and to the tunnels if it did not come from one."""
    ports = tuple(Output(port) for port in sorted(set(local)))
    return (
        Flow(Table.FLOOD, _ALLOW, _match({"metadata": (key, _ALL)}), ports + _into(key, sorted(tunnels))),
        Flow(Table.FLOOD, _ALLOW, _match({"metadata": (key | _FROM_TUNNEL, _ALL)}), ports),
    )


def _request(endpoint: Endpoint, key: int) -> frozenset[tuple[str, Value]]:
    return _match({"metadata": (key, _ALL), "eth_type": _ARP, "arp_op": 1, "arp_tpa": endpoint.ip})


def _admit(match: Mapping[str, Value], metadata: int) -> Flow:
    return Flow(Table.CLASSIFY, _ALLOW, _match(match), metadata=(metadata, _ALL), goto=Table.ARP)


def _unicast(endpoint: Endpoint, key: int, actions: tuple[Action, ...]) -> Flow:
    return Flow(Table.UNICAST, _ALLOW, _match({"metadata": (key, _NETWORK), "eth_dst": endpoint.mac}), actions)


def _into(key: int, tunnels: Iterable[int]) -> tuple[Action, ...]:
    outputs = tuple(Output(port) for port in tunnels)
    return (SetField("tunnel_id", key), *outputs) if outputs else ()


def _match(fields: Mapping[str, Value] | None = None) -> frozenset[tuple[str, Value]]:
    return frozenset((fields or {}).items())
