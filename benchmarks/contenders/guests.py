"""Servers of a contender that runs QEMU by itself: the same guests from the same image, on the learning network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.segment import Segment
from benchmarks.stage import SOURCE, TARGET, Stage
from intercloud.clouds.lab import net, qmp
from intercloud.clouds.lab.emulator import emulator
from intercloud.clouds.lab.guest.drive import config_drive
from intercloud.clouds.lab.qemu import Files, command, identity
from intercloud.clouds.lab.spec import short_hash
from intercloud.clouds.run import find_process, inside, kill, run
from intercloud.model.server import Cluster, Server


def other(site: str) -> str:
    """Say where they go."""
    return TARGET if site == SOURCE else SOURCE


@dataclass
class Guests:
    """A fleet of processes. owner: of them, a short word; home: the site where they run."""

    stage: Stage
    segment: Segment
    fleet: Cluster
    owner: str
    home: str = SOURCE

    @property
    def client(self) -> str:
        """The namespace of who asks them."""
        return self.segment.client

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words that run a command there."""
        return self.segment.prefix

    def files(self, server: Server, site: str) -> Files:
        """Where a server's files at a site are."""
        return Files(Path(self.stage.place(site).path, self.owner, server.name))

    def tap(self, server: Server) -> str:
        """Name a server's device: the same at both sites, which are namespaces."""
        return f"b{short_hash(self.owner, server.name)}"

    def prepare(self, server: Server, site: str) -> Files:
        """Make a server's empty files and its device, plugged in, at a site."""
        files, place = self.files(server, site), self.stage.place(site)
        files.directory.mkdir(parents=True, exist_ok=True)
        store = self.stage.cloud(site).store
        for disk in server.disks:
            store.make_disk(files.disk(disk.name), disk)
        meta = {"name": server.name, "hostname": server.name, "uuid": identity(server.name)}
        config_drive(meta, server.metadata["user_data"], files.config)
        net.add_tap(place.namespace, self.tap(server), self.fleet.networks[0].mtu)
        self.segment.plug(site, self.tap(server))
        return files

    def boot(self, server: Server, site: str, *, incoming: bool) -> Files:
        """Start a server's process."""
        files = self.prepare(server, site)
        words = command(server, files, (self.tap(server),), emulator(self.stage.spec.cache), incoming=incoming)
        run(inside(self.stage.place(site).namespace, words))
        return files

    def remove(self, server: Server, site: str) -> None:
        """End a server's process at a site, and remove what it had there. Safe to repeat."""
        files = self.files(server, site)
        pid = find_process(files.pid, str(files.pid))
        if pid is not None:
            kill([pid])
        self.segment.unplug(site, self.tap(server))
        net.delete_link(self.stage.place(site).namespace, self.tap(server))
        run(["rm", "-rf", str(files.directory)])

    def up(self) -> None:
        """Boot all at the source."""
        self.home = SOURCE
        for server in self.fleet.servers:
            self.boot(server, SOURCE, incoming=False)

    def down(self) -> None:
        """Remove all."""
        for server in self.fleet.servers:
            for site in (SOURCE, TARGET):
                self.remove(server, site)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let them run meanwhile, with the network settings of a kernel that nobody has tuned."""
        self.tell("cont")
        self.segment.forget()
        try:
            with self.stage.untuned():
                yield
        finally:
            self.tell("stop")

    def tell(self, order: str) -> None:
        """Give an order to each process."""
        for server in self.fleet.servers:
            qmp.ask(self.files(server, self.home).own_monitor, order)
