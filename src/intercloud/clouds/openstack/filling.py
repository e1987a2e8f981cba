"""How a place's disk is filled by a tenant, to whom no disk can be written.

A content that will not change any more is stored as an image, and the place is rebuilt from it when it is started.
One that will change (its server runs) is stored without its ends (`held_back`), and the place rebuilt from it at once.
What has changed then comes as a *patch*: an image that the place is rescued with, whose system writes to the place's
disk and says on its console what the disk holds. The last patch brings the ends, too, and is written at the start.
Each content is kept here as well until then: what the disk holds, as the cloud's own words prove.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intercloud.clouds import blocks, nbd
from intercloud.clouds.openstack.contents import Contents, share_of
from intercloud.clouds.openstack.held_back import ends, held_back
from intercloud.clouds.openstack.names import BASE, CONTENT, FOR_BOOT, FOR_CONTENT, MARK, PATCH, ROOT, ROUND, WAITS
from intercloud.clouds.openstack.receiver.build import Patch, receiver, write_patch
from intercloud.clouds.openstack.servers import LONG, boots_from_volume, waits
from intercloud.clouds.port import DiskRef, Extent, Offer, Progress
from intercloud.errors import CloudError
from intercloud.model.server import Image
from intercloud.units import MIB, Bytes

SLOWEST = 4 * MIB
"""Bytes a second that a receiver writes, and reads back, at least."""


@dataclass(frozen=True)
class Filling:
    """The disks of one cloud's places."""

    contents: Contents

    def fetch(self, what: DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Bring what the place's disk lacks of an offer, or all of it; see Storage.fetch."""
        servers = self.contents.servers
        place = servers.get(what.server)
        if waits(place) != FOR_CONTENT:
            raise CloudError(f"{self.contents.cloud}: {what.server} is no place that waits for its content")
        if what.disk.name != ROOT:
            return self._fetch_volume(place, what, offer, progress)
        held = self.held(place)
        changed = offer.changed.get(place.metadata.get(MARK, "")) if held.exists() else None
        if changed is not None:
            return self._add(place, what, offer, changed, progress)
        if offer.mark is not None:
            receiver(self.contents.cache)  # what is missing for it shows now
        held.parent.mkdir(parents=True, exist_ok=True)
        part = held.with_suffix(".part")
        moved = nbd.copy(offer.local, part, lambda _: None, layout="qcow2")
        held.unlink(missing_ok=True)
        servers.leave_rescue(place)
        servers.forget(place, MARK)
        self.drop_images(place.name, ROUND)
        if offer.mark is None:
            self._store(place, part, moved, progress)
        else:
            self._rebuild(place, part, moved, progress)
            servers.note(place, {MARK: offer.mark})
        part.rename(held)
        return moved

    def _fetch_volume(self, place: Any, what: DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Make a volume of all that is offered."""
        images = self.contents.images
        with self.contents.file() as path:
            moved = nbd.copy(offer.local, path, lambda _: None, layout="qcow2")
            image = Image("", f"{place.name}, moved", moved)
            stored = images.upload(path, image, [f"{ROUND}{place.name}"], share_of(moved, progress))
        try:
            self.contents.volumes.fill(place, what.disk, stored)
        finally:
            images.delete(stored)
        return moved

    def _store(self, place: Any, content: Path, moved: Bytes, progress: Progress) -> None:
        """Store a whole content; what arrived before goes when this is there."""
        images = self.contents.images
        before = images.tagged(f"{CONTENT}{place.name}")
        image = Image("", f"{place.name}, moved", moved)
        told = images.hardware(place, self.contents.volumes.of(place).get(ROOT))
        images.upload(content, image, [f"{CONTENT}{place.name}"], share_of(moved, progress), told)
        for old in before:
            images.delete(old)

    def _rebuild(self, place: Any, content: Path, moved: Bytes, progress: Progress) -> None:
        """Let the place's disk hold a content but for its ends; the place is stopped then."""
        servers, images = self.contents.servers, self.contents.images
        self.drop_images(place.name, CONTENT)
        with self.contents.file() as path:
            held_back(content, path, place.id)
            image = Image("", f"{place.name}, being moved", moved)
            told = images.hardware(place)
            stored = images.upload(path, image, [f"{ROUND}{place.name}"], share_of(moved, progress), told)
        servers.switch_off(place)
        servers.rebuild(place, stored)
        images.delete(stored)

    def _add(self, place: Any, what: DiskRef, offer: Offer, changed: Sequence[Extent], progress: Progress) -> Bytes:
        """Bring what has changed. Whatever ends it, the same or a later change since the same mark sets it right."""
        servers, last, outer = self.contents.servers, offer.mark is None, ends(what.disk.size)
        servers.leave_rescue(place)  # of a round that was killed: the ends are not there yet
        wanted, held_ends = blocks.blocks(changed), blocks.blocks(outer)
        with self._layer(place, offer, changed, progress) as (layer, moved):
            self.drop_images(place.name, ROUND)
            if parts := blocks.of_blocks(wanted | held_ends if last else wanted - held_ends, what.disk.size):
                image, patch = self._store_patch(place, layer, parts)
                if not last:
                    self._receive(place, image, patch, parts)
                    servers.leave_rescue(place)
                    self.drop_images(place.name, ROUND)
        if offer.mark is not None:
            servers.note(place, {MARK: offer.mark})
        return moved

    @contextmanager
    def _layer(
        self, place: Any, offer: Offer, changed: Sequence[Extent], progress: Progress
    ) -> Iterator[tuple[Path, Bytes]]:
        """Yield the new content, a layer over what is held, and the bytes that came; it is held when all ends well."""
        with self.contents.file() as path:
            layer, moved = path.with_suffix(".layer"), Bytes(0)
            if changed:
                moved = blocks.pull((), offer.local, changed, layer, progress)
                blocks.lay(layer, self.held(place))
            yield (layer if changed else self.held(place)), moved
            if changed:
                blocks.merge(layer)

    def _store_patch(self, place: Any, content: Path, parts: Sequence[Extent]) -> tuple[Any, Patch]:
        """Store the image that writes parts of a content to the place's disk."""
        with self.contents.file() as path, self.contents.served(nbd.disk_node(content)) as served:
            patch = write_patch(self.contents.cache, path, place.id, served.local, parts)
            image = Image("", f"{place.name}, what has changed", Bytes(0))
            tags = [f"{ROUND}{place.name}", f"{PATCH}{patch.token}:{patch.holds}"]
            return self.contents.images.upload(path, image, tags), patch

    def _receive(self, place: Any, image: Any, patch: Patch, parts: Sequence[Extent] = ()) -> None:
        """Let a patch be written, and read back. Raises CloudError when the disk does not hold it then."""
        servers = self.contents.servers
        servers.rescue(place, image)
        deadline = time.monotonic() + LONG + sum(part.length for part in parts) / SLOWEST
        while (arrived := patch.arrived(servers.console(place))) is None:
            if time.monotonic() > deadline:
                raise CloudError(
                    f"{self.contents.cloud}: {place.name} does not say on its console that what has changed was "
                    "written; does its cloud show consoles?"
                )
            time.sleep(0.5)
        if not arrived:
            raise CloudError(f"{self.contents.cloud}: what has changed cannot be written to the disk of {place.name}")

    def boot(self, place: Any) -> None:
        """Boot a place from what has arrived, or else from its image."""
        servers, images = self.contents.servers, self.contents.images
        self.contents.volumes.attach(place)
        image = self.arrived(place.name)
        if image is None and MARK not in place.metadata:
            image = images.find(place.metadata.get(BASE, ""))
            if image is None:
                raise CloudError(f"{self.contents.cloud}: {place.name} has nothing to boot from")
        if image is not None:
            servers.boot_place(place, image, {key: value for key, value in place.metadata.items() if key not in OWN})
        else:
            if waits(place) != FOR_BOOT:
                servers.note(place, {WAITS: FOR_BOOT})
            self._receive(place, *(self._last_patch(place) or self._store_ends(place)))
            servers.start(servers.get(place.name))
            servers.settle(place)
        self.drop_images(place.name, *((ROUND, CONTENT) if boots_from_volume(place) else (ROUND,)))
        self.held(place).unlink(missing_ok=True)
        self.contents.volumes.settle(place)

    def _last_patch(self, place: Any) -> tuple[Any, Patch] | None:
        for image in self.contents.images.tagged(f"{ROUND}{place.name}"):
            for tag in image.tags:
                if tag.startswith(PATCH) and image.status == "active":
                    return image, Patch(*tag.removeprefix(PATCH).split(":"))
        return None

    def _store_ends(self, place: Any) -> tuple[Any, Patch]:
        """Bring what is held back only: the last round was one of a running server."""
        held = self.held(place)
        if not held.exists():
            raise CloudError(f"{self.contents.cloud}: what is held back of {place.name} is not on this computer")
        return self._store_patch(place, held, ends(nbd.virtual_size(held)))

    @contextmanager
    def offer(self, place: Any, what: DiskRef) -> Iterator[Offer]:
        """Offer what a place's disk will hold when it is started."""
        held = self.held(place)
        if held.exists():
            with self.contents.served(nbd.disk_node(held)) as served:
                yield Offer(served.uri, served.local, what.disk.size)
            return
        images = self.contents.images
        image = self.arrived(what.server)
        if image is None and MARK in place.metadata:
            raise CloudError(f"{self.contents.cloud}: what the disk of {what.server} holds is not on this computer")
        image = image or (images.find(place.metadata[BASE]) if BASE in place.metadata else None)
        with self.contents.file() as path:
            if image is not None:
                images.download(image, path)
            self.contents.as_disk(path, image.disk_format if image else None, what.disk.size)
            with self.contents.served(nbd.disk_node(path)) as served:
                yield Offer(served.uri, served.local, what.disk.size)

    def held(self, place: Any) -> Path:
        """Where what a place's disk holds is kept."""
        return self.contents.spool / "held" / f"{place.id}.qcow2"

    def arrived(self, server: str) -> Any | None:
        """What a place will boot from, if it has arrived whole."""
        found = self.contents.images.tagged(f"{CONTENT}{server}")
        return next((each for each in found if each.status == "active"), None)

    def drop_images(self, server: str, *kinds: str) -> None:
        """Delete what a place of this name is filled with, or a server was booted from. kinds: which of them."""
        for kind in kinds or (ROUND, CONTENT):
            for image in self.contents.images.tagged(f"{kind}{server}"):
                self.contents.images.delete(image)


OWN = (WAITS, MARK)
"""What is written on a place, and not on a server."""
