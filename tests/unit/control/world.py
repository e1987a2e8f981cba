"""A registry of three sites and two networks, and packets in it."""

from intercloud.control.registry import Endpoint, Registry
from intercloud.model.server import Network
from intercloud.model.site import Site, Tunnel

WEB = Endpoint("web", "blue", "52:54:00:00:00:01", "10.0.0.1", "a", {"a": "tap-web", "b": "tap-web-b"})
APP = Endpoint("app", "blue", "52:54:00:00:00:02", "10.0.0.2", "a", {"a": "tap-app", "b": "tap-app-b"})
DB = Endpoint("db", "blue", "52:54:00:00:00:03", "10.0.0.3", "b", {"b": "tap-db", "a": "tap-db-a"})
CLIENT = Endpoint("client", "blue", "52:54:00:00:00:04", "10.0.0.4", "c", {"c": "tap-client"})
OTHER = Endpoint("other", "red", "52:54:00:00:00:05", "10.0.0.1", "a", {"a": "tap-other"})
BROADCAST = "ff:ff:ff:ff:ff:ff"


def site(name: str, number: int) -> Site:
    underlay = {peer: (f"192.0.2.{number}", f"192.0.2.{n}") for n, peer in enumerate("abc", 1) if peer != name}
    return Site(name, f"unix:/{name}.sock", "border", f"{number:016x}", underlay, "unix:/controller.sock")


def registry(tunnel: Tunnel = Tunnel.VXLAN) -> Registry:
    return Registry().put(
        sites=[site(name, number) for number, name in enumerate("abc", 1)],
        networks=[Network("blue", 7, "10.0.0.0/24", 1450), Network("red", 8, "10.0.0.0/24", 1450)],
        endpoints=[WEB, APP, DB, CLIENT, OTHER],
        tunnel=tunnel,
    )


def ip_packet(source: Endpoint, target: Endpoint | str) -> dict[str, int | str]:
    mac = target if isinstance(target, str) else target.mac
    return {"eth_src": source.mac, "eth_dst": mac, "eth_type": 0x0800, "ipv4_src": source.ip}


def arp_request(source: Endpoint, address: str) -> dict[str, int | str]:
    return {
        "eth_src": source.mac, "eth_dst": BROADCAST, "eth_type": 0x0806, "arp_op": 1,
        "arp_sha": source.mac, "arp_spa": source.ip, "arp_tha": "00:00:00:00:00:00", "arp_tpa": address,
    }  # fmt: skip
