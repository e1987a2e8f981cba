"""How long a move will take and how long the servers will stand still, as far as that can be told beforehand."""

from collections.abc import Collection
from dataclasses import dataclass

from intercloud.model.digests import BLOCK
from intercloud.model.limits import blackout_limit
from intercloud.model.server import Cluster, Image
from intercloud.model.site import WanPath
from intercloud.model.strategy import Strategy
from intercloud.planning.switchover import SMALL
from intercloud.units import Bytes, Seconds, show_bytes, show_rate, show_seconds

PAGE = 4096
PAGE_HEAD = 8
"""Bytes before each page in QEMU's stream (PERFORMANCE §4, U)."""
DEVICE_STATE = Bytes(280_000)
"""Devices and vCPUs of one small server: 0.11-0.28 MB, measured (PERFORMANCE §4, S)."""


@dataclass(frozen=True)
class Estimate:
    """What a move costs. copy_s, blackout_s: seconds; *_basis: what for, to be read after them.

    image_bytes, disk_bytes, memory_bytes: what has to cross once, of all servers together.
    """

    image_bytes: Bytes
    disk_bytes: Bytes
    memory_bytes: Bytes
    copy_s: Seconds
    copy_basis: str
    blackout_s: Seconds
    blackout_basis: str


def estimate(
    cluster: Cluster, missing: Collection[Image], strategy: Strategy, path: WanPath, overhead: Seconds
) -> Estimate:
    """Estimate a move of all these servers at the same time. missing: images to send first.

    overhead: flows, loading and resuming at a switchover. Source: PERFORMANCE §4, formula (1) for the time and (4)
    with Q = 0 for the blackout. Memory counts as if no page were zero, a disk by what it holds or else by its size.
    Raises ValueError when the path carries nothing.
    """
    disks = [disk for server in cluster.servers for disk in server.disks]
    live = strategy is Strategy.LIVE
    images = Bytes(sum(image.size for image in missing))
    held = Bytes(sum(disk.size if disk.held is None else disk.held for disk in disks))
    pages = sum(-(-server.memory // PAGE) for server in cluster.servers) if live else 0
    memory = Bytes(pages * (PAGE + PAGE_HEAD))
    at_most = "" if all(disk.held is not None for disk in disks) else "at most "
    parts = [f"{at_most}{show_bytes(held)} of disks"]
    parts += [f"{show_bytes(images)} of images"] if images else []
    parts += [f"at most {show_bytes(memory)} of memory"] if live else []
    match strategy:
        case Strategy.LIVE:
            blackout, blackout_basis = _live(cluster, path, overhead)
        case Strategy.WARM:
            blackout, blackout_basis = _warm(len(disks), path)
        case Strategy.COLD:
            blackout, blackout_basis = _cold(held, path, parts[0])
    return Estimate(
        images,
        held,
        memory,
        crossing(images + held + memory, path),
        f"for {', '.join(parts)} at {show_rate(path.rate)}; setting up and verifying come on top"
        + ("" if strategy is Strategy.COLD else ", and what the servers write meanwhile"),
        blackout,
        blackout_basis,
    )


def crossing(size: int, path: WanPath) -> Seconds:
    """Seconds until the last of these bytes is there. Source: PERFORMANCE §4, formula (1) without set-up."""
    return blackout_limit(Bytes(size), Bytes(0), path.rate, Seconds(path.rtt / 2), Seconds(0))


def _live(cluster: Cluster, path: WanPath, overhead: Seconds) -> tuple[Seconds, str]:
    """All are frozen when what crosses in SMALL is left, or what a hot set costs at best: that is not known now."""
    state = Bytes(DEVICE_STATE * len(cluster.servers))
    small = Bytes(round(path.rate / 8 * SMALL))
    return (
        blackout_limit(small, state, path.rate, Seconds(path.rtt / 2), overhead),
        f"at least, for the last {show_bytes(small)} of memory and {show_bytes(state)} of devices at "
        f"{show_rate(path.rate)}, {show_seconds(path.rtt / 2)} of way, {show_seconds(overhead)} to change flows, "
        "load and resume; longer for servers that write much",
    )


def _warm(disks: int, path: WanPath) -> tuple[Seconds, str]:
    """A server writes when it shuts down: one block of each disk at the very least. More is not known beforehand."""
    delta = Bytes(BLOCK * disks)
    return crossing(delta, path), (
        f"at least, for a last delta of one block ({show_bytes(Bytes(BLOCK))}) of each disk at {show_rate(path.rate)}; "
        "all else that was written since the last round, shutting down, proving the disks and booting come on top"
    )


def _cold(held: Bytes, path: WanPath, disks: str) -> tuple[Seconds, str]:
    """Nobody knows beforehand how long a guest takes to shut down and to boot."""
    return crossing(held, path), f"for {disks} at {show_rate(path.rate)}; shutting down and booting come on top"
