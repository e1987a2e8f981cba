"""The proof that every disk arrived whole: digests of both sides, compared, and kept for later.

The source is digested while it is copied; after the switchover only what it wrote meanwhile is digested again. Nothing
of this happens while the servers stand still. Digests are lost with the program; then the disk is read again, whole.
"""

import threading
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager

from intercloud.clouds.block_digests import GoOn, digest_all, digest_blocks, to_the_end
from intercloud.clouds.blocks import blocks
from intercloud.clouds.port import DiskRef, Offer
from intercloud.errors import Interrupted
from intercloud.migration.world import Moving, World
from intercloud.model.digests import BlockDigests, Copies, differences
from intercloud.model.evidence import DiskEvidence, Subject
from intercloud.model.report import DiskReport
from intercloud.model.server import Disk
from intercloud.transfer.digest import COPIED, LiveDisk, gentle_thread, since


@contextmanager
def digest_source(world: World, moving: Moving) -> Iterator[None]:
    """Digest a running source's disks, while the context lasts; it does not end before they are."""
    disks = _source_disks(moving)
    for disk in disks.values():
        disk.hold()
    if not world.plan.limits.verify_digests:
        yield
        return
    stop = threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise Interrupted("not needed any more")

    def read() -> None:
        for name, disk in disks.items():
            disk.note_writes(COPIED)
            moving.digests[name] = disk.digest(go_on)

    with gentle_thread() as thread:
        reading = thread.submit(read)
        try:
            yield
            reading.result()
        finally:
            stop.set()


def forget(moving: Moving) -> None:
    """Leave a source that goes on as it was before the digesting. Safe to repeat."""
    for disk in _source_disks(moving).values():
        disk.withdraw()
        disk.forget(COPIED)
        disk.release()


def _source_disks(moving: Moving) -> dict[str, LiveDisk]:
    monitor = moving.source.monitor
    return {disk.name: LiveDisk.at(monitor, moving.source.qmp, disk.name) for disk in moving.server.disks}


def compare(world: World, moving: Moving) -> None:
    """Compare the frozen disks at the source with those of the running target, and keep the evidence."""
    qemu, there, bitmap = moving.target.qmp, moving.target.monitor, since(world.plan.run)
    sources = _source_disks(moving) if moving.source.has_process() else {}

    def read(disk: Disk) -> tuple[BlockDigests, BlockDigests, Set[int]]:
        target = LiveDisk.at(there, qemu, disk.name)
        if disk.name in sources:
            before = _frozen(moving, sources[disk.name], disk.name)
        else:  # its hypervisor died since; its disk is what it was
            with world.source.offer(DiskRef(moving.name, disk)) as offer:
                before = digest_all(offer.local)
        after = target.digest()
        return before, after, target.written(bitmap)  # last: whatever was written while we read is noted too

    with world.notes.timeline.phase(moving.name, "verify"), gentle_thread() as thread:
        for disk in moving.server.disks:
            told = world.progress(moving.name, "verify", disk.size)
            before, after, written = thread.submit(read, disk).result()
            moving.notes.compared[disk.name] = conclude(disk.name, before, after, written)
            _keep(world, moving, disk, before)
            told(disk.size)


def was_booted(world: World, moving: Moving) -> bool:
    """Whether a live-moved server was booted at the target since: its hypervisor's note of writes is not whole then."""
    qemu, there, bitmap = moving.target.qmp, moving.target.monitor, since(world.plan.run)
    return not all(LiveDisk.at(there, qemu, disk.name).notes(bitmap) for disk in moving.server.disks)


def _frozen(moving: Moving, source: LiveDisk, name: str) -> BlockDigests:
    if name in moving.digests and source.notes(COPIED):
        again = source.digest_blocks(source.written(COPIED))
        return moving.digests[name].replaced(again)
    return source.digest()


def compare_copies(world: World, moving: Moving, disk: Disk, sides: tuple[Offer, Offer]) -> None:
    """Compare a stopped server's disk at the source and at the target, and keep the evidence."""
    before, after = digest_copies(world, moving, disk, sides)
    moving.notes.compared[disk.name] = conclude(disk.name, before, after, frozenset())
    _keep(world, moving, disk, before)


def digest_copies(
    world: World, moving: Moving, disk: Disk, sides: tuple[Offer, Offer]
) -> tuple[BlockDigests, BlockDigests]:
    """Digest the source's content and the target's, just filled with it. Most of it so while the server still runs."""
    before, after = digest_sides(sides, moving.copies.get(disk.name), world.go_on)
    if sides[0].mark is not None:
        moving.copies[disk.name] = Copies(sides[0].mark, before, after)
    return before, after


def digest_sides(
    sides: tuple[Offer, Offer], known: Copies | None, go_on: GoOn = to_the_end
) -> tuple[BlockDigests, BlockDigests]:
    """Digest both sides of a disk: what has changed since they were known, or all of it."""
    changed = sides[0].changed.get(known.mark) if known else None
    with gentle_thread() as thread:
        if known is None or changed is None:
            before, after = thread.map(lambda side: digest_all(side.local, go_on), sides)
        else:
            numbers = blocks(changed)
            news = thread.map(lambda side: digest_blocks(side.local, numbers, go_on), sides)
            before, after = map(BlockDigests.replaced, (known.source, known.target), news)
    return before, after


def conclude(name: str, before: BlockDigests, after: BlockDigests, written: Set[int]) -> DiskReport:
    """Compare two sides of a disk. written: blocks that the target has written since."""
    return DiskReport(
        name=name,
        blocks=before.count,
        written=len(written),
        root_at_source=before.root(written),
        root_at_target=after.root(written),
        equal=not differences(before, after, written),
    )


def problems(world: World) -> list[str]:
    """One line for each disk that differs."""
    return [
        f"{moving.name}: disk {disk.name} differs from the source's"
        for moving in world.moving.values()
        for disk in moving.notes.compared.values()
        if not disk.equal
    ]


def _keep(world: World, moving: Moving, disk: Disk, before: BlockDigests) -> None:
    plan = world.plan
    about = (plan.run, plan.cluster.name, plan.source, plan.target, moving.name, disk.name)
    world.archive.put(DiskEvidence(Subject(*about, time.time(), since(plan.run)), before))
