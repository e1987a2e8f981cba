"""The demonstration: a shop of three tiers at the first cloud, and a customer in the office."""

from collections.abc import Sequence

from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import user_data
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.units import MIB, Bytes

NETWORK = Network("shop", key=5001, cidr="10.50.0.0/24", mtu=1400)
TIERS = {"web": "10.50.0.11", "app": "10.50.0.12", "db": "10.50.0.13"}
"""Role, which is also the server's name → address."""
CLIENT = Nic(NETWORK.name, "52:54:00:50:00:64", "10.50.0.100")
"""The office's card."""
HEALTH = "http://10.50.0.11/health"
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
            nics=(Nic(NETWORK.name, f"52:54:00:50:00:{number:02x}", ip),),
            metadata={"user_data": user_data(role, role, f"{ip}/24", NETWORK.mtu, TIERS)},
        )
        for number, (role, ip) in enumerate(TIERS.items(), start=11)
    )
    return Cluster("shop", (NETWORK,), tuple(servers), HEALTH)


def install(clouds: Sequence[LabCloud]) -> Cluster:
    """Make the shop at the first of these clouds, and boot it, but for the servers that any of them has already.

    Its cards are plugged by the control layer, at the placements that create_server gives.
    """
    first = clouds[0]
    shop = cluster(first.image_add(build_image(first.place.lab.cache), "guest"))
    for server in shop.servers:
        states = [cloud.server_state(server.name) for cloud in clouds]
        if all(state is ServerState.ABSENT for state in states):
            first.create_server(shop, server)
        if states[0] in (ServerState.ABSENT, ServerState.STOPPED) and set(states[1:]) <= {ServerState.ABSENT}:
            first.start_server(server.name)
    return shop
