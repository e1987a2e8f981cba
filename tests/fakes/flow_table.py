"""An OpenFlow switch in memory: give it flow changes, then ask where a packet goes. And several, joined by tunnels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from intercloud.control.fabric import FlowChange, Verb, flows
from intercloud.control.pipeline import IN_PORT, Copy, Flow, Output, SetField, Value
from intercloud.control.registry import Registry
from intercloud.control.tunnels import tunnel_name

Packet = Mapping[str, int | str]
"""Header fields by OpenFlow's names, without in_port and metadata."""

_NEEDS = {
    "ipv4_src": 0x0800,
    "ip_proto": 0x0800,
    "udp_dst": 0x0800,
    "arp_op": 0x0806,
    "arp_spa": 0x0806,
    "arp_tpa": 0x0806,
    "arp_sha": 0x0806,
}


class FlowTable:
    """One switch's tables."""

    def __init__(self, held: Iterable[Flow] = ()) -> None:
        self._flows = {flow.key: flow for flow in held}

    @property
    def flows(self) -> frozenset[Flow]:
        return frozenset(self._flows.values())

    def copy(self) -> "FlowTable":
        return FlowTable(self.flows)

    def apply(self, changes: Iterable[FlowChange]) -> None:
        """Take one bundle, refusing what a real switch would refuse."""
        for change in changes:
            if change.verb is Verb.ADD:
                _acceptable(change.flow)
                self._flows[change.flow.key] = change.flow
            else:
                self._flows.pop(change.flow.key, None)

    def forward(self, packet: Packet, in_port: int) -> list[tuple[int, Packet]]:
        """Tell which ports a packet leaves by, and as what."""
        fields: dict[str, int | str] = {**packet, "in_port": in_port, "metadata": 0}
        left: list[tuple[int, Packet]] = []
        table: int | None = 0
        while table is not None:
            flow = self._find(table, fields)
            if flow is None:
                break
            for action in flow.actions:
                _act(action, fields, left)
            if flow.metadata is not None:
                value, mask = flow.metadata
                fields["metadata"] = int(fields["metadata"]) & ~mask | value
            table = flow.goto
        return left

    def _find(self, table: int, fields: Mapping[str, int | str]) -> Flow | None:
        hits = [f for f in self._flows.values() if f.table == table and all(_hit(fields, *item) for item in f.match)]
        best = [flow for flow in hits if flow.priority == max(hit.priority for hit in hits)]
        if len(best) > 1:
            raise AssertionError(f"which of them is not defined: {best}")
        return best[0] if best else None


def _hit(fields: Mapping[str, int | str], name: str, wanted: Value) -> bool:
    if isinstance(wanted, tuple):
        return (int(fields[name]) & wanted[1]) == wanted[0]
    return fields.get(name) == wanted


def _act(action: Output | SetField | Copy, fields: dict[str, int | str], left: list[tuple[int, Packet]]) -> None:
    match action:
        case Output(port):
            if port != fields["in_port"]:
                out = int(fields["in_port"]) if port == IN_PORT else port
                left.append((out, {k: v for k, v in fields.items() if k not in ("in_port", "metadata")}))
        case SetField(name, value):
            fields["in_port" if name == "in_port_nxm" else name] = value
        case Copy(source, target, _):
            fields[target] = fields[source]


def _acceptable(flow: Flow) -> None:
    fields = dict(flow.match)
    for name, ethernet in _NEEDS.items():
        if name in fields and fields.get("eth_type") != ethernet:
            raise AssertionError(f"{name} without its eth_type: {flow}")
    if flow.goto is not None and flow.goto <= flow.table:
        raise AssertionError(f"goes back: {flow}")
    for value in fields.values():
        if isinstance(value, tuple) and value[0] & ~value[1]:
            raise AssertionError(f"value outside its mask: {flow}")


@dataclass
class World:
    """All switches of a registry. Port numbers differ between sites, so that a mix-up shows."""

    registry: Registry
    ports: dict[str, dict[str, int]] = field(default_factory=dict, init=False)
    tables: dict[str, FlowTable] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for index, site in enumerate(self.registry.sites, 1):
            peers = [tunnel_name(self.registry.tunnel, peer) for peer in self.registry.sites if peer != site]
            devices = {e.ports[site]: 0 for e in self.registry.endpoints.values() if site in e.ports}
            devices |= dict.fromkeys(self.registry.sites[site].fabrics.values(), 0)
            self.ports[site] = {name: 100 * index + n for n, name in enumerate((*peers, *devices))}
            self.tables[site] = FlowTable(flows(self.registry, site, self.ports[site]))

    def copy(self) -> "World":
        """The same switches in the same state, to go on from here."""
        other = World(self.registry)
        other.tables = {site: table.copy() for site, table in self.tables.items()}
        return other

    def hop(self, site: str, device: str, packet: Packet) -> list[tuple[str, str, Packet]]:
        """Let a packet in at a device of a site: (site, device, packet) where each copy comes out, or in next."""
        names = {number: name for name, number in self.ports[site].items()}
        result = []
        for port, copy in self.tables[site].forward(packet, self.ports[site][device]):
            peer = self._peer(names[port])
            if peer is None:
                result.append((site, names[port], {k: v for k, v in copy.items() if k != "tunnel_id"}))
            else:
                result.append((peer, tunnel_name(self.registry.tunnel, site), copy))
        return result

    def send(self, site: str, device: str, packet: Packet) -> list[tuple[str, str]]:
        """Follow a packet and all its copies to the end; the (site, device) that each reaches, sorted."""
        reached = []
        under_way = [(site, device, packet, 0)]
        while under_way:
            here, by, content, hops = under_way.pop()
            if hops > len(self.registry.sites):
                raise AssertionError("a packet goes round and round")
            for there, out, copy in self.hop(here, by, content):
                if there == here:
                    reached.append((there, out))
                else:
                    under_way.append((there, out, copy, hops + 1))
        return sorted(reached)

    def _peer(self, name: str) -> str | None:
        return next((p for p in self.registry.sites if tunnel_name(self.registry.tunnel, p) == name), None)
