"""What a site keeps of servers that have left: their disks, for when they come back.

A seed is what the folder of its server was, less all but the record, the disks and the mark beside each. It gets that
way where it is, and moves in one step, there and back: whatever a kill leaves is a server or a seed, and whole.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from intercloud.clouds import nbd
from intercloud.clouds.lab.qemu import Files
from intercloud.clouds.lab.record import Record, load, save
from intercloud.clouds.lab.server import Guest, files
from intercloud.clouds.lab.spec import Place
from intercloud.errors import CloudError
from intercloud.model.server import Server
from intercloud.units import Bytes

log = logging.getLogger(__name__)


def keep(guest: Guest, mark: str) -> bool:
    """Make a seed of a server that has stopped; returns False, with the server still there, when that cannot be done.

    mark: of what its disks hold.
    """
    disks = [guest.files.disk(disk.name) for disk in guest.record.server.disks]
    if not disks:
        return False
    guest.end()
    guest.remove_taps()
    for path in guest.files.directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in (*disks, guest.files.record):
            path.unlink()
    seed = _files(guest.place, guest.record.server.name).directory
    bare = tuple(replace(disk, volume=None) for disk in guest.record.server.disks)
    untold = replace(guest.record.server, metadata={}, disks=bare)  # metadata may hold secrets
    try:
        save(replace(guest.record, server=untold), guest.files.record)
        for disk in guest.record.server.disks:
            path = guest.files.disk(disk.name)
            for bitmap in nbd.bitmaps(path):  # of earlier moves: they tell of contents that nobody has any more
                nbd.remove_bitmap(path, bitmap)
            guest.files.mark(disk.name).write_text(mark)
        shutil.rmtree(seed, ignore_errors=True)
        seed.parent.mkdir(exist_ok=True)
        guest.files.directory.rename(seed)
    except (CloudError, OSError) as error:
        log.warning("no seed is kept: %s", error)
        return False
    return True


def fits(place: Place, server: Server) -> bool:
    """Whether there is a seed with just the disks of a server."""
    seed = _files(place, server.name)
    record = load(seed.record)
    parts = [path for disk in server.disks for path in (seed.disk(disk.name), seed.mark(disk.name))]
    return record is not None and record.server.disks == server.disks and all(path.exists() for path in parts)


def give(place: Place, record: Record) -> None:
    """Make a seed that fits the server of a record again."""
    seed = _files(place, record.server.name)
    save(record, seed.record)  # before it moves: no folder among the servers ever has the record of an earlier stay
    home = files(place, record.server.name).directory
    home.parent.mkdir(exist_ok=True)
    seed.directory.rename(home)


def marks(place: Place) -> dict[str, str]:
    """Server → mark, for each seed."""
    found = {}
    for folder in _folders(place):
        record = load(Files(folder).record)
        with suppress(FileNotFoundError):  # it has just become a server again
            if record is not None and fits(place, record.server):
                found[folder.name] = Files(folder).mark(record.server.disks[0].name).read_text()
    return found


def size(place: Place) -> Bytes:
    """Bytes on this computer's disk of all seeds."""
    total = 0
    for folder in _folders(place):
        with suppress(FileNotFoundError):  # it has just become a server again
            total += sum(512 * path.stat().st_blocks for path in folder.iterdir())
    return Bytes(total)


def make_room(place: Place, wanted: int, spared: str | None = None) -> None:
    """Drop the oldest seeds until so many bytes are free. spared: a server whose seed stays."""
    oldest = sorted(_folders(place), key=lambda folder: folder.stat().st_mtime)
    for folder in oldest:
        if shutil.disk_usage(place.path).free >= wanted:
            return
        if folder.name != spared:
            log.info("%s: the disks kept of %s give way", place.name, folder.name)
            shutil.rmtree(folder)


def _files(place: Place, server: str) -> Files:
    return Files(place.path / "seeds" / server)


def _folders(place: Place) -> Iterator[Path]:
    return (place.path / "seeds").glob("*/")
