"""Bridges that learn: action NORMAL, told of the endpoint's new place as QEMU does it."""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cutover.stand import NEW, OLD, Stand, hosts_of
from benchmarks.cutover.traffic import Hosts, there
from intercloud.clouds.lab import bridge
from intercloud.clouds.lab.spec import LabSpec, Place
from intercloud.clouds.run import run
from intercloud.control.messages import Cutover
from intercloud.control.tunnels import tunnel_name
from intercloud.model.site import Tunnel

BRIDGE = "br-learn"
ANNOUNCED_S = (0.0, 0.05, 0.2, 0.45, 0.8)
"""When QEMU announces a guest that has arrived: five times, 50 ms and then each time 100 ms more between them."""

MOST = 100
"""Endpoints: their announcements share one queue of a switch here, which holds some 200 packets."""

_KEY = 9
_LEARNT_S = 0.05


@dataclass(frozen=True)
class Learning:
    """Bridges that learn, with hosts of their own, which have the addresses of the others'."""

    spec: LabSpec
    hosts: Hosts
    frames: Sequence[bytes]

    def move(self) -> Cutover:
        """Announce all endpoints at the new place, as often as QEMU does. There is no switch that would confirm it."""
        with _card(self.hosts.receivers[NEW]) as card:
            started = time.monotonic()
            for at in ANNOUNCED_S:
                time.sleep(max(0.0, started + at - time.monotonic()))
                self._announce(card)
        return Cutover(started, time.monotonic(), {}, {})

    def back(self) -> None:
        """Let the bridges learn that all are at the old place, and forget that they have ever seen an announcement.

        From packets that it has a cached flow for a switch learns when it next counts them, up to 0.5 s later. But a
        server has not been before where it arrives.
        """
        for place in self.spec.places():
            run(["ovs-appctl", f"--target={place.ovs}/ovs-vswitchd.ctl", "--timeout=10", "revalidator/purge"])
        with _card(self.hosts.receivers[OLD]) as card:
            for _ in range(2):  # one may be lost
                self._announce(card)
                time.sleep(_LEARNT_S)

    def _announce(self, card: socket.socket) -> None:
        for frame in self.frames:
            card.send(frame)


def learning(stand: Stand) -> Learning:
    """Add a bridge that learns to each site of a stand, joined by tunnels of their own; nobody has learnt anything."""
    hosts, devices = hosts_of(stand.spec, "web-2", "client-2")
    for place in stand.spec.places():
        _bridge(place, stand.before.tunnel, devices[place.name])
    return Learning(stand.spec, hosts, [rarp(mac) for mac in stand.moves])


def rarp(mac: str) -> bytes:
    """Write an RARP request of this address for itself (RFC 903), as QEMU announces a guest."""
    address = bytes.fromhex(mac.replace(":", ""))
    head = struct.pack("!HHHBBH", 0x8035, 1, 0x0800, 6, 4, 3)
    return b"\xff" * 6 + address + head + address + bytes(4) + address + bytes(4) + bytes(18)


def _card(namespace: str) -> socket.socket:
    def packets() -> socket.socket:
        card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        card.bind(("eth0", 0))
        return card

    return there(namespace, packets)


def _bridge(place: Place, tunnel: Tunnel, device: str) -> None:
    """Full mesh, so what came from one tunnel must not leave by another: they are protected from each other."""
    words = ["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail_mode=standalone"]
    words += ["--", "add-port", BRIDGE, device]
    for peer, (local, remote) in place.site().underlay.items():
        port = f"l{tunnel_name(tunnel, peer)}"
        words += ["--", "add-port", BRIDGE, port, "--", "set", "port", port, "protected=true"]
        words += ["--", "set", "interface", port, f"type={tunnel}", f"options:key={_KEY}"]
        words += [f"options:local_ip={local}", f"options:remote_ip={remote}"]
    bridge.vsctl(place, words)
