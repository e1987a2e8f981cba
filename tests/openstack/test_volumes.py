"""Volumes of the testbed: all that a tenant needs to read one that is in use, and to fill one."""

import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from tenant import Tenant
from testbed.host import enter
from testbed.layout import HOSTS, VOLUME_TYPE
from tests import needs

from intercloud.clouds.run import run
from intercloud.units import MIB

PIECE = 4096


class Volumes(unittest.TestCase):
    def setUp(self) -> None:
        self.tenant = Tenant(self, HOSTS[0])
        self.storage: Any = self.tenant.cloud.block_storage
        self.image: Any = self.tenant.cloud.image

    @needs.long
    def test_what_a_snapshot_holds_while_the_server_runs_and_when_it_is_stopped(self) -> None:
        (server,) = self.tenant.boot("db")
        volume = self.filled(1)
        self.tenant.wait_up(server)
        self.attach(server, volume)
        self.write(server, volume, 1, 2)
        running = self.snapshot(volume)
        self.write(server, volume, 2, 3)
        self.assertEqual(self.content(running), [1, 2, 0, 0])
        self.tenant.compute.stop_server(server)
        self.tenant.compute.wait_for_server(server, "SHUTOFF", interval=0.5, wait=60)
        stopped = self.snapshot(volume)
        self.assertEqual(self.content(stopped), [1, 2, 3, 0])

    def filled(self, pattern: int) -> Any:
        """Make a volume whose first MiB is filled."""
        with tempfile.NamedTemporaryFile() as raw:
            raw.write(bytes([pattern]) * MIB)
            raw.seek(0)
            image = self.image.create_image(name="raw", data=raw, disk_format="raw", container_format="bare")
        self.addCleanup(self.image.delete_image, image)
        volume = self.storage.create_volume(name="data", size=1, image_id=image.id)
        self.goes_with_the_test(volume)
        self.storage.wait_for_status(volume, "available", interval=0.5, wait=60)
        self.assertEqual(self.storage.get_volume(volume).volume_type, VOLUME_TYPE)
        return volume

    def goes_with_the_test(self, volume: Any) -> None:
        self.addCleanup(self.storage.wait_for_delete, volume, interval=0.5, wait=60)
        self.addCleanup(self.storage.delete_volume, volume)

    def attach(self, server: Any, volume: Any) -> None:
        """Attach a volume; it is detached before server and volume go."""
        compute = self.tenant.compute
        compute.create_volume_attachment(server, volume=volume)
        self.addCleanup(self.storage.wait_for_status, volume, "available", interval=0.5, wait=60)
        self.addCleanup(compute.delete_volume_attachment, server, volume.id)
        self.storage.wait_for_status(volume, "in-use", interval=0.5, wait=60)

    def write(self, server: Any, volume: Any, mib: int, pattern: int) -> None:
        """Write a piece as the guest would: by its hypervisor's monitor."""
        act = f'qemu-io -d /machine/peripheral/ua-{volume.id}/virtio-backend "write -P {pattern} {mib}M {PIECE}"'
        said = run(enter(HOSTS[0], ["virsh", "-q", "qemu-monitor-command", "--hmp", server.id, act]))
        self.assertNotIn("rror", said)

    def snapshot(self, volume: Any) -> Any:
        """Take a snapshot of a volume in use. They go newest first: a stopped server lets go of no other."""
        made = self.storage.create_snapshot(volume_id=volume.id, is_forced=True)
        self.addCleanup(self.storage.wait_for_delete, made, interval=0.5, wait=60)
        self.addCleanup(self.storage.delete_snapshot, made)
        return self.storage.wait_for_status(made, "available", interval=0.5, wait=60)

    def content(self, snapshot: Any) -> list[int]:
        """What each of the first MiB begins with, read as a tenant can: over a volume, and an image of it."""
        volume = self.storage.create_volume(size=1, snapshot_id=snapshot.id)
        self.goes_with_the_test(volume)
        self.storage.wait_for_status(volume, "available", interval=0.5, wait=60)
        image = self.storage.upload_volume_to_image(volume, "data", disk_format="qcow2", container_format="bare")
        self.addCleanup(self.image.delete_image, image["image_id"])
        found = self.image.wait_for_status(self.image.get_image(image["image_id"]), "active", interval=0.5, wait=60)
        self.storage.wait_for_status(volume, "available", interval=0.5, wait=60)
        with tempfile.TemporaryDirectory() as folder:
            path, raw = Path(folder, "qcow2"), Path(folder, "raw")
            self.image.download_image(found, output=str(path))
            subprocess.run(["qemu-img", "convert", "-O", "raw", path, raw], check=True, timeout=60)
            with raw.open("rb") as file:
                pieces = [(file.seek(mib * MIB), file.read(PIECE))[1] for mib in range(4)]
        self.assertEqual([len(set(piece)) for piece in pieces], [1] * len(pieces))
        return [piece[0] for piece in pieces]


if __name__ == "__main__":
    unittest.main()
