"""The demonstration: a shop of three tiers at the first cloud, and a customer in the office."""

from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import user_data
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.errors import NotFound
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


def install(cloud: LabCloud) -> Cluster:
    """Make the shop at a cloud that does not have it, and boot what of it does not run.

    Its cards are plugged by the control layer, at the placements that create_server gives.
    """
    try:
        shop = cloud.cluster("shop")
    except NotFound:
        shop = cluster(cloud.image_add(build_image(cloud.place.lab.cache), "guest"))
    for server in shop.servers:
        cloud.create_server(shop, server)
        if cloud.server_state(server.name) is ServerState.STOPPED:
            cloud.start_server(server.name)
    return shop
