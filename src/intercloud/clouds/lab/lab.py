"""Bring a lab up and down. Everything here looks at what there is, so it repairs what a kill left half-done."""

import logging
import shutil
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from intercloud.clouds.lab import bridge, net, wan
from intercloud.clouds.lab.spec import LabSpec, Place, short_hash
from intercloud.clouds.run import command_line, find_process, inside, kill, run
from intercloud.model.server import Network, Nic
from intercloud.model.site import Placement

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SiteStatus:
    """What of one site is up. servers: names of those whose process runs."""

    name: str
    namespace: bool
    switch: bool
    servers: tuple[str, ...]


@dataclass(frozen=True)
class LabStatus:
    """What of a lab is up."""

    wan: bool
    sites: tuple[SiteStatus, ...]

    @property
    def up(self) -> bool:
        """Whether every part that `up` starts runs."""
        return self.wan and all(site.namespace and site.switch for site in self.sites)


def up(spec: LabSpec) -> None:
    """Make every site and the WAN between them, or repair them. Servers are not touched."""
    spec.path.mkdir(parents=True, exist_ok=True)
    for place in spec.places():
        net.add_namespace(place.namespace)
        bridge.end_lost(place)
    wan.up(spec)
    for place in spec.places():
        net.add_site(place)
        bridge.up(place)
    log.info("lab %s is up: %s", spec.name, ", ".join(site.name for site in spec.sites))


@dataclass(frozen=True)
class Client:
    """A computer of a site that is no server. prefix: put before a command, it runs there."""

    placement: Placement
    namespace: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that shall run at the client."""
        return inside(self.namespace, ())


def client(place: Place, name: str, nic: Nic, network: Network) -> Client:
    """Make a client: a namespace with one card, whose other end the border bridge shall take; safe to repeat."""
    namespace = f"{place.namespace}--{name}"
    device = f"c{short_hash(name, nic.mac)}"
    net.add_namespace(namespace)
    if device not in net.links(place.namespace):
        peer = ("peer", "name", "eth0", "address", nic.mac, "netns", namespace)
        net.batch(place.namespace, [("link", "add", device, "type", "veth", *peer)])
    prefix = ip_network(network.cidr).prefixlen
    mtu = str(network.mtu)
    net.batch(place.namespace, [("link", "set", device, "mtu", mtu, "up")])
    net.batch(
        namespace,
        [("link", "set", "eth0", "mtu", mtu, "up"), ("addr", "replace", f"{nic.ip}/{prefix}", "dev", "eth0")],
    )
    # The userspace datapath does not complete partial checksums.
    run(inside(namespace, ["ethtool", "-K", "eth0", "tx", "off"]))
    return Client(Placement(place.name, {nic.mac: device}), namespace)


def down(spec: LabSpec) -> None:
    """Remove every process, namespace, device and file of the lab; the cache stays. No error when there is nothing.

    Only the name and the root of the specification count: sites that it no longer lists are removed too.
    """
    ours = [name for name in net.namespaces() if name.startswith(f"ic-{spec.name}-")]
    kill([*{pid for name in ours for pid in net.processes(name)} | {*strays(spec.path)}])
    for name in ours:
        run(["ip", "netns", "delete", name])
    shutil.rmtree(spec.path, ignore_errors=True)
    log.info("lab %s is down", spec.name)


def strays(path: Path) -> frozenset[int]:
    """Processes that a lab's directory is an argument of, whatever namespace they are in: switches, servers, offers."""
    programs = ("ovsdb-server", "ovs-vswitchd", "qemu-")
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        words = command_line(int(entry.name))
        if words and Path(words[0]).name.startswith(programs) and any(f"{path}/" in word for word in words):
            found.add(int(entry.name))
    return frozenset(found)


def status(spec: LabSpec) -> LabStatus:
    """Look at what runs."""
    there = net.namespaces()
    return LabStatus(
        wan=wan.is_up(spec, there),
        sites=tuple(site_status(place, place.namespace in there) for place in spec.places()),
    )


def site_status(place: Place, namespace: bool) -> SiteStatus:
    """Look at what runs of one site."""
    daemons = ("ovsdb-server", "ovs-vswitchd")
    switch = all(find_process(place.ovs / f"{name}.pid", str(place.ovs)) is not None for name in daemons)
    records = sorted((place.path / "servers").glob("*/qemu.pid"))
    servers = tuple(pid.parent.name for pid in records if find_process(pid, str(pid)) is not None)
    return SiteStatus(place.name, namespace, switch, servers)
