"""A cloud's images: found by what they hold, streamed with bounded memory, checked by the service's own hash."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import requests

from intercloud.clouds.digests import has_digest
from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.names import DIGEST, READ
from intercloud.errors import CloudError, NotFound, TransferError
from intercloud.model.server import Image
from intercloud.units import MIB, Bytes

CHUNK = 4 * MIB
ATTEMPTS = 5
"""Times in a row that a download may end early without one more byte; each goes on where the one before ended."""
TELL = 0.1
"""Seconds between two words about how far an upload is."""
SNAPSHOT = 3600.0
"""Seconds for a snapshot to be taken and stored."""
NOTHING: Mapping[str, str] = MappingProxyType({})
Tell = Callable[[float], object]
"""Called with the share of a file that has left."""
MACHINE = ("hw_", "os_type", "os_distro", "os_secure_boot", "os_require_quiesce")
"""How properties of images begin that Nova builds a machine from, and knows its guest by."""
FAILED = ("killed", "deleted", "deactivated")


def digest(image: Any) -> str | None:
    """The digest by which other clouds know an image; None for one that is not whole, or is older than such hashes."""
    noted = [tag.removeprefix(DIGEST) for tag in image.tags if tag.startswith(DIGEST)]
    if noted:
        return str(noted[0])
    return f"{image.hash_algo}:{image.hash_value}" if image.hash_value else None


def hardware(image: Any) -> dict[str, str]:
    """What an image, or the image part of a server, tells Nova of the machine that boots it."""
    told = image.to_dict() if image is not None else {}
    return machine(told | (told.get("properties") or {}))


def machine(told: Mapping[str, Any]) -> dict[str, str]:
    """What of some properties Nova builds a machine from."""
    return {name: str(value) for name, value in told.items() if name.startswith(MACHINE) and value is not None}


def describe(image: Any) -> Image | None:
    """An image as the model has it; None when it has no digest."""
    name = digest(image)
    return Image(name, image.name, Bytes(image.size), image.disk_format) if name else None


@dataclass(frozen=True)
class Images:
    """The image service of one cloud."""

    cloud: str
    door: Door

    def all(self) -> list[Any]:
        """Every whole image that can be used here."""
        found: list[Any] = self.door.image.images(status="active")
        return found

    def find(self, wanted: str) -> Any | None:
        """Find a whole image by its digest."""
        return next((each for each in self.all() if digest(each) == wanted), None)

    def get(self, number: str) -> Any | None:
        """Find an image by its id, whole or not."""
        try:
            return self.door.image.get_image(number)
        except NotFound:
            return None

    def hardware(self, server: Any, root: Any | None = None) -> dict[str, str]:
        """What Nova knows of a server's machine; where it does not say (before microversion 2.98), its image does.

        root: the volume that it boots from, if it does, which knows it then.
        """
        if root is not None:
            return machine(root.volume_image_metadata or {})
        number = server.image.id if server.image else None
        return hardware(server.image) or (hardware(self.get(number)) if number else {})

    def own(self) -> list[Any]:
        """The project's images, whole or not: of others' none is ever deleted."""
        found: list[Any] = self.door.image.images(owner=self.door.project)
        return [each for each in found if each.owner_id == self.door.project]

    def tagged(self, tag: str) -> list[Any]:
        """The project's images with a tag, whole or not, the newest first."""
        found = [each for each in self.own() if tag in each.tags]
        return sorted(found, key=lambda each: str(each.created_at), reverse=True)

    def snapshots(self, server: str) -> list[Any]:
        """Snapshots that we have taken of a server, whole or not."""
        return [each for each in self.own() if (each.properties or {}).get(READ) == server]

    def used(self) -> Bytes:
        """Bytes of the project's own images."""
        return Bytes(sum(each.size or 0 for each in self.own()))

    def upload(
        self, path: Path, image: Image, tags: list[str], tell: Tell | None = None, told: Mapping[str, str] = NOTHING
    ) -> Any:
        """Store a file as an image. Raises TransferError when what arrived has another hash; nothing is left then.

        image: its name and format; told: its properties. Killed meanwhile, it leaves an image with these tags that is
        not active.
        """
        with path.open("rb") as file:
            content: Any = Told(file, path.stat().st_size, tell)
            made = self.door.image.create_image(
                image.name, data=content, size=path.stat().st_size, disk_format=image.format, container_format="bare",
                allow_duplicates=True, tags=tags, meta=dict(told),
            )  # fmt: skip
        stored = self.door.image.get_image(made.id)
        if stored.hash_value and not has_digest(path, f"{stored.hash_algo}:{stored.hash_value}"):
            self.delete(stored)
            raise TransferError(f"{self.cloud}: image {image.name} arrived with another hash than it was sent with")
        return stored

    def delete(self, image: Any) -> None:
        """Delete an image; no error when it is gone."""
        self.door.image.delete_image(image.id, ignore_missing=True)

    def snapshot(self, server: Any) -> Any:
        """Take the content of a server's root disk, and wait until it is stored."""
        name = f"{server.name}, being moved"
        made = self.door.compute.create_server_image(server.id, name, metadata={READ: server.name}, wait=False)
        deadline = time.monotonic() + SNAPSHOT
        while True:
            image = self.get(made.id)
            if image is not None and image.status == "active":
                return image
            if image is None or image.status in FAILED:
                raise CloudError(f"{self.cloud}: the snapshot of {server.name} failed; see its compute service's log")
            if time.monotonic() > deadline:
                raise CloudError(f"{self.cloud}: no snapshot of {server.name} after {SNAPSHOT:.0f} s")
            time.sleep(0.5)

    def download(self, image: Any, path: Path) -> None:
        """Fetch an image's bytes into a file; one that is cut goes on where it ended.

        Raises TransferError when it is cut again and again, or when what arrives has another hash.
        """
        failures, why = 0, "it ends early"
        with path.open("wb") as file:
            while file.tell() < image.size:
                before = file.tell()
                try:
                    for piece in self._pieces(image, before):
                        file.write(piece)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as cut:
                    why = str(cut)
                failures = 0 if file.tell() > before else failures + 1
                if failures == ATTEMPTS:
                    raise TransferError(f"{self.cloud}: image {image.name} cannot be read: {why}")
                time.sleep(failures)
        if image.hash_value and not has_digest(path, f"{image.hash_algo}:{image.hash_value}"):
            raise TransferError(f"{self.cloud}: image {image.name} was read with another hash than it is stored with")

    def _pieces(self, image: Any, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self.door.image.get(f"/images/{image.id}/file", headers=headers, stream=True) as answer:
            if answer.status_code != (206 if start else 200):
                raise TransferError(f"{self.cloud}: image {image.name} cannot be read: status {answer.status_code}")
            yield from answer.iter_content(CHUNK)


class Told:
    """A file that says how far it was read, to be streamed to a service."""

    def __init__(self, file: BinaryIO, size: int, tell: Tell | None) -> None:
        self._file, self._size, self._tell = file, size, tell
        self._told = 0.0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(CHUNK):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        piece = self._file.read(size)
        now = time.monotonic()
        if self._tell is not None and (now - self._told > TELL or self._file.tell() == self._size):
            self._told = now
            self._tell(self._file.tell() / self._size)
        return piece
