"""A site's namespace and the kernel's devices in it.

    uplink ── wan ── tun-k ═ tun-o ── br-wan (Open vSwitch)
            (bridge)    (veth pair)

wan.py makes the uplink. The site's own TCP (storage, migration) leaves by `wan`, untouched by the userspace datapath,
which would cost more CPU than all the rest of the WAN. Tunnels leave by br-wan: the datapath wants their local address
on the internal port of the bridge that holds the uplink.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from intercloud.clouds.lab.spec import Place, mac_of
from intercloud.clouds.run import inside, run

SYSCTLS = {
    # Bounds the unsent queue of the migration's socket, the largest part of a default blackout.
    "net.ipv4.tcp_notsent_lowat": "131072",
    # A server held at the brink sends little; its last bytes must not wait for the window to open again.
    "net.ipv4.tcp_slow_start_after_idle": "0",
    "net.ipv4.tcp_rmem": "4096 131072 33554432",
    "net.ipv4.tcp_wmem": "4096 16384 16777216",
    # Each address answers only on its own device: wan and br-wan share one segment.
    "net.ipv4.conf.all.arp_ignore": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}
LINK_TYPES = {
    "wan": ("link", "add", "wan", "type", "bridge"),
    "tun-o": ("link", "add", "tun-o", "type", "veth", "peer", "name", "tun-k"),
}
WAN_NETWORK = "10.255.0.0/24"
"""The sites' addresses for storage and migration traffic, see Place.address."""
QUEUE = 10_000
"""Packets that a tap keeps while its guest does not read: with the kernel's 1000, one that is probed a thousand times
a second loses some when it stands still for about a second."""
BURST = 0.005
"""Seconds that a site may send faster than the WAN's rate: at 400 Mbit/s several TCP segments of 64 KiB, uncut."""


def namespaces() -> frozenset[str]:
    """Names of all network namespaces of this machine."""
    return frozenset(word["name"] for word in json.loads(run(["ip", "-j", "netns", "list"]) or "[]"))


def processes(namespace: str) -> tuple[int, ...]:
    """Every process in a namespace; none when there is no such namespace."""
    if namespace not in namespaces():
        return ()
    return tuple(map(int, run(["ip", "netns", "pids", namespace]).split()))


def add_namespace(name: str, sysctls: Mapping[str, str] = SYSCTLS) -> None:
    """Make a namespace; the same again changes nothing."""
    path = Path("/run/netns", name)
    if path.exists() and path.stat().st_dev == path.parent.stat().st_dev:
        # Cut off between the making of the file and the mount of the namespace on it.
        run(["ip", "netns", "delete", name])
    if not path.exists():
        run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])
    set_sysctls(name, sysctls)


def set_sysctls(namespace: str, sysctls: Mapping[str, str]) -> None:
    """Set a namespace's kernel parameters."""
    run(inside(namespace, ["sysctl", "-q", "-w", *(f"{key}={value}" for key, value in sysctls.items())]))


def links(namespace: str) -> frozenset[str]:
    """Names of the devices in a namespace."""
    return frozenset(word["ifname"] for word in json.loads(run(["ip", "-n", namespace, "-j", "link", "show"])))


def batch(namespace: str, commands: Sequence[Sequence[str]]) -> None:
    """Run several ip commands in a namespace, to the first that fails."""
    if commands:
        run(["ip", "-n", namespace, "-batch", "-"], text="\n".join(map(" ".join, commands)) + "\n")


def add_site(place: Place) -> None:
    """Make a site's devices from its uplink to the bridge's end of the veth pair; safe to repeat."""
    mtu = str(place.lab.wan.mtu)
    there = links(place.namespace)
    batch(place.namespace, [command for name, command in LINK_TYPES.items() if name not in there])
    batch(
        place.namespace,
        [
            ("link", "set", "uplink", "mtu", mtu, "master", "wan", "up"),
            ("link", "set", "tun-k", "mtu", mtu, "master", "wan", "up"),
            ("link", "set", "tun-o", "mtu", mtu, "up"),
            ("link", "set", "wan", "mtu", mtu, "address", mac_of(place.address), "up"),
            ("addr", "replace", f"{place.address}/24", "dev", "wan"),
            # BBR, some kernels' default, sends next to nothing for 200 ms every 10 s to measure the round trip
            # (PROBE_RTT); when that meets a switchover, it is the blackout. CUBIC does not.
            ("route", "replace", WAN_NETWORK, "dev", "wan", "src", place.address, "congctl", "cubic"),
        ],
    )
    # The userspace datapath does not complete partial checksums.
    run(inside(place.namespace, ["ethtool", "-K", "tun-k", "tx", "off"]))
    wan = place.lab.wan
    burst = max(wan.rate / 8 * BURST, 10 * wan.mtu)
    tbf = ["tbf", "rate", f"{wan.rate:.0f}bit", "burst", f"{burst:.0f}b", "latency", "50ms"]
    run(["tc", "-n", place.namespace, "qdisc", "replace", "dev", "uplink", "root", "handle", "1:", *tbf])


def add_tap(namespace: str, name: str, mtu: int) -> None:
    """Make a persistent tap for a guest's card; safe to repeat."""
    if name not in links(namespace):
        run(["ip", "-n", namespace, "tuntap", "add", name, "mode", "tap"])
    run(["ip", "-n", namespace, "link", "set", name, "mtu", str(mtu), "txqueuelen", str(QUEUE), "up"])


def delete_link(namespace: str, name: str) -> None:
    """Delete a device; no error when there is none."""
    if name in links(namespace):
        run(["ip", "-n", namespace, "link", "delete", name])
