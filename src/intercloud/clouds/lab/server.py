"""One server of a lab cloud: its files, its taps, its QEMU process."""

import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from intercloud.clouds.lab import net, qmp
from intercloud.clouds.lab.guest.drive import config_drive
from intercloud.clouds.lab.qemu import Emulator, Files, command, identity
from intercloud.clouds.lab.record import Record
from intercloud.clouds.lab.spec import Place, short_hash
from intercloud.clouds.lab.store import Store
from intercloud.clouds.port import ServerState
from intercloud.clouds.run import find_process, inside, kill, run
from intercloud.errors import CloudError, CloudUnreachable, MonitorError
from intercloud.model.server import Server
from intercloud.model.site import Placement
from intercloud.units import Bytes

END_TIME = 3.0
"""Seconds that a QEMU gets to end by itself."""


def files(place: Place, name: str) -> Files:
    """Where a server's files are."""
    return Files(place.path / "servers" / name)


def placement(place: Place, server: Server) -> Placement:
    """Where a server's cards are; the devices' names follow from what they are for."""
    return Placement(place.name, {nic.mac: f"t{short_hash(server.name, nic.mac)}" for nic in server.nics})


@dataclass(frozen=True)
class Guest:
    """A recorded server at its place."""

    place: Place
    record: Record

    @property
    def files(self) -> Files:
        """Where its files are."""
        return files(self.place, self.record.server.name)

    @property
    def placement(self) -> Placement:
        """Where its cards are."""
        return placement(self.place, self.record.server)

    def look(self) -> Server:
        """The server, with what its disks hold now."""
        server = self.record.server
        disks = (
            replace(disk, held=Bytes(512 * path.stat().st_blocks) if path.exists() else None)
            for disk in server.disks
            for path in (self.files.disk(disk.name),)
        )
        return replace(server, disks=tuple(disks))

    def pid(self) -> int | None:
        """Its process, if it lives."""
        return find_process(self.files.pid, str(self.files.pid))

    def make(self, store: Store) -> None:
        """Make what is missing of its disks, its config drive and its taps; safe to repeat."""
        server = self.record.server
        for disk in server.disks:
            store.make_disk(self.files.disk(disk.name), disk)
        if not self.files.config.exists():
            meta = {"name": server.name, "hostname": server.name, "uuid": identity(server.name)}
            config_drive(meta, server.metadata.get("user_data", ""), self.files.config)
        self.add_taps()

    def add_taps(self) -> None:
        """Make its network devices, plugged nowhere."""
        mtus = {network.name: network.mtu for network in self.record.cluster.networks}
        for nic in self.record.server.nics:
            net.add_tap(self.place.namespace, self.placement.ports[nic.mac], mtus.get(nic.network, 1500))

    def remove_taps(self) -> None:
        """Remove its network devices. Safe to repeat."""
        for tap in self.placement.ports.values():
            net.delete_link(self.place.namespace, tap)

    def boot(self, emulator: Emulator) -> None:
        """Start its process unless it runs. Booting, or waiting for its memory, when this returns."""
        if self.pid() is not None:
            return
        self.add_taps()
        for disk in self.record.server.disks:
            self.files.mark(disk.name).unlink(missing_ok=True)
        taps = tuple(self.placement.ports.values())
        words = command(self.record.server, self.files, taps, emulator, incoming=self.record.incoming)
        run(inside(self.place.namespace, words))

    def state(self) -> ServerState:
        """Ask its process what it does."""
        if self.pid() is None:
            return ServerState.STOPPED
        try:
            status = qmp.ask(self.files.own_monitor, "query-status")["status"]
        except MonitorError as error:
            if self.pid() is None:
                return ServerState.STOPPED
            raise CloudUnreachable(f"{self.place.name}: {error}") from error
        match status:
            case "running":
                return ServerState.RUNNING
            case "inmigrate":
                return ServerState.INCOMING
            case _:
                return ServerState.PAUSED

    def power_off(self) -> None:
        """Press its power button, wait, then cut the power."""
        if self.state() is ServerState.RUNNING:
            qmp.ask(self.files.own_monitor, "system_powerdown")
            end = time.monotonic() + self.place.spec.patience
            while self.pid() is not None and time.monotonic() < end:
                time.sleep(0.05)
        self.end()
        self.files.aside.unlink(missing_ok=True)

    def end(self) -> None:
        """Let its process end in order, so that it closes its disks and stores their bitmaps; kill one that hangs."""
        pid = self.pid()
        if pid is not None:
            with suppress(CloudError):
                kill([pid], END_TIME, signal.SIGTERM)
        self.kill()

    def kill(self) -> None:
        """Cut the power."""
        pid = self.pid()
        if pid is not None:
            kill([pid])

    def remove(self) -> None:
        """Remove all of it, the record last."""
        self.kill()
        self.remove_taps()
        for path in self.files.directory.iterdir():
            if path.is_dir():  # whoever made the config drive was killed
                shutil.rmtree(path)
            elif path != self.files.record:
                path.unlink()
        shutil.rmtree(self.files.directory)
