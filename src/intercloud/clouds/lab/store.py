"""A site's images and disks: files that are named by what they hold, and overlays over them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from intercloud.clouds.digests import file_digest
from intercloud.clouds.lab.spec import Place
from intercloud.clouds.locked import locked
from intercloud.clouds.run import run
from intercloud.errors import NotFound, StoreFull
from intercloud.model.server import Disk, Image
from intercloud.units import Bytes, show_bytes


@dataclass(frozen=True)
class Store:
    """The image store of a site."""

    place: Place

    @property
    def directory(self) -> Path:
        """Where the images are."""
        return self.place.path / "images"

    def path(self, digest: str) -> Path:
        """Where the image of that digest is, or would be."""
        return self.directory / f"{digest.removeprefix('sha256:').replace(':', '-')}.qcow2"

    def images(self) -> tuple[Image, ...]:
        """Every whole image."""
        return tuple(Image(**json.loads(path.read_text())) for path in sorted(self.directory.glob("*.json")))

    def find(self, digest: str) -> Image | None:
        """Find a whole image. Its description is written last, so what is described is whole."""
        return next((image for image in self.images() if image.digest == digest), None)

    @contextmanager
    def incoming(self, image: Image) -> Iterator[Path | None]:
        """Give a path to write an image's bytes to; None when it is here already.

        The caller must have proven the digest when the context ends; on an error what was written is removed.
        Raises StoreFull, before anything is written.
        """
        with locked(self.directory / "lock"):
            if self.find(image.digest) is not None:
                yield None
                return
            self.check_room(image)
            part = self.directory / "incoming.part"
            try:
                yield part
                part.replace(self.path(image.digest))
            finally:
                part.unlink(missing_ok=True)
            described = self.path(image.digest).with_suffix(".json")
            description = described.with_suffix(".new")
            description.write_text(json.dumps(asdict(image)))
            description.replace(described)

    def check_room(self, image: Image) -> None:
        """Raise StoreFull when the quota or the disk does not hold one more image."""
        limit = self.place.spec.quota.image_store
        used = self.used()
        if used + image.size > limit:
            raise StoreFull(
                f"{self.place.name}: the image store holds {show_bytes(used)} of {show_bytes(limit)}; "
                f"{show_bytes(image.size)} more do not fit"
            )
        free = shutil.disk_usage(self.directory).free
        if image.size > free:
            raise StoreFull(f"{self.directory}: {show_bytes(free)} free; {show_bytes(image.size)} do not fit")

    def used(self) -> Bytes:
        """Bytes of all whole images."""
        return Bytes(sum(image.size for image in self.images()))

    def add(self, path: Path, name: str) -> Image:
        """Copy a file of this computer into the store."""
        image = Image(file_digest(path), name, Bytes(path.stat().st_size))
        with self.incoming(image) as part:
            if part is not None:
                shutil.copyfile(path, part)
        return image

    def delete(self, digest: str) -> None:
        """Remove an image; whether a disk uses it is the caller's to know."""
        with locked(self.directory / "lock"):
            self.path(digest).with_suffix(".json").unlink(missing_ok=True)
            self.path(digest).unlink(missing_ok=True)

    def make_disk(self, path: Path, disk: Disk) -> None:
        """Make a disk's file unless it is there: an empty overlay, or an empty disk."""
        if path.exists():
            return
        part = path.with_suffix(".part")
        words = ["qemu-img", "create", "-q", "-f", "qcow2"]
        if disk.image is not None:
            words += ["-b", str(self.base(disk.image)), "-F", disk.image.format]
        run([*words, str(part), str(disk.size)])
        part.replace(path)

    def base(self, image: Image) -> Path:
        """Find the file under an overlay. Raises NotFound."""
        if self.find(image.digest) is None:
            raise NotFound(f"{self.place.name} has no image {image.name} ({image.digest[:19]}…)")
        return self.path(image.digest)
