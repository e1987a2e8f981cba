"""Contents of images and disks, as a tenant reads them: by way of the image service and a local file."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intercloud.clouds import nbd
from intercloud.clouds.digests import has_digest
from intercloud.clouds.openstack.held_back import blank_disk
from intercloud.clouds.openstack.images import Images, hardware
from intercloud.clouds.openstack.marks import Marks
from intercloud.clouds.openstack.names import BLANK, DIGEST
from intercloud.clouds.openstack.servers import Servers, state, waits
from intercloud.clouds.openstack.volumes import Volumes
from intercloud.clouds.port import DiskRef, Offer, Progress, ServerState
from intercloud.clouds.run import run
from intercloud.errors import CloudError, NotFound, TransferError
from intercloud.model.server import Image
from intercloud.units import Bytes

QUICK = {"os_shutdown_timeout": "0"}
"""Nova gives a guest a minute to shut down; where there is none, this spares it."""


@dataclass(frozen=True)
class Contents:
    """What a cloud's images and disks hold. spool: folder for contents on their way, and for what is known of them.

    cache: folder for what is built once.
    """

    cloud: str
    images: Images
    servers: Servers
    volumes: Volumes
    spool: Path
    cache: Path
    _blank: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Give a path for one content on its way."""
        self.spool.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.spool, prefix="content-") as work:
            yield Path(work, "content")

    @contextmanager
    def offer_image(self, what: Image) -> Iterator[Offer]:
        """Offer an image's bytes."""
        found = self.images.find(what.digest)
        if found is None:
            raise NotFound(f"{self.cloud} has no image {what.name} ({what.digest[:19]}…)")
        with self.file() as path:
            self.images.download(found, path)
            with self.served(nbd.file_node(path)) as served:
                yield Offer(served.uri, served.local, what.size)

    @contextmanager
    def offer_disk(self, server: Any, what: DiskRef) -> Iterator[Offer]:
        """Offer what a server's disk holds, stopped or running, as a snapshot: all of it, and what is new of it."""
        found = state(server)
        if found not in (ServerState.STOPPED, ServerState.RUNNING):
            raise CloudError(f"{self.cloud}: {what.server} is {found}; its disk is read when it runs or is stopped")
        with self.file() as path:
            self.drop_snapshots(what.server)
            image = self.images.snapshot(server)
            try:
                self.images.download(image, path)
            finally:
                self.images.delete(image)
            self.as_disk(path, image.disk_format, what.disk.size)
            with (
                self.served(nbd.disk_node(path)) as served,
                self.marks(server, what.disk.name).offered(served.local, lasting=found is ServerState.RUNNING) as (
                    mark,
                    changed,
                ),
            ):
                yield Offer(served.uri, served.local, what.disk.size, mark, changed)

    @contextmanager
    def offer_volume(self, server: Any, what: DiskRef) -> Iterator[Offer]:
        """Offer what a volume of a server, or of a place, holds: all of it, each time."""
        volume = self.volumes.of(server).get(what.disk.name)
        if volume is None:
            raise NotFound(f"{self.cloud}: {what.server} has no disk {what.disk.name}")
        self.volumes.drop_copies(what.server)
        with self.file() as path:
            with self.volumes.stored(what.server, volume) as image:
                self.images.download(image, path)
            self.as_disk(path, image.disk_format, what.disk.size)
            with self.served(nbd.disk_node(path)) as served:
                yield Offer(served.uri, served.local, what.disk.size)

    def served(self, node: str) -> AbstractContextManager[nbd.Served]:
        """Let a node be read by processes of this computer, while the context lasts."""
        return nbd.serve(nbd.Stand(self.cloud, self.spool), node)

    def marks(self, server: Any, disk: str) -> Marks:
        """What peers may hold of a disk of a server."""
        return Marks(self.spool / "marks" / server.id / disk)

    def as_disk(self, path: Path, layout: str | None, size: Bytes) -> None:
        """Let a file be a qcow2 disk of this size. layout: what it is; None when there is no file yet."""
        if layout == "qcow2":
            run(["qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size)])
            return
        words = ["qemu-img", "create", "-q", "-f", "qcow2"]
        if layout is not None:
            words += ["-b", str(path.rename(path.with_suffix(".raw"))), "-F", layout]
        run([*words, str(path), str(size)])

    def fetch_image(self, image: Image, offer: Offer, progress: Progress) -> Bytes:
        """Store a peer's image, once."""
        if self.images.find(image.digest) is not None:
            return Bytes(0)
        with self.file() as path:
            moved = nbd.copy(offer.local, path, lambda _: None)
            os.truncate(path, image.size)
            if not has_digest(path, image.digest):
                raise TransferError(f"{self.cloud}: image {image.name} arrived with another digest than {image.digest}")
            self.images.upload(path, image, [f"{DIGEST}{image.digest}"], share_of(moved, progress))
        return moved

    def drop_snapshots(self, server: str) -> None:
        """Delete snapshots that were read, or were to be."""
        for image in self.images.snapshots(server):
            self.images.delete(image)

    def blank(self, told: Mapping[str, str], *, quick: bool) -> Any:
        """Find an image that holds nothing, or make it. told: what Nova shall know of the machine.

        quick: whether a server that has it is switched off without waiting for its guest.
        """
        own = QUICK if quick else {}
        with self._blank:
            for each in self.images.tagged(BLANK):
                is_quick = QUICK.items() <= (each.properties or {}).items()
                if each.status == "active" and hardware(each) == told and is_quick is quick:
                    return each
            with self.file() as path:
                raw = path.with_suffix(".raw")
                raw.write_bytes(blank_disk())
                run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(path)])
                image = Image("", "blank, for servers that are being moved", Bytes(0), "qcow2")
                return self.images.upload(path, image, [BLANK], told={**told, **own})

    def drop_blank(self) -> None:
        """Delete the images that hold nothing when no place is left."""
        with self._blank:
            if not any(waits(each) for each in self.servers.all()):
                for image in self.images.tagged(BLANK):
                    self.images.delete(image)


def share_of(moved: Bytes, progress: Progress) -> Callable[[float], object]:
    """Tell the share of an upload in bytes that have crossed the WAN."""
    return lambda share: progress(Bytes(int(moved * share)))
