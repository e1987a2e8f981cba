"""Builds images that boot, write a patch to a disk, and say what the disk holds then.

An image is a small system (`bootable`) with the patch behind the partition that it boots from, at END:

    sector of 512 bytes   16 bytes 'intercloud patch', 48 of its owner, 32 of its token, then how many extents there
                          are and at which byte of the image their content begins, 8 bytes each, little-endian
    table                 of each extent its start and its length on the disk: 8 bytes each
    content               of all extents, one after the other
"""

import hashlib
import secrets
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from intercloud.clouds.block_digests import AT_ONCE
from intercloud.clouds.bootable import END, SECTOR, System, write_disk
from intercloud.clouds.nbd_reader import Reader
from intercloud.clouds.port import Extent
from intercloud.clouds.run import run
from intercloud.model.digests import BLOCK

SYSTEM = System(
    "receiver",
    Path(__file__).parent,
    "receive",
    {"modules": ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")},
)
HEAD = struct.Struct("<16s48s32sQQ")
EXTENT = struct.Struct("<QQ")
MAGIC = b"intercloud patch"
OWNER_AT = 16
"""Where the name of its owner stands in the first sector of a disk that must not boot yet."""
AT_A_TIME = AT_ONCE * BLOCK
HOLDS, FAILS = "INTERCLOUD-HOLDS", "INTERCLOUD-FAILS"
"""What a receiver says on its console: before the token, and then the digest of what the disk holds."""


@dataclass(frozen=True)
class Patch:
    """What a receiver will write. token: tells it from others; holds: SHA-256 of what is to be read back."""

    token: str
    holds: str

    def arrived(self, console: str) -> bool | None:
        """Whether a receiver's console says that the disk holds it; None as long as it says nothing."""
        for line in console.splitlines():
            words = line.split()
            if words[:2] == [HOLDS, self.token] and len(words) > 2:
                return words[2] == self.holds
            if words[:2] == [FAILS, self.token]:
                return False
        return None


def receiver(cache: Path) -> Path:
    """Build a receiver without a patch in this folder, or find it. Raises CloudError as System.build does."""
    return SYSTEM.build(cache, write_disk)


def write_patch(cache: Path, path: Path, owner: str, uri: str, extents: Sequence[Extent]) -> Patch:
    """Write the image of a receiver with these extents of what an NBD server offers. Raises CloudError, TransferError.

    cache: folder of the system without a patch; owner: as in the first sector of the disk that it is for.
    """
    raw, token, content = path.with_suffix(".raw"), secrets.token_hex(16), hashlib.sha256()
    shutil.copyfile(receiver(cache), raw)
    data_at = END + SECTOR + len(extents) * EXTENT.size
    with raw.open("r+b") as image, Reader(uri) as reader:
        image.seek(END)
        head = HEAD.pack(MAGIC, owner.encode(), token.encode(), len(extents), data_at)
        image.write(head.ljust(SECTOR, b"\0"))
        for extent in extents:
            image.write(EXTENT.pack(extent.start, extent.length))
        for extent in extents:
            for start in range(extent.start, extent.end, AT_A_TIME):
                piece = reader.read(start, min(AT_A_TIME, extent.end - start))
                content.update(piece)
                image.write(piece)
        image.truncate(-(-image.tell() // SECTOR) * SECTOR)
    run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path)], timeout=3600)
    raw.unlink()
    return Patch(token, content.hexdigest())
