"""What lies between the clouds: the ends of their provider networks, the controller, and a client in the office."""

from dataclasses import replace

from intercloud.bootstrap.lab import controller_up, register
from intercloud.bootstrap.wiring import CLIENT
from intercloud.clouds.lab import bridge, demo, lab, net
from intercloud.clouds.run import inside, run
from intercloud.control import process
from intercloud.control.client import ControlClient
from intercloud.model.site import Site
from testbed.layout import CONTROL, HOSTS, LAB, OTHER_KIND, VLAN, Host

NETWORK = demo.NETWORK
"""The tenant's, in both clouds and in the office."""
PROVIDER_BRIDGE = "br-provider"
"""Stands for the switch of the data center: a VLAN for each network, and a plain port to the border for ours."""
DEVICE = "shop"
"""The end of the tenant's network that the border bridge takes."""


def site(host: Host) -> Site:
    """The cloud as the control layer sees it."""
    return replace(host.place.site(), fabrics={NETWORK.name: DEVICE})


def connect(host: Host) -> None:
    """Lead a cloud's provider network to its border; safe to repeat."""
    namespace, inner = host.place.namespace, f"{DEVICE}-in"
    if DEVICE not in net.links(namespace):
        net.batch(namespace, [("link", "add", DEVICE, "type", "veth", "peer", "name", inner)])
    net.batch(namespace, [("link", "set", name, "up") for name in (DEVICE, inner)])
    for name in (DEVICE, inner):
        # the userspace datapath does not complete partial checksums
        run(inside(namespace, ["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]))
    words = ["--may-exist", "add-br", PROVIDER_BRIDGE, "--", "set", "bridge", PROVIDER_BRIDGE, "datapath_type=netdev"]
    words += ["--", "--may-exist", "add-port", PROVIDER_BRIDGE, "provider"]
    words += ["--", "--may-exist", "add-port", PROVIDER_BRIDGE, inner, f"tag={VLAN}"]
    bridge.vsctl(host.place, words)


def up() -> None:
    """Start the controller, tell it of all sites, and put a client in the office; safe to repeat."""
    controller_up(LAB, CONTROL)
    office, lab_cloud = LAB.place("office"), LAB.place(OTHER_KIND)
    client = lab.client(office, CLIENT, demo.CLIENT, NETWORK)
    with ControlClient(CONTROL / process.SOCKET_FILE) as control:
        control.put(sites=[*map(site, HOSTS), office.site(), lab_cloud.site()], networks=[NETWORK])
        register(CLIENT, demo.CLIENT, client.placement, control)


def down() -> None:
    """Stop the controller."""
    if CONTROL.exists():
        process.stop(CONTROL)
