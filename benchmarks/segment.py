"""The network of contenders that know no controller: a bridge at each site that learns, joined by tunnels.

A full mesh, so that every site is one hop away; `protected` keeps what came out of one tunnel from the others, as
fabrics that learn do against loops. OVN's way is rebuilt on the same bridges by flows (contenders/ovn.py).
"""

import time
from collections.abc import Iterable

from benchmarks.stage import OFFICE, Stage
from intercloud.clouds.lab import bridge, lab
from intercloud.clouds.lab.demo import NETWORK
from intercloud.clouds.lab.spec import Place
from intercloud.clouds.run import run
from intercloud.model.server import Nic

BRIDGE = "br-learn"
KEY = 6001
CLIENT = Nic(NETWORK.name, "52:54:00:50:02:64", "10.50.0.100")
SETTINGS = {"network": "learning bridges, full mesh of VXLAN, protected tunnel ports"}


class Segment:
    """One learning network over all sites, with a client in the office.

    device: the client's; client: its namespace; prefix: words that run a command there.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        for place in stage.spec.places():
            self._make(place)
        client = lab.client(stage.place(OFFICE), "learner", CLIENT, NETWORK)
        self.device = client.placement.ports[CLIENT.mac]
        self.plug(OFFICE, self.device)
        self.client, self.prefix = client.namespace, client.prefix

    def _make(self, place: Place) -> None:
        words = ["--may-exist", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"]
        words += ["fail_mode=standalone", "protocols=OpenFlow10,OpenFlow14"]
        for peer in self.stage.spec.places():
            if peer != place:
                port = self.tunnel(peer.name)
                words += ["--", "--may-exist", "add-port", BRIDGE, port, "--", "set", "port", port, "protected=true"]
                words += ["--", "set", "interface", port, "type=vxlan", f"options:key={KEY}"]
                words += [f"options:local_ip={place.tunnel_address}", f"options:remote_ip={peer.tunnel_address}"]
        bridge.vsctl(place, words)

    def tunnel(self, peer: str) -> str:
        """Name the port of the tunnel to a site."""
        return f"l-{peer}"

    def plug(self, site: str, device: str) -> None:
        """Put a device on a site's bridge."""
        bridge.vsctl(self.stage.place(site), ["--may-exist", "add-port", BRIDGE, device])

    def unplug(self, site: str, device: str) -> None:
        """Take a device off a site's bridge."""
        bridge.vsctl(self.stage.place(site), ["--if-exists", "del-port", BRIDGE, device])

    def flows(self, site: str, flows: Iterable[str]) -> None:
        """Replace a site's flows by these, at once."""
        run(
            ["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "replace-flows", self._door(site), "-"], text="\n".join(flows)
        )

    def forget(self) -> None:
        """Let every site's bridge forget where it has seen whom: fleets take turns with the same addresses.

        Cached flows go first: when it next counts their packets, a bridge would learn from them what is so no more.
        """
        for place in self.stage.spec.places():
            for words in (["revalidator/purge"], ["fdb/flush", BRIDGE]):
                run(["ovs-appctl", "-t", f"{place.ovs}/ovs-vswitchd.ctl", *words])

    def learn(self) -> None:
        """Let every site's bridge learn again, as it does without flows of ours; returns when it does."""
        for place in self.stage.spec.places():
            self.flows(place.name, ["priority=0,actions=NORMAL"])
        time.sleep(0.1)

    def _door(self, site: str) -> str:
        return f"{self.stage.place(site).ovs}/{BRIDGE}.mgmt"
