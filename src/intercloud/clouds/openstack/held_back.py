"""Disks that do not boot: what firmware starts from is held back from their beginning and their end.

BIOS starts from the first sector, UEFI from what a partition table says: it stands at the beginning, its copy at the
end. Instead there is a sector that switches the machine off again, or halts it.
"""

import struct
from pathlib import Path

from intercloud.clouds import nbd
from intercloud.clouds.openstack.receiver.build import OWNER_AT
from intercloud.clouds.port import Extent
from intercloud.clouds.run import run
from intercloud.units import MIB, Bytes

END = Bytes(1 * MIB)
"""Bytes held back at each end."""
POWER_OFF = b"\xb8\x07\x53\xbb\x01\x00\xb9\x03\x00\xcd\x15"
"""`mov ax,5307h; mov bx,1; mov cx,3; int 15h`: APM, set power state, all devices, off. SeaBIOS does so."""
HALT = b"\xfa\xf4\xeb\xfd"
"""`cli; hlt` and once more `hlt`: else the firmware looks for something to boot for ever, busily."""
BLANK_SIZE = 64 * 1024


def ends(size: int) -> tuple[Extent, Extent]:
    """What is held back of a disk of this size (bytes)."""
    return Extent(Bytes(0), END), Extent(Bytes(size - END), END)


def first_sector(code: bytes, owner: str = "") -> bytes:
    """Make a boot sector that runs this code. One partition: Nova refuses a boot sector without any."""
    first, kind, count = 1, 0xDA, BLANK_SIZE // 512 - 1  # 0xDA: data without a file system
    table = struct.pack("<B3xB3xII", 0, kind, first, count)
    boot = code.ljust(OWNER_AT, b"\0") + owner.encode()
    return boot.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"


def blank_disk() -> bytes:
    """Make a disk that holds nothing, and whose boot halts: a server that has it stays on."""
    return first_sector(HALT).ljust(BLANK_SIZE, b"\0")


def held_back(content: Path, path: Path, owner: str) -> None:
    """Write a qcow2 disk's content without its ends into another; a machine that boots it is switched off at once.

    owner: whose disk it is, for the receiver that writes what was held back.
    """
    sector = path.with_suffix(".sector")
    sector.write_bytes(first_sector(POWER_OFF + HALT, owner))
    over = path.with_suffix(".over")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(content), "-F", "qcow2", str(over)])
    acts = [f"write -q -z {end.start} {end.length}" for end in ends(nbd.virtual_size(content))] + [
        f"write -q -s {sector} 0 512"
    ]
    run(["qemu-io", "-f", "qcow2", *(word for act in acts for word in ("-c", act)), str(over)])
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", str(over), str(path)], timeout=3600)
    over.unlink()
    sector.unlink()
