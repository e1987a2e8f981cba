"""OVN's way through a live migration, rebuilt by flows on the learning bridges.

As ovn-nb.xml describes a port whose requested-chassis are two, with activation-strategy=rarp: senders clone each packet
for the server to both places; the destination is shut both ways until QEMU announces the server there, which its own
switch notices without asking anybody (a local controller in OVN, the action `learn` here).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contenders.guests import Guests, other
from benchmarks.segment import CLIENT
from benchmarks.stage import OFFICE

RARP = "dl_type=0x8035"
GATE_OUT, GATE_IN, FORWARD = 1, 2, 3
"""Tables at a destination that is shut: filled by what its servers announce; then where packets go."""
OPEN_OUT = f"learn(table={GATE_OUT},priority=100,NXM_OF_IN_PORT[],load:1->NXM_NX_REG0[])"
OPEN_IN = f"learn(table={GATE_IN},priority=100,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"
BROADCAST = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"


@dataclass(frozen=True)
class Chassis:
    """The switches of a fleet's network."""

    guests: Guests

    def settle(self, home: str) -> None:
        """Let all traffic of all servers go to one site."""
        for site in (home, other(home), OFFICE):
            self.guests.segment.flows(site, self._settled(site, home))

    def prepare(self, source: str) -> None:
        """Clone what goes to the servers to both sites. Their devices at the destination must be plugged."""
        target = other(source)
        self.guests.segment.flows(target, self._shut(target, source))
        for site in (source, OFFICE):
            self.guests.segment.flows(site, self._cloning(site, source, target))

    def _taps(self) -> dict[str, str]:
        """MAC of each server → its device, at whatever site."""
        return {server.nics[0].mac: self.guests.tap(server) for server in self.guests.fleet.servers}

    def _to_client(self, site: str) -> str:
        return self.guests.segment.device if site == OFFICE else self._tunnel(OFFICE)

    def _tunnel(self, site: str) -> str:
        return self.guests.segment.tunnel(site)

    def _settled(self, site: str, home: str) -> Iterator[str]:
        yield f"priority=100,dl_dst={CLIENT.mac},actions={self._to_client(site)}"
        taps = [*self._taps().values()]
        for mac, tap in self._taps().items():
            yield f"priority=100,dl_dst={mac},actions={tap if site == home else self._tunnel(home)}"
        if site == home:
            away = [self._tunnel(OFFICE)]
            for tunnel in (OFFICE, other(home)):
                yield f"priority=90,in_port={self._tunnel(tunnel)},{BROADCAST},actions={','.join(taps)}"
            yield f"priority=80,{BROADCAST},actions={','.join(taps + away)}"
        elif site == OFFICE:
            yield f"priority=90,in_port={self._tunnel(home)},{BROADCAST},actions={self._to_client(site)}"
            yield f"priority=80,{BROADCAST},actions={self._tunnel(home)}"

    def _cloning(self, site: str, source: str, target: str) -> Iterator[str]:
        yield f"priority=100,dl_dst={CLIENT.mac},actions={self._to_client(site)}"
        for mac, tap in self._taps().items():
            here = tap if site == source else self._tunnel(source)
            yield f"priority=100,dl_dst={mac},actions={here},{self._tunnel(target)}"
        yield from (flow for flow in self._settled(site, source) if "priority=100" not in flow)

    def _shut(self, target: str, source: str) -> Iterator[str]:
        for mac, tap in self._taps().items():
            flood = f"{self._tunnel(OFFICE)},{self._tunnel(source)}"
            yield f"priority=200,in_port={tap},{RARP},actions={OPEN_OUT},{OPEN_IN},{flood}"
            yield f"priority=150,in_port={tap},actions=resubmit(,{GATE_OUT}),resubmit(,{FORWARD})"
            yield f"table={FORWARD},priority=200,in_port={tap},reg0=0,actions=drop"
            yield f"priority=100,dl_dst={mac},actions=resubmit(,{GATE_IN})"
            yield f"table={FORWARD},priority=100,dl_dst={mac},actions=resubmit(,{GATE_IN}),{self._tunnel(source)}"
        yield f"table={FORWARD},priority=100,dl_dst={CLIENT.mac},actions={self._to_client(target)}"
        yield f"table={FORWARD},priority=50,{BROADCAST},actions={self._tunnel(OFFICE)},{self._tunnel(source)}"
