"""The WAN: one segment that joins the uplinks of all sites, with the delay and the loss that the specification says.

With netem: a namespace with a bridge, a veth pair from it to each site, netem on the bridge's ports. Without: the
program wan.c joins the sites' taps. The rate is a token bucket (tbf) on each site's uplink in both cases (net.py).
"""

import json
import random
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from intercloud.clouds.lab.net import add_namespace, batch, links, processes
from intercloud.clouds.lab.run import command_line, inside, kill, run, urgently
from intercloud.clouds.lab.spec import LabSpec, Place, short_hash
from intercloud.errors import CloudError, CloudUnreachable
from intercloud.model.site import WanPath
from intercloud.units import BitsPerSecond, Seconds

SOURCE = Path(__file__).with_name("wan.c")
IPERF_PORTS = range(48000, 49000)
LEAST_MTU = 576
"""What every IPv4 path carries (RFC 791)."""


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


def measure(source: Place, target: Place) -> WanPath:
    """Measure what the path carries, in about two seconds. Raises CloudUnreachable when nothing comes back."""
    rtt = round_trip(source, target)
    mtu = path_mtu(source, target.address, rtt)
    if mtu == 0:
        raise CloudUnreachable(f"no packet of {LEAST_MTU} bytes crosses from {source.name} to {target.name}")
    return WanPath(rtt, rate(source, target), mtu, path_mtu(source, target.tunnel_address, rtt))


def round_trip(source: Place, target: Place) -> Seconds:
    """Ping; the least of ten counts, because a busy machine only ever adds to it."""
    try:
        said = run(inside(source.namespace, ["ping", "-n", "-q", "-c", "10", "-i", "0.02", "-W", "1", target.address]))
    except CloudError as error:
        raise CloudUnreachable(f"{target.name} does not answer {source.name} over the WAN ({error})") from error
    found = re.search(r"= ([\d.]+)/", said)
    if found is None:
        raise CloudUnreachable(f"{target.name} does not answer {source.name} over the WAN")
    return Seconds(float(found[1]) / 1000)


def rate(source: Place, target: Place) -> BitsPerSecond:
    """Measure one TCP stream for a second, after a second of slow start."""
    address = ["--port", str(random.choice(IPERF_PORTS))]
    listen = ["setpriv", "--pdeathsig", "KILL", "iperf3", "--server", "--one-off", "--forceflush", *address]
    connect = ["iperf3", "--client", target.address, "--connect-timeout", "2000", "--json", *address]
    connect += ["--time", "1", "--omit", "1"]
    with subprocess.Popen(inside(target.namespace, listen), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            next((line for line in server.stdout if "listening" in line), None)
            said = json.loads(run(inside(source.namespace, connect)))
        except CloudError as error:
            raise CloudUnreachable(f"no TCP from {source.name} to {target.name} over the WAN ({error})") from error
        finally:
            server.kill()
    return BitsPerSecond(said["end"]["sum_received"]["bits_per_second"])


def path_mtu(source: Place, address: str, rtt: Seconds) -> int:
    """Find the largest IP packet that crosses whole, up to the uplink's own MTU, by halving; 0 when none does."""
    crosses, fails = 0, source.lab.wan.mtu + 1
    probe = fails - 1
    while fails - crosses > 1:
        ping = ["ping", "-n", "-q", "-c", "2", "-i", "0.02", "-W", f"{0.3 + rtt:.3f}", "-M", "do"]
        try:
            run(inside(source.namespace, [*ping, "-s", str(probe - 28), address]))
            crosses = probe
        except CloudError:
            fails = probe
        probe = (crosses + fails) // 2
        if fails <= LEAST_MTU:
            return 0
    return crosses
