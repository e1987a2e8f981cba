"""Compare the disks of an earlier move once more with the evidence that was kept of it."""

from collections.abc import Callable, Collection, Iterator, Set
from dataclasses import dataclass

from intercloud.clouds.block_digests import digest_all, marked_blocks
from intercloud.clouds.port import Cloud, DiskRef, ServerState
from intercloud.errors import IntercloudError, MonitorError, NotFound, VerifyError
from intercloud.migration.archive import Archive
from intercloud.model.digests import BLOCK, BlockDigests, differences
from intercloud.model.evidence import Subject
from intercloud.model.report import short_root
from intercloud.transfer.digest import LiveDisk
from intercloud.transfer.qmp import Qmp


@dataclass(frozen=True)
class Finding:
    """What is found of one disk. good: one could tell, and every block that can be compared is what it was."""

    disk: str
    good: bool
    text: str


def recheck(
    run: str, archive: Archive, open_cloud: Callable[[str], Cloud], moved: Collection[tuple[str, str]]
) -> Iterator[Finding]:
    """Compare each disk that a run moved, one after the other. Raises NotFound when there is no evidence of the run.

    moved: (server, disk) of those that the run moved, as recorded; there must be evidence of each.
    """
    paths = archive.files(run)
    for path in paths:
        name = path.stem
        try:
            evidence = archive.read(path)
            subject = evidence.subject
            name = f"{subject.server} {subject.disk}"
            if again := archive.later(subject):
                raise NotFound(f"{subject.server} was moved again, to {again.target}; verify {again.run} instead")
            good, text = judge(evidence.blocks, *_read(open_cloud(subject.target), subject))
        except IntercloudError as error:
            good, text = False, f"cannot tell: {error}"
        yield Finding(name, good, text)
    for server, disk in moved:
        if archive.path(run, server, disk) not in paths:
            yield Finding(f"{server} {disk}", False, f"cannot tell: {archive.folder / run} has no evidence of it")


def judge(before: BlockDigests, now: BlockDigests, written: Set[int] | None) -> tuple[bool, str]:
    """Say whether a disk is what it was. written: blocks written since; None when nothing tells."""
    different = differences(before, now, written or frozenset())
    where = f"{_blocks(len(different))}, the first at byte {different[0] * BLOCK}" if different else ""
    if written is None:
        lost = "its dirty bitmap is lost (was QEMU killed?), so nothing tells what was written since"
        if different:
            return False, f"cannot tell: {lost}; different: {where}"
        return True, f"equal: {_blocks(before.count)}, root {short_root(before.root())}, and {lost}"
    since = f"; {len(written)} of {before.count} written since and not comparable" if written else ""
    if different:
        return False, f"DIFFERENT: {where}{since}"
    return True, f"equal: {_blocks(before.count - len(written))}, root {short_root(before.root(written))}{since}"


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"


def _read(cloud: Cloud, subject: Subject) -> tuple[BlockDigests, Set[int] | None]:
    """Read a disk where it is now, and what was written since."""
    match cloud.server_state(subject.server):
        case ServerState.ABSENT:
            raise NotFound(f"{subject.target} has no server {subject.server} any more: it was moved on, or deleted")
        case ServerState.INCOMING:
            raise VerifyError(f"{subject.server} is just being moved to {subject.target}; try again afterwards")
        case ServerState.STOPPED:
            return _read_stopped(cloud, subject)
        case _:
            return _read_live(cloud, subject)


def _read_stopped(cloud: Cloud, subject: Subject) -> tuple[BlockDigests, Set[int] | None]:
    servers = {server.name: server for server in cloud.cluster(subject.cluster).servers}
    disks = {disk.name: disk for disk in servers[subject.server].disks} if subject.server in servers else {}
    if subject.disk not in disks:
        raise NotFound(f"{subject.server} at {subject.target} has no disk {subject.disk} any more")
    with cloud.offer(DiskRef(subject.server, disks[subject.disk])) as offer:
        now = digest_all(offer.local)
        return now, marked_blocks(offer.local, subject.bitmap) if subject.bitmap in offer.bitmaps else None


def _read_live(cloud: Cloud, subject: Subject) -> tuple[BlockDigests, Set[int] | None]:
    monitor = cloud.monitor(subject.server)
    if subject.disk not in monitor.nodes:
        raise NotFound(f"{subject.server} at {subject.target} has no disk {subject.disk} any more")
    try:
        qemu = Qmp(monitor.path, f"{subject.server} at {subject.target}")
    except MonitorError:
        busy = f"the monitor of {subject.server} at {subject.target} does not answer"
        raise MonitorError(f"{busy}; it serves one program at a time: is a migration under way?") from None
    with qemu:
        disk = LiveDisk.at(monitor, qemu, subject.disk)
        now = disk.digest()
        return now, disk.written(subject.bitmap) if disk.notes(subject.bitmap) else None
