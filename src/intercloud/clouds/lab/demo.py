"""The demonstration: a shop of three tiers, and a customer in the office."""

import sys
from collections.abc import Iterable

from intercloud.clouds.lab.guest.drive import user_data
from intercloud.clouds.run import inside, run
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Rule, SecurityGroup, Server
from intercloud.units import MIB, Bytes

NETWORK = Network("shop", key=5001, cidr="10.50.0.0/24", mtu=1400)
TIERS = {"web": "10.50.0.11", "app": "10.50.0.12", "db": "10.50.0.13"}
"""Role, which is also the server's name → address."""
CLIENT = Nic(NETWORK.name, "52:54:00:50:00:64", "10.50.0.100")
"""The office's card."""
HEALTH = "http://10.50.0.11/health"
OPEN = SecurityGroup("open", frozenset(Rule(way, "IPv4") for way in ("ingress", "egress")))
"""What the lab lets through, which has no filters: in words for clouds that have."""
MEMORY = Bytes(128 * MIB)
DISK = Bytes(256 * MIB)


def cluster(image: Image) -> Cluster:
    """Describe the shop."""
    servers = (
        Server(
            name=role,
            vcpus=1,
            memory=MEMORY,
            disks=(Disk("root", DISK, image),),
            nics=(Nic(NETWORK.name, f"52:54:00:50:00:{number:02x}", ip, (OPEN.name,)),),
            metadata={"user_data": user_data(role, role, f"{ip}/24", NETWORK.mtu, TIERS)},
        )
        for number, (role, ip) in enumerate(TIERS.items(), start=11)
    )
    return Cluster("shop", (NETWORK,), tuple(servers), HEALTH, (OPEN,))


def heat(client: str, mib: int, rate: float = 0, addresses: Iterable[str] = tuple(TIERS.values())) -> None:
    """Let every server rewrite that many MiB for ever; 0 stops it. client: a namespace of the lab's.

    rate: MiB a second; 0: as fast as it can. Raises CloudError when a server does not answer or has no room.
    """
    for address in addresses:
        url = f"http://{address}:8080/hot?mib={mib}&rate={rate}"
        post = f"import urllib.request as u; u.urlopen(u.Request({url!r}, method='POST'), timeout=20).read()"
        run(inside(client, [sys.executable, "-c", post]), timeout=60)
