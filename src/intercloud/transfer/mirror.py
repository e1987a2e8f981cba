"""Disks: mirrored over NBD from the source's QEMU into the target's while the guest runs.

copy-mode=write-blocking: a guest's write is answered only when both sides have it, so the mirror is always drained
and ends within a moment once the guest has stopped.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from intercloud.clouds.port import Landing
from intercloud.errors import MonitorError, TransferError
from intercloud.model.server import Disk
from intercloud.transfer.qmp import Event, Json, Promise, Qmp
from intercloud.units import Bytes

STALL = 30.0
"""Seconds without a single block moved after which a mirror counts as stuck."""
END = 10.0
"""Seconds for a drained mirror to end."""


@dataclass(frozen=True)
class MirrorSample:
    """How far the mirrors of one server are: bytes done and to do, over all its disks."""

    done: Bytes
    total: Bytes
    ready: bool


def _job(disk: Disk) -> str:
    return f"mirror-{disk.name}"


def _jobs(source: Qmp) -> list[Json]:
    jobs = cast("list[Json]", source.execute("query-block-jobs"))
    return [job for job in jobs if str(job["device"]).startswith("mirror-")]


def ready(source: Qmp) -> list[bool]:
    """Tell of each mirror of ours whether it is in step."""
    return [bool(job["ready"]) for job in _jobs(source)]


class Mirror:
    """The mirrors of all disks of one server.

    nodes: disk name → block node, at the source and at the target (in the landing).
    """

    def __init__(self, source: Qmp, target: Qmp, disks: Sequence[Disk]) -> None:
        self.source, self.target, self.disks = source, target, tuple(disks)

    def start(self, nodes: Mapping[str, str], landing: Landing) -> None:
        """Export the target's disks and let the source write into them, unless all that is under way.

        What a program that was killed has left of it is taken away first.
        """
        if len(_jobs(self.source)) == len(self.disks):
            return
        abandon(self.source)
        with contextlib.suppress(MonitorError):  # it does not run
            self.target.execute("nbd-server-stop")
        address = {"type": "inet", "data": {"host": landing.nbd_host, "port": str(landing.nbd_port)}}
        self.target.execute("nbd-server-start", addr=address)
        for disk in self.disks:
            self.target.execute(
                "block-export-add",
                type="nbd",
                id=_job(disk),
                name=disk.name,
                node_name=landing.monitor.nodes[disk.name],
                writable=True,
            )
            self.source.execute(
                "blockdev-add",
                driver="nbd",
                node_name=_job(disk),
                server={"type": "inet", "host": landing.nbd_host, "port": str(landing.nbd_port)},
                export=disk.name,
            )
            self.source.execute(
                "blockdev-mirror",
                job_id=_job(disk),
                device=nodes[disk.name],
                target=_job(disk),
                sync="top" if disk.image else "full",  # what lies under an overlay is at the target already
                copy_mode="write-blocking",
            )

    def sample(self) -> MirrorSample:
        """Ask how far the mirrors are. Raises TransferError when one of them failed."""
        jobs = _jobs(self.source)
        if len(jobs) < len(self.disks):
            raise TransferError(f"{self.source.name}: a disk's mirror failed: {self._complaint()}")
        return MirrorSample(
            Bytes(sum(cast("int", job["offset"]) for job in jobs)),
            Bytes(sum(cast("int", job["len"]) for job in jobs)),
            all(job["ready"] for job in jobs),
        )

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
        return self.target.promise("nbd-server-stop")


def _end_of(job: str) -> Callable[[Event], bool]:
    return lambda event: (
        event.name in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED") and event.data.get("device") == job
    )


def abandon(source: Qmp) -> None:
    """Take every mirror of ours away from a server. Safe to repeat."""
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
        if str(node["node-name"]).startswith("mirror-") and node["drv"] == "nbd":
            source.execute("blockdev-del", node_name=node["node-name"])


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
