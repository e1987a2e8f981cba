"""Contents of images and disks, as a tenant reads and writes them: by way of the image service and a local file."""

import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intercloud.clouds import nbd
from intercloud.clouds.digests import has_digest
from intercloud.clouds.openstack.images import Images
from intercloud.clouds.openstack.names import BASE, BLANK, CONTENT, DIGEST, WAITS
from intercloud.clouds.openstack.servers import Servers, state
from intercloud.clouds.port import DiskRef, Offer, Progress, ServerState
from intercloud.clouds.run import run
from intercloud.errors import CloudError, NotFound, TransferError
from intercloud.model.server import Image
from intercloud.units import Bytes

HALT = b"\xfa\xf4\xeb\xfd"
"""A boot sector's `cli`, `hlt` and once more `hlt`: else the firmware looks for something to boot for ever, busily."""
BLANK_SIZE = 64 * 1024


@dataclass(frozen=True)
class Contents:
    """What a cloud's images and disks hold. spool: folder for contents on their way."""

    cloud: str
    images: Images
    servers: Servers
    spool: Path
    _blank: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Give a path for one content on its way."""
        self.spool.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.spool, prefix="content-") as work:
            yield Path(work, "content")

    @contextmanager
    def offer(self, what: Image | DiskRef) -> Iterator[Offer]:
        """Offer an image's bytes, or what a stopped server's disk holds."""
        with self.file() as path:
            if isinstance(what, Image):
                found = self.images.find(what.digest)
                if found is None:
                    raise NotFound(f"{self.cloud} has no image {what.name} ({what.digest[:19]}…)")
                self.images.download(found, path)
                node, size = nbd.file_node(path), what.size
            else:
                self.read_disk(what, path)
                node, size = nbd.disk_node(path), what.disk.size
            with nbd.serve(nbd.Stand(self.cloud, self.spool), node) as served:
                yield Offer(served.uri, served.local, size)

    def read_disk(self, what: DiskRef, path: Path) -> None:
        """Write what a stopped server's disk holds into a qcow2 file: a place's, what has arrived, or its image."""
        server = self.servers.get(what.server)
        if state(server) is not ServerState.STOPPED:
            raise CloudError(
                f"{self.cloud}: {what.server} is {state(server)}; its disk can only be read when it is stopped"
            )
        if WAITS in server.metadata:
            arrived = self.arrived(what.server)
            base = self.images.find(server.metadata[BASE]) if BASE in server.metadata else None
            image = arrived or base
            if image is not None:
                self.images.download(image, path)
        else:
            self.drop_snapshots(what.server)
            image = self.images.snapshot(server)
            try:
                self.images.download(image, path)
            finally:
                self.images.delete(image)
        if image is None:
            run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), str(what.disk.size)])
        elif image.disk_format != "qcow2":
            raw = path.rename(path.with_suffix(".raw"))
            words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(raw), "-F", image.disk_format]
            run([*words, str(path), str(what.disk.size)])
        else:
            run(["qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(what.disk.size)])

    def fetch_image(self, image: Image, offer: Offer, progress: Progress) -> Bytes:
        """Store a peer's image, once."""
        if self.images.find(image.digest) is not None:
            return Bytes(0)
        with self.file() as path:
            moved = nbd.copy(offer.local, path, lambda _: None)
            os.truncate(path, image.size)
            if not has_digest(path, image.digest):
                raise TransferError(f"{self.cloud}: image {image.name} arrived with another digest than {image.digest}")
            self.images.upload(path, image, f"{DIGEST}{image.digest}", share_of(moved, progress))
        return moved

    def fetch_disk(self, what: DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Store what a place will boot from; what arrived before goes when this is whole."""
        if WAITS not in self.servers.get(what.server).metadata:
            raise CloudError(f"{self.cloud}: {what.server} is no place that waits for its content")
        tag = f"{CONTENT}{what.server}"
        before = self.images.tagged(tag)
        with self.file() as path:
            moved = nbd.copy(offer.local, path, lambda _: None, layout="qcow2")
            image = Image("", f"{what.server}, moved", moved)
            self.images.upload(path, image, tag, share_of(moved, progress))
        for old in before:
            self.images.delete(old)
        return moved

    def arrived(self, server: str) -> Any | None:
        """What a place will boot from, if it has arrived."""
        return next((each for each in self.images.tagged(f"{CONTENT}{server}") if each.status == "active"), None)

    def drop_snapshots(self, server: str) -> None:
        """Delete snapshots that were read, or were to be."""
        for image in self.images.snapshots(server):
            self.images.delete(image)

    def drop_arrived(self, server: str) -> None:
        """Delete what a place would boot from, or a server was booted from."""
        for image in self.images.tagged(f"{CONTENT}{server}"):
            self.images.delete(image)

    def blank(self) -> Any:
        """Find the image that holds nothing, or make it."""
        with self._blank:
            found = [each for each in self.images.tagged(BLANK) if each.status == "active"]
            if found:
                return found[0]
            with self.file() as path:
                raw = path.with_suffix(".raw")
                raw.write_bytes(blank_disk())
                run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)])
                image = Image("", "blank, for servers that are being moved", Bytes(0), "qcow2")
                # Nova gives a guest a minute to shut down, and there is none in it
                return self.images.upload(path, image, BLANK, os_shutdown_timeout="0")

    def drop_blank(self) -> None:
        """Delete the image that holds nothing when no place is left."""
        with self._blank:
            if not any(WAITS in each.metadata for each in self.servers.all()):
                for image in self.images.tagged(BLANK):
                    self.images.delete(image)


def blank_disk() -> bytes:
    """Make a disk that holds nothing, and whose boot halts. One partition: Nova refuses a boot sector without any."""
    first, kind, count = 1, 0xDA, BLANK_SIZE // 512 - 1  # 0xDA: data without a file system
    table = struct.pack("<B3xB3xII", 0, kind, first, count).ljust(64, b"\0")
    return (HALT.ljust(446, b"\0") + table + b"\x55\xaa").ljust(BLANK_SIZE, b"\0")


def share_of(moved: Bytes, progress: Progress) -> Callable[[float], object]:
    """Tell the share of an upload in bytes that have crossed the WAN."""
    return lambda share: progress(Bytes(int(moved * share)))
