"""What the path between two sites really carries, measured from a computer at each."""

import math
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from intercloud.clouds.run import run
from intercloud.errors import CloudError, CloudUnreachable
from intercloud.model.site import WanPath
from intercloud.units import BitsPerSecond, Seconds

IPERF_PORTS = range(48000, 49000)
LEAST_MTU = 576
"""What every IPv4 path carries (RFC 791)."""
JUMBO = 9000
"""The largest packet that is tried."""
SETTLES, LONG = (0.3, 20), 0.4
"""A new stream finds its rate in so many seconds, or so many round trips; seconds for which it is measured then."""
PAUSE = "0.005"
"""Seconds between two pings; `ping` lets everybody go down to 0.002."""
FIRST = "3"
"""Seconds for the first answer: who does not know its neighbour asks for it once a second, and may not be heard."""
_INTERVAL = re.compile(r"([\d.]+)-([\d.]+) +sec .* ([\d.]+) Kbits/sec *$", re.MULTILINE)


@dataclass(frozen=True)
class End:
    """One end of a path. name: of the site; address: on the WAN; tunnel_address: of its end of the tunnel.

    beside: words before a command that shall run there.
    """

    name: str
    address: str
    tunnel_address: str
    beside: tuple[str, ...] = ()


def measure(source: End, target: End, most: int = JUMBO) -> WanPath:
    """Measure what the path carries, in some 0.9 s if it is short. Raises CloudUnreachable when nothing comes back.

    most: bytes of the largest packet that can be sent at all.
    """
    rtt = round_trip(source, target)
    mtu = path_mtu(source, target.address, rtt, most)
    if mtu == 0:
        raise CloudUnreachable(f"no packet of {LEAST_MTU} bytes crosses from {source.name} to {target.name}")
    return WanPath(rtt, rate(source, target, rtt), mtu, path_mtu(source, target.tunnel_address, rtt, most))


def round_trip(source: End, target: End) -> Seconds:
    """Ping; the least of ten counts, because a busy machine only ever adds to it."""
    try:
        said = run([*source.beside, "ping", "-n", "-q", "-c", "10", "-i", PAUSE, "-W", FIRST, target.address])
    except CloudError as error:
        raise CloudUnreachable(f"{target.name} does not answer {source.name} over the WAN ({error})") from error
    found = re.search(r"= ([\d.]+)/", said)
    if found is None:
        raise CloudUnreachable(f"{target.name} does not answer {source.name} over the WAN")
    return Seconds(float(found[1]) / 1000)


def rate(source: End, target: End, rtt: Seconds) -> BitsPerSecond:
    """Measure one TCP stream for LONG, as what arrives once it has found its rate; it is cut off then."""
    settled = max(SETTLES[0], SETTLES[1] * rtt)
    port = ["--port", str(random.choice(IPERF_PORTS))]
    listen = ["setpriv", "--pdeathsig", "KILL", "iperf3", "--server", "--one-off", "--forceflush", *port]
    listen += ["--interval", "0.1", "--format", "k"]
    connect = ["iperf3", "--client", target.address, "--connect-timeout", "2000", *port]
    connect += ["--time", str(math.ceil(settled + LONG))]
    with (
        ThreadPoolExecutor(1) as sender,
        subprocess.Popen([*target.beside, *listen], stdout=subprocess.PIPE, text=True) as server,
    ):

        def send() -> None:
            try:
                run([*source.beside, *connect])
            except CloudError:
                server.kill()  # it would wait for ever
                raise

        try:
            assert server.stdout is not None
            next((line for line in server.stdout if "listening" in line), None)
            sending = sender.submit(send)
            said = ""
            for line in server.stdout:
                said += line
                if (interval := _INTERVAL.search(line)) and float(interval[2]) >= settled + LONG:
                    break
            else:
                sending.result()
            return arrived(said, settled)
        except CloudError as error:
            raise CloudUnreachable(f"no TCP from {source.name} to {target.name} over the WAN ({error})") from error
        finally:
            server.kill()  # and so the sender ends, too


def arrived(said: str, since: float) -> BitsPerSecond:
    """Find the mean rate of the intervals that iperf3's server tells of, from so many seconds on. Raises CloudError."""
    intervals = [tuple(map(float, found)) for found in _INTERVAL.findall(said)]
    counted = [(ends - begins, kbit) for begins, ends, kbit in intervals if begins >= since]
    if not counted:
        raise CloudError(f"iperf3 tells of nothing that arrived: {said[-200:]!r}")
    return BitsPerSecond(1000 * sum(took * kbit for took, kbit in counted) / sum(took for took, _ in counted))


def path_mtu(source: End, address: str, rtt: Seconds, most: int) -> int:
    """Find the largest IP packet that crosses whole, up to `most` bytes, by halving; 0 when none does."""
    crosses, fails = 0, most + 1
    probe = fails - 1
    while fails - crosses > 1:
        ping = ["ping", "-n", "-q", "-c", "2", "-i", PAUSE, "-W", f"{0.3 + rtt:.3f}", "-M", "do"]
        try:
            run([*source.beside, *ping, "-s", str(probe - 28), address])
            crosses = probe
        except CloudError:
            fails = probe
        probe = (crosses + fails) // 2
        if fails <= LEAST_MTU:
            return 0
    return crosses
