"""The servers that are moved: one, or a cluster; from three on it begins with the tiers of the demo's application."""

from intercloud.clouds.lab import demo
from intercloud.clouds.lab.guest.drive import user_data
from intercloud.model.server import Cluster, Disk, Image, Nic, Server

NAME = "fleet"
FIRST = 11
"""The last byte of the first server's address."""


def cluster(image: Image, count: int) -> Cluster:
    """Describe that many servers of one image, each with one disk and one card."""
    roles = [*demo.TIERS] if count >= len(demo.TIERS) else []
    names = [*roles, *(f"server{number}" for number in range(len(roles) + 1, count + 1))]
    addresses = {name: f"10.50.0.{number}" for number, name in enumerate(names, start=FIRST)}
    servers = (
        Server(
            name=name,
            vcpus=1,
            memory=demo.MEMORY,
            disks=(Disk("root", demo.DISK, image),),
            nics=(Nic(demo.NETWORK.name, f"52:54:00:50:01:{number:02x}", ip, (demo.OPEN.name,)),),
            metadata={
                "user_data": user_data(name if name in roles else "", name, f"{ip}/24", demo.NETWORK.mtu, addresses)
            },
        )
        for number, (name, ip) in enumerate(addresses.items(), start=FIRST)
    )
    return Cluster(NAME, (demo.NETWORK,), tuple(servers), demo.HEALTH if roles else None, (demo.OPEN,))


def addresses(fleet: Cluster) -> dict[str, str]:
    """Name of each server → its address."""
    return {server.name: server.nics[0].ip for server in fleet.servers}
