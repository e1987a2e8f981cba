"""Disks: mirrored over NBD from the source's QEMU into the target's while the guest runs.

copy-mode=write-blocking: a guest's write is answered only when both sides have it, so the mirror is always drained
and ends within a moment once the guest has stopped.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from intercloud.clouds.block_digests import GoOn, to_the_end
from intercloud.clouds.port import Landing, Monitor
from intercloud.errors import MonitorError, TransferError
from intercloud.model.digests import BlockDigests
from intercloud.model.server import Disk
from intercloud.transfer import filters
from intercloud.transfer.channel import Way
from intercloud.transfer.digest import LiveDisk, gentle_thread
from intercloud.transfer.qmp import Event, Json, Promise, Qmp
from intercloud.units import Bytes, Seconds

STALL = 30.0
"""Seconds without a single block moved after which a mirror counts as stuck."""
END = 10.0
"""Seconds for a drained mirror to end."""
MIRROR = "mirror-"
"""Before a disk's name: of its mirror's job, and of the node that is written to."""


@dataclass(frozen=True)
class MirrorSample:
    """How far the mirrors of one server are: bytes done and to do, over all its disks; sent: those that crossed."""

    done: Bytes
    total: Bytes
    ready: bool
    sent: Bytes


def _job(disk: Disk) -> str:
    return f"{MIRROR}{disk.name}"


def _jobs(source: Qmp) -> list[Json]:
    jobs = cast("list[Json]", source.execute("query-block-jobs"))
    return [job for job in jobs if str(job["device"]).startswith(MIRROR)]


def ready(source: Qmp) -> list[bool]:
    """Tell of each mirror of ours whether it is in step."""
    return [bool(job["ready"]) for job in _jobs(source)]


class Mirror:
    """The mirrors of all disks of one server. here: the source's monitor, which source is connected to."""

    def __init__(self, source: Qmp, target: Qmp, disks: Sequence[Disk], here: Monitor) -> None:
        self.source, self.target, self.disks, self.here = source, target, tuple(disks), here

    def start(self, landing: Landing, way: Way, go_on: GoOn = to_the_end) -> None:
        """Export the target's disks and let the source write into them, unless all that is under way.

        What a program that was killed has left of it is taken away first. What seeds hold is read at the target, and
        not believed: another mirror may have begun to fill them.
        """
        if len(_jobs(self.source)) == len(self.disks):
            return
        abandon(self.source, self.here)
        with contextlib.suppress(MonitorError):  # it does not run
            self.target.execute("nbd-server-stop")
        seeds = self._read_seeds(landing, go_on)
        self.target.execute("nbd-server-start", addr={"type": way.target.kind, "data": way.target.place})
        for disk in self.disks:
            self.target.execute(
                "block-export-add",
                type="nbd",
                id=_job(disk),
                name=disk.name,
                node_name=landing.monitor.nodes[disk.name],
                writable=True,
            )
            server = way.source
            if disk.name in seeds or (self.here.doors and server != self.here.doors.disks):  # a channel has its own
                server = filters.start(self.here, server, disk.name, seeds.get(disk.name))
            where = {"type": server.kind, **server.place}
            self.source.execute("blockdev-add", driver="nbd", node_name=_job(disk), server=where, export=disk.name)
            self.source.execute(
                "blockdev-mirror",
                job_id=_job(disk),
                device=self.here.nodes[disk.name],
                target=_job(disk),
                # what lies under an overlay is at the target already, unless a seed's overlay hides it there
                sync="top" if disk.image and disk.name not in seeds and not landing.bare else "full",
                copy_mode="write-blocking",
            )

    def _read_seeds(self, landing: Landing, go_on: GoOn) -> dict[str, BlockDigests]:
        disks = {name: LiveDisk.at(landing.monitor, self.target, name) for name in landing.seeds}
        with gentle_thread() as thread:
            return {name: thread.submit(disk.digest, go_on).result() for name, disk in disks.items()}

    def sample(self) -> MirrorSample:
        """Ask how far the mirrors are. Raises TransferError when one of them failed."""
        jobs = _jobs(self.source)
        if len(jobs) < len(self.disks):
            raise TransferError(f"{self.source.name}: a disk's mirror failed: {self._complaint()}")
        return MirrorSample(
            Bytes(sum(cast("int", job["offset"]) for job in jobs)),
            Bytes(sum(cast("int", job["len"]) for job in jobs)),
            all(job["ready"] for job in jobs),
            Bytes(sum(self._sent(job) for job in jobs)),
        )

    def wait_step(self, timeout: Seconds) -> None:
        """Wait until one more of them is in step, or for timeout seconds."""
        self.source.wait_quietly(lambda event: event.name == "BLOCK_JOB_READY", timeout, self.source.mark())

    def _sent(self, job: Json) -> int:
        passed = filters.sent(self.here, str(job["device"]).removeprefix(MIRROR))
        return cast("int", job["offset"]) if passed is None else passed

    def _complaint(self) -> str:
        for event in reversed(self.source.events()):
            if event.name in ("BLOCK_JOB_ERROR", "BLOCK_JOB_COMPLETED") and "error" in event.data:
                return str(event.data["error"])
        return "the job ended"

    def end(self, since: int) -> Promise:
        """End the mirrors of a stopped guest: both sides are equal afterwards. since: event mark before the stop.

        The target's NBD server goes too, for its export and its device would both want to write on the node: that is
        promised, and must be kept before the target takes over.
        """
        for disk in self.disks:
            self.source.execute("block-job-cancel", device=_job(disk))
        for disk in self.disks:
            event = self.source.wait(_end_of(_job(disk)), END, since)
            if "error" in event.data:
                raise TransferError(f"{self.source.name}: disk {disk.name}: {event.data['error']}")
            # before the server goes: a stopped QEMU flushes all its nodes once more, and fails if one cannot be
            self.source.execute("blockdev-del", node_name=_job(disk))
            filters.sweep(self.here, disk.name)
        return self.target.promise("nbd-server-stop")


def _end_of(job: str) -> Callable[[Event], bool]:
    return lambda event: (
        event.name in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED") and event.data.get("device") == job
    )


def abandon(source: Qmp, here: Monitor) -> None:
    """Take every mirror of ours away from a server. here: its monitor. Safe to repeat."""
    mark = source.mark()
    for job in _jobs(source):
        source.execute("block-job-cancel", device=job["device"], force=True)
        try:
            source.wait(_end_of(str(job["device"])), END, mark)
        except MonitorError:
            if any(each["device"] == job["device"] for each in _jobs(source)):
                raise
    nodes = cast("list[Json]", source.execute("query-named-block-nodes", flat=True))
    for node in nodes:
        if str(node["node-name"]).startswith(MIRROR) and node["drv"] == "nbd":
            source.execute("blockdev-del", node_name=node["node-name"])
    for disk in here.nodes:
        filters.sweep(here, disk)


@dataclass
class StallWatch:
    """Raises when nothing has moved for STALL seconds."""

    what: str
    moved: int = -1
    at: float = 0.0

    def see(self, moved: int) -> None:
        """Tell it how much has moved so far."""
        now = time.monotonic()
        if moved != self.moved:
            self.moved, self.at = moved, now
        elif now - self.at > STALL:
            raise TransferError(f"{self.what}: nothing has moved for {STALL:.0f} s; is the WAN down?")
