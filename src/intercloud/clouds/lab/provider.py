"""The lab as a cloud: the port of clouds/port.py over one site."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from intercloud.clouds import blocks, nbd, reach
from intercloud.clouds.ability import Ability
from intercloud.clouds.digests import has_digest
from intercloud.clouds.lab import fleece, seeds
from intercloud.clouds.lab.emulator import emulator
from intercloud.clouds.lab.qemu import CPU, MACHINE, Emulator, node, version, versioned
from intercloud.clouds.lab.record import Record, load, save, without_servers
from intercloud.clouds.lab.server import Guest, files
from intercloud.clouds.lab.spec import Place
from intercloud.clouds.lab.store import Store
from intercloud.clouds.locked import locked
from intercloud.clouds.port import About, DiskRef, Extent, Landing, Monitor, Offer, Progress, ServerState
from intercloud.clouds.quota import admit
from intercloud.clouds.run import run
from intercloud.clouds.taken import taken
from intercloud.errors import AddressTaken, CloudError, CloudUnreachable, NotFound, TransferError
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Image, Server
from intercloud.model.site import Placement, Platform, Quota, WanPath
from intercloud.units import Bytes


@cache
def platform(runs: Emulator) -> Platform:
    """Ask QEMU what guests run on here."""
    machine = versioned(MACHINE, run([*runs.words, "-machine", "help"]))
    return Platform(f"QEMU {version(run([*runs.words, '--version']))}", machine, CPU)


@dataclass(frozen=True)
class LabCloud:
    """One site of a lab as a cloud; the whole state is on disk, so any process may make its own.

    allowed: what it may offer of what it can, so that it can be as a tenant sees a cloud.
    """

    place: Place
    allowed: frozenset[Ability] = frozenset(Ability)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.place.name

    @property
    def store(self) -> Store:
        """The site's images."""
        return Store(self.place)

    # Inventory

    def about(self) -> About:
        """Name it. It can do everything that it may, except post-copy where the kernel has no userfaultfd."""
        self.require_up()
        missing = set() if Path("/proc/sys/vm/unprivileged_userfaultfd").exists() else {Ability.POSTCOPY}
        return About(
            self.name,
            self.allowed - missing,
            self.place.site(),
            clock=time.time(),
            platform=platform(emulator(self.place.lab.cache)),
            free=Bytes(shutil.disk_usage(self.place.path).free + seeds.size(self.place)),
            seeds=seeds.marks(self.place),
        )

    def records(self) -> tuple[Record, ...]:
        """Every server that was asked for, by name."""
        self.require_up()
        names = sorted(path.name for path in (self.place.path / "servers").glob("*/"))
        return tuple(record for name in names if (record := load(files(self.place, name).record)))

    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that have a server here; one that still waits for its memory does not count."""
        return tuple(sorted({record.cluster.name for record in self.records() if not record.incoming}))

    def cluster(self, name: str) -> Cluster:
        """Read a cluster's servers that are here, by name; those that still wait for their memory are not."""
        found = [record for record in self.records() if record.cluster.name == name and not record.incoming]
        if not found:
            raise NotFound(f"{self.name} has no cluster {name!r}; it has: {', '.join(self.clusters()) or 'none'}")
        return replace(found[0].cluster, servers=tuple(Guest(self.place, record).look() for record in found))

    def quota(self) -> tuple[Quota, Quota]:
        """What the site allows, and what all records and images use of it."""
        servers = [record.server for record in self.records()]
        return self.place.spec.quota, Quota(
            vcpus=sum(server.vcpus for server in servers),
            memory=Bytes(sum(server.memory for server in servers)),
            disk=Bytes(sum(disk.size for server in servers for disk in server.disks)),
            image_store=self.store.used(),
        )

    def conflicts(self, cluster: Cluster) -> tuple[Finding, ...]:
        """Names and addresses that are taken."""
        return taken(self.name, (line for server in cluster.servers for line in self.taken(server)))

    def taken(self, server: Server) -> list[str]:
        """One line for each of its names and addresses that is taken; its own idle copy takes nothing."""
        lines = []
        for record in self.records():
            other = record.server
            if other.name == server.name:
                if other != server or self.server_state(other.name) in (ServerState.RUNNING, ServerState.PAUSED):
                    lines.append(f"the name {server.name} is taken by a server of {record.cluster.name}")
                continue
            for nic in server.nics:
                for its in other.nics:
                    if nic.mac == its.mac:
                        lines.append(f"the MAC address {nic.mac} is taken by {other.name}")
                    if (nic.network, nic.ip) == (its.network, its.ip):
                        lines.append(f"the IP address {nic.ip} in {nic.network} is taken by {other.name}")
        return lines

    def reach(self, peer: str) -> WanPath:
        """Measure the WAN to another site of the lab."""
        try:
            target = self.place.lab.place(peer)
        except KeyError:
            raise CloudUnreachable(f"the lab of {self.name} has no site {peer!r}") from None
        self.require_up()
        return reach.measure(self.place.end, target.end, self.place.lab.wan.mtu)

    # Storage

    def find_image(self, digest: str) -> Image | None:
        """Find a base image."""
        return self.store.find(digest)

    def image_add(self, path: Path, name: str) -> Image:
        """Add an image file of this computer."""
        return self.store.add(path, name)

    def delete_image(self, digest: str) -> None:
        """Delete a base image; nothing happens while a disk uses it."""
        with self.lock():
            disks = (disk for record in self.records() for disk in record.server.disks)
            if not any(disk.image is not None and disk.image.digest == digest for disk in disks):
                self.store.delete(digest)

    @contextmanager
    def offer(self, what: Image | DiskRef) -> Iterator[Offer]:
        """Offer an image's bytes, or a disk's content with what is known of its changes."""
        if isinstance(what, Image):
            with nbd.serve(self.place.stand, nbd.file_node(self.store.base(what))) as served:
                yield Offer(served.uri, served.local, what.size)
            return
        guest, disk = self.guest(what.server), what.disk
        if Ability.WARM in self.allowed and guest.state() is ServerState.RUNNING:
            with (
                fleece.frozen(guest, disk) as frozen,
                nbd.serve(self.place.stand, nbd.peer_node(guest.files.nbd, fleece.NAME)) as served,
            ):
                changed = fleece.changed(frozen.uri, disk, frozen.bitmaps, layers=2)
                yield Offer(served.uri, frozen.uri, disk.size, frozen.mark, changed)
            return
        path = guest.files.disk(disk.name)
        noted = [name for name, whole in nbd.bitmaps(path).items() if whole]
        others = tuple(name for name in noted if not name.startswith(fleece.SINCE))
        with nbd.serve(self.place.stand, nbd.disk_node(path), noted) as served:
            changed = fleece.changed(served.local, disk, noted, layers=1)
            yield Offer(served.uri, served.local, disk.size, None, changed, others)

    def fetch(self, what: Image | DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Fill an image, or a stopped server's disk: with what it lacks, or else with all that its image lacks."""
        if isinstance(what, Image):
            return self.fetch_image(what, offer, progress)
        moved = self.fetch_disk(what, offer, progress)
        with self.lock():
            self.without_seeds(self.guest(what.server), what.disk.name)
        if what.bitmap is not None:
            nbd.add_bitmap(self.guest(what.server).files.disk(what.disk.name), what.bitmap)
        return moved

    def fetch_disk(self, what: DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Fill a stopped server's disk."""
        guest = self.guest(what.server)
        if guest.pid() is not None:
            raise CloudError(f"{self.name}: {what.server} runs; its disk cannot be filled")
        disk, path, mark = what.disk, guest.files.disk(what.disk.name), guest.files.mark(what.disk.name)
        lacking = offer.changed.get(mark.read_text()) if mark.exists() else None
        part = path.with_suffix(".part")
        if lacking is not None:
            moved = blocks.pull(self.place.stand.beside, offer.uri, lacking, part, progress)
            blocks.lay(part, path)
            blocks.merge(part)
        else:
            lacking = offer.changed.get(disk.blank, (Extent(Bytes(0), disk.size),))
            moved = blocks.pull(self.place.stand.beside, offer.uri, lacking, part, progress)
            if disk.image is None:
                blocks.lay(part)
            else:
                blocks.lay(part, self.store.base(disk.image), disk.image.format)
            mark.unlink(missing_ok=True)
            part.replace(path)
        if offer.mark is not None:
            mark.write_text(offer.mark)
        return moved

    def fetch_image(self, image: Image, offer: Offer, progress: Progress) -> Bytes:
        """Fill an image; nothing is left of one whose digest is wrong."""
        with self.lock():
            seeds.make_room(self.place, image.size)
        with self.store.incoming(image) as part:
            if part is None:
                return Bytes(0)
            moved = nbd.copy(offer.uri, part, progress, beside=self.place.stand.beside)
            os.truncate(part, image.size)
            if not has_digest(part, image.digest):
                raise TransferError(f"{self.name}: image {image.name} arrived with another digest than {image.digest}")
        return moved

    # Compute

    def create_server(self, cluster: Cluster, server: Server) -> Placement:
        """Make a stopped server."""
        return self.make(cluster, server, incoming=False).placement

    def start_server(self, name: str) -> None:
        """Boot a stopped server; nothing happens to one that runs."""
        guest = self.guest(name)
        if guest.record.incoming:
            raise CloudError(f"{self.name}: {name} waits for its memory; it cannot be booted")
        if guest.record.seeds and guest.pid() is None:
            guest = self.empty(guest)
        guest.boot(emulator(self.place.lab.cache))

    def stop_server(self, name: str) -> None:
        """Power a server off."""
        self.guest(name).power_off()

    def adopt_server(self, name: str, *, elsewhere: bool = False) -> None:
        """Record that a server is an ordinary one, and forget what a warm move has recorded of its disks.

        elsewhere: nothing needs to be done, the controller alone says to whom is delivered.
        """
        with self.lock():
            guest = self.guest(name)
            if elsewhere:
                return
            save(replace(guest.record, incoming=False, seeds=()), guest.files.record)
        fleece.forget(guest)
        nbd.sweep(self.place.stand)

    def delete_server(self, name: str, seed: str | None = None) -> None:
        """Remove a server, but for its disks if a seed is wanted."""
        with self.lock():
            record = load(files(self.place, name).record)
            guest = Guest(self.place, record) if record is not None else None
            if guest is not None and not (seed and seeds.keep(guest, seed)):
                guest.remove()
            shutil.rmtree(files(self.place, name).directory, ignore_errors=True)
        nbd.sweep(self.place.stand)

    def server_state(self, name: str) -> ServerState:
        """Ask the process, if there is one."""
        try:
            return self.guest(name).state()
        except NotFound:
            return ServerState.ABSENT

    # Hypervisor

    def monitor(self, name: str, *, claim: bool = False) -> Monitor:  # noqa: ARG002
        """Find the monitor of a server whose process lives. Nobody else commands a lab's servers."""
        self.require_hypervisor()
        guest = self.guest(name)
        if guest.pid() is None:
            raise NotFound(f"{self.name}: server {name} has no process")
        fleece.tidy(guest)
        return self.monitor_of(guest)

    def receive_server(self, cluster: Cluster, server: Server) -> Landing:
        """Make a server that waits for its memory; the same again finds it waiting, or makes it wait again."""
        self.require_hypervisor()
        guest = self.make(cluster, server, incoming=True)
        guest.boot(emulator(self.place.lab.cache))
        return Landing(
            monitor=self.monitor_of(guest),
            host=self.place.address,
            memory_port=guest.record.memory_port,
            nbd_port=guest.record.nbd_port,
            placement=guest.placement,
            seeds=frozenset(guest.record.seeds),
        )

    # Parts of the above

    def require_up(self) -> None:
        """Raise CloudUnreachable when the site was not brought up since this computer started."""
        if not self.place.is_up():
            raise CloudUnreachable(f"{self.name} is not up; run: intercloud lab up")

    def require_hypervisor(self) -> None:
        """Raise CloudError when this cloud is as a tenant sees it."""
        if Ability.HYPERVISOR not in self.allowed:
            raise CloudError(f"{self.name} gives no access to its hypervisor; move its servers warm or cold")

    def lock(self) -> AbstractContextManager[None]:
        """Hold what guards the site's records and its quota."""
        self.require_up()
        return locked(self.place.path / "lock")

    def guest(self, name: str) -> Guest:
        """Find a recorded server. Raises NotFound."""
        self.require_up()
        record = load(files(self.place, name).record)
        if record is None:
            raise NotFound(f"{self.name} has no server {name!r}")
        return Guest(self.place, record)

    def monitor_of(self, guest: Guest) -> Monitor:
        """Say where a guest's monitor is."""
        nodes = {disk.name: node(disk.name) for disk in guest.record.server.disks}
        return Monitor(str(guest.files.monitor), nodes, self.place.stand.beside, doors=guest.files.doors)

    def make(self, cluster: Cluster, server: Server, *, incoming: bool) -> Guest:
        """Record a server and make its files and devices; after an error nothing is left of it."""
        with self.lock():
            found = load(files(self.place, server.name).record)
            if found is not None and (found.server, found.incoming) == (server, incoming):
                guest = Guest(self.place, found)
                guest.make(self.store)
                return guest
            self.admit(server, found)
            used = {record.slot for record in self.records()}
            slot = next(slot for slot in range(len(used) + 1) if slot not in used)
            guest = Guest(self.place, Record(without_servers(cluster), server, slot, incoming))
            shutil.rmtree(guest.files.directory, ignore_errors=True)
            seeds.make_room(self.place, sum(disk.held or 0 for disk in server.disks), spared=server.name)
            try:
                if seeds.fits(self.place, server):
                    guest = Guest(self.place, replace(guest.record, seeds=tuple(disk.name for disk in server.disks)))
                    seeds.give(self.place, guest.record)
                else:
                    guest.files.directory.mkdir(parents=True)
                    save(guest.record, guest.files.record)
                guest.make(self.store)
            except CloudError:
                if guest.files.directory.exists():
                    guest.remove()
                raise
        return guest

    def empty(self, guest: Guest) -> Guest:
        """Make those kept disks of a stopped server anew that nobody has filled: it is not the server that left."""
        with self.lock():
            for disk in guest.record.seeds:
                guest.files.mark(disk).unlink(missing_ok=True)
                guest.files.disk(disk).unlink(missing_ok=True)
            guest.make(self.store)
            return self.without_seeds(guest, *guest.record.seeds)

    def without_seeds(self, guest: Guest, *disks: str) -> Guest:
        """Record that some disks of a server hold what they shall."""
        left = tuple(disk for disk in guest.record.seeds if disk not in disks)
        filled = replace(guest, record=replace(guest.record, seeds=left))
        if filled != guest:
            save(filled.record, guest.files.record)
        return filled

    def admit(self, server: Server, found: Record | None) -> None:
        """Raise what speaks against a new server here: an address, an image, the quota."""
        if found is not None:
            raise AddressTaken(f"{self.name}: there is another server {server.name}")
        if lines := self.taken(server):
            raise AddressTaken(f"{self.name}: {'; '.join(lines)}")
        for disk in server.disks:
            if disk.image is not None:
                self.store.base(disk.image)
        admit(self.name, server, *self.quota())
