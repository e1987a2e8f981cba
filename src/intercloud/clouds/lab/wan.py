"""The WAN: one segment that joins the uplinks of all sites, with the delay and the loss that the specification says.

With netem: a namespace with a bridge, a veth pair from it to each site, netem on the bridge's ports. Without: the
program wan.c joins the sites' taps. The rate is a token bucket (tbf) on each site's uplink in both cases (net.py).
"""

from collections.abc import Collection
from pathlib import Path

from intercloud.clouds.lab.net import add_namespace, batch, links, processes
from intercloud.clouds.lab.spec import LabSpec, short_hash
from intercloud.clouds.run import command_line, inside, kill, run, urgently
from intercloud.errors import CloudError

SOURCE = Path(__file__).with_name("wan.c")


def up(spec: LabSpec) -> None:
    """Make every site's uplink and join them; safe to repeat, and repeated with other figures it changes them."""
    add_namespace(spec.wan_namespace)
    (join_by_netem if has_netem(spec.wan_namespace) else join_by_program)(spec)


def is_up(spec: LabSpec, namespaces: Collection[str]) -> bool:
    """Whether something joins the sites."""
    name = spec.wan_namespace
    return name in namespaces and ("wan" in links(name) or bool(processes(name)))


def has_netem(namespace: str) -> bool:
    """Whether this kernel has netem: tried on a device that carries nothing."""
    try:
        run(["tc", "-n", namespace, "qdisc", "replace", "dev", "lo", "root", "netem", "delay", "1ms"])
    except CloudError:
        return False
    return True


def join_by_netem(spec: LabSpec) -> None:
    """Bridge the sites in the WAN's namespace; each port delays and drops what it sends to its site."""
    there = links(spec.wan_namespace)
    if "wan" not in there:
        batch(spec.wan_namespace, [("link", "add", "wan", "type", "bridge")])
    batch(spec.wan_namespace, [("link", "set", "wan", "up")])
    for place in spec.places():
        port = f"site{place.number}"
        if port not in there:
            peer = ("peer", "name", "uplink", "netns", place.namespace)
            batch(spec.wan_namespace, [("link", "add", port, "type", "veth", *peer)])
        batch(spec.wan_namespace, [("link", "set", port, "mtu", str(spec.wan.mtu), "master", "wan", "up")])
        netem = ["netem", "limit", "100000", "delay", f"{spec.wan.delay * 1e6:.0f}us", "loss", f"{spec.wan.loss:%}"]
        run(["tc", "-n", spec.wan_namespace, "qdisc", "replace", "dev", port, "root", *netem])
        # A lost frame is one packet only where segments are cut before they get here.
        cut = "off" if spec.wan.loss else "on"
        run(inside(place.namespace, ["ethtool", "-K", "uplink", "tso", cut, "gso", cut]))


def join_by_program(spec: LabSpec) -> None:
    """Join the sites' taps by wan.c."""
    lacking = [place for place in spec.places() if "uplink" not in links(place.namespace)]
    for place in lacking:
        batch(place.namespace, [("tuntap", "add", "uplink", "mode", "tap", "vnet_hdr")])
    words = [str(build(spec.cache)), f"{spec.wan.delay * 1e6:.0f}", f"{spec.wan.loss * 1e6:.0f}"]
    words += [place.namespace for place in spec.places()]
    running = processes(spec.wan_namespace)
    if lacking or [command_line(pid) for pid in running] != [tuple(words)]:  # it holds the taps that were there
        kill(running)
        run(inside(spec.wan_namespace, [*urgently(), *words]))


def build(cache: Path) -> Path:
    """Compile wan.c; the program is cached under the hash of its source."""
    program = cache / f"wan-{short_hash(SOURCE.read_text())}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = program.with_suffix(".part")
        run(["cc", "-O2", "-o", str(part), str(SOURCE)], timeout=60)
        part.replace(program)
    return program
