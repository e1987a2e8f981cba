"""A project's volumes, which outlive the servers that they are attached to: read, made, attached, deleted.

With a tenant's rights what a volume holds is read by way of an image, and written by making the volume from one.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.names import DISK, OF, OURS, READ, ROOT
from intercloud.clouds.openstack.servers import GIB_IN_MIB, LONG, LOOK, SHORT, boots_from_volume, gib, waits
from intercloud.errors import CloudError, NotFound
from intercloud.model.finding import Finding
from intercloud.model.server import Disk, Server, Volume
from intercloud.units import MIB, Bytes

KIND = "block-storage"


def disk_name(volume: Any, server: Any) -> str:
    """What a volume is called as a disk of a server: by its device ("vdb")."""
    device = next((each["device"] for each in volume.attachments or () if each["server_id"] == server.id), None)
    return str(device or volume.metadata.get(DISK, "")).removeprefix("/dev/")


def as_disk(volume: Any, name: str) -> Disk:
    """A volume as the model has it."""
    told = {key: value for key, value in volume.metadata.items() if not key.startswith(OURS)}
    known = Volume(volume.name, volume.volume_type, volume.description, told)
    return Disk(name, Bytes(volume.size * GIB_IN_MIB * MIB), volume=known)


@dataclass(frozen=True)
class Volumes:
    """The block storage of one cloud, if it has one."""

    cloud: str
    door: Door

    def obstacles(self, servers: Iterable[Server]) -> Iterator[Finding]:
        """Servers whose volumes cannot be made here."""
        for server in servers:
            if (len(server.disks) > 1 or server.disks[0].volume) and not self.door.has(KIND):
                text = f"has no block storage, where the volumes of {server.name} could be"
                yield Finding(self.cloud, text, "let its operator add one, detach them, or leave the server out")

    def all(self) -> list[Any]:
        """The project's volumes; none where there is no block storage."""
        found: list[Any] = self.door.volume.volumes() if self.door.has(KIND) else []
        return found

    def of(self, server: Any) -> dict[str, Any]:
        """Volumes that are attached to a server, or to a place shall be: by the names of its disks, in their order.

        The first of a server that boots from a volume is its root disk.
        """
        found = {}
        for volume in self.all():
            attached = any(each["server_id"] == server.id for each in volume.attachments or ())
            if attached or (waits(server) and not volume.attachments and volume.metadata.get(OF) == server.name):
                found[disk_name(volume, server)] = volume
        names = sorted(found)
        ours = [ROOT, *names[1:]] if names and boots_from_volume(server) else names
        return {name: found[device] for name, device in zip(ours, names, strict=True)}

    def losses(self, server: str, volumes: Collection[Any]) -> Iterator[Finding]:
        """What of a server's volumes cannot be carried."""
        kept = {each.volume_id for each in self.snapshots() if READ not in each.metadata} if volumes else set()
        for volume in volumes:
            what, cure = f"its volume {volume.name or volume.id}", "detach it, or leave the server out"
            if volume.is_encrypted:
                yield Finding(
                    server, f"{what} is encrypted with a key that its cloud keeps", "copy it to one that is not"
                )
            if volume.is_multiattach:
                yield Finding(server, f"{what} may be attached to other servers as well", cure)
            if volume.id in kept:
                yield Finding(server, f"{what} has snapshots, which do not move", f"delete them, {cure}")

    def snapshots(self) -> list[Any]:
        """The project's snapshots of volumes."""
        found: list[Any] = self.door.volume.snapshots() if self.door.has(KIND) else []
        return found

    def blank(self, server: Server, image: Any) -> dict[str, Any]:
        """Tell Nova what to boot a place from: an image that holds nothing, or a volume that is made of it."""
        if server.disks[0].volume is None:
            return {"image_id": image.id}
        made = self.make(server.name, server.disks[0], image)
        volume = {"boot_index": 0, "uuid": made.id, "source_type": "volume", "destination_type": "volume"}
        return {"block_device_mapping": [volume]}

    def prepare(self, server: Server, place: Any) -> None:
        """Let there be an empty volume for each disk of a place but its first. Raises QuotaReached, CloudError."""
        wanted = server.disks[1:]
        there = self.of(place) if wanted else {}
        for disk in wanted:
            if disk.name not in there:
                self.make(server.name, disk)

    def make(self, server: str, disk: Disk, image: Any | None = None) -> Any:
        """Make a volume for a server, of an image or empty, and wait for it."""
        known = {each.name for each in self.door.volume.types()}
        told = disk.volume or Volume(f"{server}-{disk.name}")
        options = {"volume_type": told.kind} if told.kind in known else {}
        if image is not None:
            options["image_id"] = image.id
        metadata = {**told.metadata, OF: server, DISK: disk.name}
        made = self.door.volume.create_volume(
            name=told.name, description=told.description, size=gib(disk.size), metadata=metadata, **options
        )
        return self._wait(made.id, "available")

    def fill(self, place: Any, disk: Disk, image: Any) -> None:
        """Let the volume of a place hold an image: another takes its place."""
        for volume in self.all():
            if (volume.metadata.get(OF), volume.metadata.get(DISK)) == (place.name, disk.name):
                self._delete_volume(volume)
        self.make(place.name, disk, image)

    def attach(self, server: Any) -> None:
        """Attach a server's volumes, in the order of its disks, which is that of the devices that they are given."""
        for volume in self.of(server).values():
            if not volume.attachments:
                self.door.compute.create_volume_attachment(server.id, volume_id=volume.id)
                self._wait(volume.id, "in-use")

    def settle(self, server: Any) -> None:
        """Let the volumes of a server be ordinary ones."""
        for volume in self.of(server).values():
            if OF in volume.metadata:
                self.door.volume.delete_volume_metadata(volume.id, [OF, DISK])

    def claim(self, server: Any) -> None:
        """Note whose a server's volumes are, so that they are found when it is gone."""
        for name, volume in self.of(server).items():
            self.door.volume.set_volume_metadata(volume.id, **{OF: server.name, DISK: name})

    def delete(self, server: str) -> None:
        """Delete the volumes of a server that is gone, as soon as they are not attached to it any more.

        Some may go by themselves, for Nova deletes what it was told to.
        """
        for volume in self.all():
            if volume.metadata.get(OF) == server:
                with suppress(NotFound):
                    self._delete_volume(self._wait(volume.id, "available"))

    def drop_copies(self, server: str) -> None:
        """Delete what was made to read a server's volumes."""
        for volume in self.all():
            if volume.metadata.get(READ) == server:
                self._delete_volume(volume)
        for snapshot in self.snapshots():
            if snapshot.metadata.get(READ) == server:
                self._delete_snapshot(snapshot)

    @contextmanager
    def stored(self, server: str, volume: Any) -> Iterator[Any]:
        """Store what a volume holds as an image, which goes with the context."""
        how = {"disk_format": "qcow2", "container_format": "bare"}
        with self._still(server, volume) as still:
            told = self.door.volume.upload_volume_to_image(still.id, f"{server}, being moved", **how)
            try:
                self._wait(still.id, "available")
                yield self.door.image.get_image(told["image_id"])
            finally:
                self.door.image.delete_image(told["image_id"], ignore_missing=True)

    @contextmanager
    def _still(self, server: str, volume: Any) -> Iterator[Any]:
        """A volume that nobody is attached to: this, or a copy of it that goes with the context."""
        if not volume.attachments:
            yield volume
            return
        snapshot = self.door.volume.create_snapshot(
            volume_id=volume.id, name=f"{server}, being moved", is_forced=True, metadata={READ: server}
        )
        copy = None
        try:
            self._wait_snapshot(snapshot.id)
            made = self.door.volume.create_volume(
                snapshot_id=snapshot.id, name=f"{server}, being moved", size=volume.size, metadata={READ: server}
            )
            copy = self._wait(made.id, "available")
            yield copy
        finally:
            if copy is not None:
                self._delete_volume(copy)
            self._delete_snapshot(snapshot)

    def _delete_volume(self, volume: Any) -> None:
        self.door.volume.delete_volume(volume.id)
        self._until_gone(self.door.volume.get_volume, volume.id)

    def _delete_snapshot(self, snapshot: Any) -> None:
        self.door.volume.delete_snapshot(snapshot.id)
        self._until_gone(self.door.volume.get_snapshot, snapshot.id)

    def _until_gone(self, get: Callable[[str], Any], number: str) -> None:
        try:
            self._look(lambda: get(number), "gone", SHORT)
        except NotFound:
            return

    def _wait_snapshot(self, number: str) -> Any:
        return self._look(lambda: self.door.volume.get_snapshot(number), "available", LONG)

    def _wait(self, number: str, status: str) -> Any:
        return self._look(lambda: self.door.volume.get_volume(number), status, LONG)

    def _look(self, get: Callable[[], Any], status: str, longest: float) -> Any:
        """Wait until a volume or a snapshot is as it shall be. Raises CloudError."""
        deadline = time.monotonic() + longest
        while True:
            found = get()
            if found.status == status:
                return found
            if found.status.startswith("error") or time.monotonic() > deadline:
                raise CloudError(f"{self.cloud}: {found.name or found.id} is {found.status}, not {status}")
            time.sleep(LOOK)
