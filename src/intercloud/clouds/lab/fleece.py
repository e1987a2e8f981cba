"""A running guest's disk as of one moment, in a cloud that can only see its own hypervisor.

QEMU keeps aside what the guest is about to overwrite, in a layer over the guest's disk that reads as the disk was
(fleecing), so the guest waits for this computer's own storage and never for the WAN. Bitmaps in the disk's qcow2 file
note what is written: one from each moment that a peer may have the content of, named after that moment's mark. They
outlive an orderly end of QEMU; QEMU itself knows one that is not to be trusted after a crash.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from shutil import disk_usage
from types import MappingProxyType

from intercloud.clouds import nbd
from intercloud.clouds.blocks import GRANULARITY, allocated, written
from intercloud.clouds.lab import qmp
from intercloud.clouds.lab.qemu import node
from intercloud.clouds.lab.server import Guest
from intercloud.clouds.port import Extent
from intercloud.clouds.run import run, wait_until
from intercloud.errors import CloudError, MonitorError, StoreFull
from intercloud.model.server import Disk
from intercloud.units import show_bytes

NAME = "offer"
"""Of the node, of the job that keeps aside, and of the export."""
SINCE = "mark-"
"""Of each bitmap of ours, before the mark; bitmaps of other names are somebody else's, and the names are the marks."""
TIMEOUT = 20.0


@dataclass(frozen=True)
class Frozen:
    """A disk as of one moment. uri: where this computer reads it, with the bitmaps named; mark: of the moment."""

    uri: str
    mark: str
    bitmaps: Sequence[str]


@contextmanager
def frozen(guest: Guest, disk: Disk) -> Iterator[Frozen]:
    """Hold a running guest's disk as it is now while the context lasts.

    When the context ends well, its mark is the only one that is left; else the ones before stay.
    Raises CloudError when a disk of this guest is held already, StoreFull when what it overwrites may not find room.
    """
    with _alone(guest):
        free = disk_usage(guest.files.directory).free
        if free < disk.size:
            raise StoreFull(f"{guest.files.directory}: {show_bytes(free)} free; {show_bytes(disk.size)} may be needed")
        clear(guest)  # what somebody who was killed has left
        noted, mark = bitmaps(guest, disk), secrets.token_hex(8)
        forgotten: Iterable[str] = [mark]
        try:
            good = [name for name, trusted in noted.items() if trusted]
            begin(guest, disk, mark, good)
            yield Frozen(f"nbd+unix:///{NAME}?socket={guest.files.nbd}", mark, good)
            forgotten = own(noted)
        finally:
            clear(guest, {mark: node(disk.name) for mark in forgotten})


def bitmaps(guest: Guest, disk: Disk) -> Mapping[str, bool]:
    """Bitmaps that a running guest's writes to a disk are noted in; false for one that is not to be trusted."""
    with qmp.session(guest.files.own_monitor, TIMEOUT) as execute:
        nodes = execute("query-named-block-nodes", flat=True)
    return {
        bitmap["name"]: bitmap["recording"] and not bitmap.get("inconsistent")
        for each in nodes
        if each["node-name"] == node(disk.name)
        for bitmap in each.get("dirty-bitmaps", ())
        if "name" in bitmap
    }


def recorded(guest: Guest, disk: Disk) -> frozenset[str]:
    """Marks of the offers since which a running guest's writes to a disk are noted, however well."""
    return own(bitmaps(guest, disk))


def own(names: Iterable[str]) -> frozenset[str]:
    """The marks of offers among bitmaps."""
    return frozenset(name.removeprefix(SINCE) for name in names if name.startswith(SINCE))


def changed(uri: str, disk: Disk, noted: Sequence[str], layers: int) -> dict[str, tuple[Extent, ...]]:
    """Read what has changed since each mark. layers: how many there are above what the disk was when new."""
    return {disk.blank: allocated(uri, layers), **{name.removeprefix(SINCE): written(uri, name) for name in noted}}


def begin(guest: Guest, disk: Disk, mark: str, noted: Sequence[str]) -> None:
    """Keep aside and record what the guest overwrites from now on, and export the disk as it is now.

    noted: the bitmaps to export with it.
    """
    live, paths = node(disk.name), guest.files
    layout = ["-f", "qcow2", "-u", "-b", str(paths.disk(disk.name)), "-F", "qcow2"]
    run(["qemu-img", "create", "-q", *layout, str(paths.aside), str(disk.size)])
    with qmp.session(paths.own_monitor, TIMEOUT) as execute:
        file = {"driver": "file", "filename": str(paths.aside)}
        execute("blockdev-add", driver="qcow2", node_name=NAME, file=file, backing=live)
        bitmap = {"node": live, "name": SINCE + mark, "granularity": GRANULARITY, "persistent": True}
        backup = {"job-id": NAME, "device": live, "target": NAME, "sync": "none"}
        actions = [
            {"type": "block-dirty-bitmap-add", "data": bitmap},
            {"type": "blockdev-backup", "data": backup},
        ]
        execute("transaction", actions=actions)
        for name in noted:  # copies, taken after the moment: with a block too many at most; they go with the node
            execute("block-dirty-bitmap-add", node=NAME, name=name, granularity=GRANULARITY, disabled=True)
            execute("block-dirty-bitmap-merge", node=NAME, target=name, bitmaps=[{"node": live, "name": name}])
        execute("nbd-server-start", addr={"type": "unix", "data": {"path": str(paths.nbd)}})
        export = {"type": "nbd", "id": NAME, "node-name": NAME, "name": NAME, "allocation-depth": True}
        execute("block-export-add", **export, bitmaps=list(noted))


def clear(guest: Guest, forgotten: Mapping[str, str] = MappingProxyType({})) -> None:
    """Stop keeping aside, and forget marks (mark → node), however much of that was begun; safe to repeat.

    A guest that has ended keeps nothing aside: just the file is removed then.
    """
    try:
        with qmp.session(guest.files.own_monitor, TIMEOUT) as execute:
            with suppress(MonitorError):  # it serves nothing
                execute("nbd-server-stop")
            if job_runs(execute):
                execute("block-job-cancel", device=NAME)
                wait_until(lambda: not job_runs(execute), f"{guest.place.name}: the end of the job {NAME}")
            if any(each["node-name"] == NAME for each in execute("query-named-block-nodes", flat=True)):
                execute("blockdev-del", node_name=NAME)
            for mark, at in forgotten.items():
                with suppress(MonitorError):  # never begun
                    execute("block-dirty-bitmap-remove", node=at, name=SINCE + mark)
    except MonitorError:
        if guest.pid() is not None:
            raise
    guest.files.aside.unlink(missing_ok=True)


def tidy(guest: Guest) -> None:
    """Clear what a killed program has left at a guest; nothing happens while a disk of it is being offered."""
    if guest.files.aside.exists():
        with suppress(_Offered), _alone(guest):
            clear(guest)


def forget(guest: Guest) -> None:
    """Let nothing of a warm move be left with a guest, running or stopped. Safe to repeat."""
    disks = guest.record.server.disks
    if guest.pid() is not None:
        tidy(guest)
        if marks := {mark: node(disk.name) for disk in disks for mark in recorded(guest, disk)}:
            clear(guest, marks)
        return
    for path in (guest.files.disk(disk.name) for disk in disks):
        for mark in own(nbd.bitmaps(path)):
            nbd.remove_bitmap(path, SINCE + mark)


class _Offered(CloudError):
    """A disk of this guest is being offered."""


@contextmanager
def _alone(guest: Guest) -> Iterator[None]:
    """Be the only one who offers a disk of this guest."""
    with guest.files.lock.open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            name = guest.record.server.name
            raise _Offered(f"{guest.place.name}: a disk of {name} is being offered already; one at a time") from None
        yield


def job_runs(execute: qmp.Execute) -> bool:
    """Whether QEMU keeps something aside."""
    return any(job["device"] == NAME for job in execute("query-block-jobs"))
