"""What one migration works on: both clouds, the control layer, and what has been learnt so far."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from intercloud.clouds.port import Cloud, Landing, Monitor, Progress, ServerState
from intercloud.control.client import ControlClient
from intercloud.endpoints.health import Vantage, differences
from intercloud.errors import CloudUnreachable, ControlError, Interrupted, NotFound
from intercloud.migration.archive import Archive
from intercloud.migration.notes import Notes, ServerNotes
from intercloud.migration.plan import Plan
from intercloud.migration.settle import Commit, Run
from intercloud.model.digests import BlockDigests, Copies
from intercloud.model.progress import PhaseChange, ProgressSink, ServerProgress
from intercloud.model.server import Server
from intercloud.model.site import Placement
from intercloud.model.strategy import Catchup, Choice
from intercloud.transfer.memory import Memory
from intercloud.transfer.mirror import Mirror
from intercloud.transfer.qmp import Qmp
from intercloud.units import Bytes

R = TypeVar("R")
T = TypeVar("T")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class Moving:
    """One server on its way. Its monitors are found when they are needed, and again when they were lost."""

    server: Server
    notes: ServerNotes
    source: "Side"
    target: "Side"
    plan: Plan
    digests: dict[str, BlockDigests] = field(default_factory=dict)
    """Of the source's disks, taken while they were copied; lost with the program."""
    copies: dict[str, Copies] = field(default_factory=dict)
    """Of both sides of disks that follow in rounds; lost with the program."""

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    @property
    def memory(self) -> Memory:
        """Its memory, from one hypervisor to the other."""
        return Memory(self.source.qmp, self.target.qmp)

    @property
    def memory_at_source(self) -> Memory:
        """The same, for what needs no target."""
        return Memory(self.source.qmp, self.source.qmp)

    @property
    def mirror(self) -> Mirror:
        """The mirrors of its disks."""
        return Mirror(self.source.qmp, self.target.qmp, self.server.disks, self.source.monitor)

    @property
    def whole(self) -> Server:
        """The server with its metadata and its volumes': the record of a run leaves them out, its source has them.

        Raises NotFound when the source has released it, CloudUnreachable.
        """
        if self.server.metadata:
            return self.server
        here = self.source.cloud.cluster(self.plan.cluster.name).subset(frozenset({self.name})).servers
        if not here:
            raise NotFound(
                f"{self.name} is not at {self.plan.source} any more, and what it is told at boot is not known"
            )
        volumes = {disk.name: disk.volume for disk in here[0].disks}
        disks = tuple(replace(disk, volume=volumes.get(disk.name, disk.volume)) for disk in self.server.disks)
        return replace(self.server, metadata=here[0].metadata, disks=disks)

    def landing(self) -> Landing:
        """Find its place at the target, or make it."""
        return self.target.cloud.receive_server(self.plan.cluster, self.whole)

    def create(self) -> Placement:
        """Find it at the target, stopped, or make it there."""
        return self.target.cloud.create_server(self.plan.cluster, self.whole)

    def choose(self, catchup: Catchup, why: str) -> None:
        """Note what is done about its writing, and why."""
        first = self.plan.choices[self.name]
        self.notes.choice = Choice(first.strategy, f"{first.why}; {why}", catchup)


@dataclass
class Side:
    """A server at one of the two clouds, and its hypervisor's monitor there."""

    cloud: Cloud
    name: str
    _monitor: Qmp | None = None
    _where: Monitor | None = None

    @property
    def monitor(self) -> Monitor:
        """Where its monitor is: the same as long as it is open. Raises NotFound when it has no process."""
        if self._where is None or self._monitor is None or not self._monitor.open:
            self._where = self.cloud.monitor(self.name)
        return self._where

    @property
    def qmp(self) -> Qmp:
        """Its open monitor. Raises NotFound or MonitorError."""
        if self._monitor is None or not self._monitor.open:
            self.close()
            self._monitor = Qmp(self.monitor.path, f"{self.name} at {self.cloud.about().name}")
        return self._monitor

    def has_process(self) -> bool:
        """Whether a process of it lives there."""
        return self.cloud.server_state(self.name) not in (ServerState.ABSENT, ServerState.STOPPED)

    def close(self) -> None:
        """Leave the monitor."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = self._where = None


@dataclass
class World:
    """The context of a run. stop: set when the user asks to stop; vantage: where the application's clients are."""

    plan: Plan
    source: Cloud
    target: Cloud
    control: ControlClient
    say: ProgressSink
    archive: Archive
    vantage: Vantage | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    vouched: Collection[str] = ()
    """Names of clouds of which the operator says: the servers of this run there are stopped for good."""
    notes: Notes = field(init=False)
    moving: dict[str, Moving] = field(init=False)

    def __post_init__(self) -> None:
        choices = self.plan.choices
        self.recall(Notes({name: ServerNotes(choice) for name, choice in choices.items()}, BOOT_ID.read_text().strip()))
        self.moving = {
            server.name: Moving(
                server,
                self.notes.servers[server.name],
                Side(self.source, server.name),
                Side(self.target, server.name),
                self.plan,
            )
            for server in self.plan.cluster.servers
        }

    def recall(self, notes: Notes) -> None:
        """Take over what a turn has left."""
        self.notes = notes
        for name, moving in getattr(self, "moving", {}).items():
            moving.notes = notes.servers[name]

    def close(self) -> None:
        """Leave all monitors; the servers go on as they are."""
        for moving in self.moving.values():
            moving.source.close()
            moving.target.close()

    @property
    def run(self) -> Run:
        """What the table must know of the run."""
        back = self.notes.back is not None
        try:
            images = any(self.target.find_image(digest) is None for digest in self.plan.images)
        except CloudUnreachable:
            images = False  # nothing lands there now
        return Run(self.plan.strategy, back, self.notes.commit, self.notes.verified, images)

    @property
    def committed(self) -> bool:
        """Whether the point of no return has been crossed."""
        return self.notes.commit is Commit.YES

    @property
    def here(self) -> str:
        """Name of the source's site."""
        return self.plan.sites[0] if self.plan.sites else self.source.about().site.name

    @property
    def there(self) -> str:
        """Name of the target's site."""
        return self.plan.sites[1] if self.plan.sites else self.target.about().site.name

    def is_lost(self, side: Side) -> bool:
        """Whether a server's cloud is one that the operator has given up, and really does not tell."""
        if (self.plan.source if side.cloud is self.source else self.plan.target) not in self.vouched:
            return False
        try:
            side.cloud.server_state(side.name)
        except CloudUnreachable:
            return True
        return False

    @contextmanager
    def giving_up(self, cloud: str) -> Iterator[None]:
        """Leave what cannot be done at a cloud that the operator has given up, and say so."""
        try:
            yield
        except (CloudUnreachable, ControlError) as error:
            if cloud not in self.vouched:
                raise
            left = f"{cloud} was given up ({error}); what this move has there is left: delete it before it is started"
            self.notes.trouble.append(left)

    def unplug(self, moving: Moving, cloud: str) -> None:
        """Take a server's cards off the network at one of the two clouds. Safe to repeat."""
        site = self.here if cloud == self.plan.source else self.there
        for nic in moving.server.nics:
            with self.giving_up(cloud):
                self.control.unplug(nic.mac, site)

    def macs_of(self, servers: Iterable[str]) -> tuple[str, ...]:
        """MAC addresses of all cards of some servers."""
        return tuple(nic.mac for name in servers for nic in self.moving[name].server.nics)

    def plug_target(self, placement: Placement) -> None:
        """Plug those of a server's cards at the target that are not plugged there yet."""
        endpoints = self.control.registry().endpoints
        for mac, port in placement.ports.items():
            if mac not in endpoints or endpoints[mac].ports.get(self.there) != port:
                self.control.plug(mac, self.there, port)

    def announce(self) -> None:
        """Let the clouds' fabrics find servers that have just begun to run; the controller does so by itself, later."""
        with suppress(ControlError):
            self.control.announce()

    def enter(self, name: str, number: int, count: int) -> None:
        """Tell the user what begins."""
        self.say(PhaseChange(name, number, count, time.monotonic()))

    def go_on(self) -> None:
        """Raise Interrupted when the user asked to stop, and that can still be done."""
        if self.stop.is_set() and not self.committed and self.notes.back is None:
            raise Interrupted("stopped by the user")

    def each(self, act: Callable[[Moving], R], servers: Iterable[str]) -> list[R]:
        """Do something for several servers at the same time; all have ended when the first error is raised."""
        return together(act, [self.moving[name] for name in servers])

    def landings(self) -> Mapping[str, Landing]:
        """Find every server's place at the target."""
        return dict(zip(self.moving, self.each(Moving.landing, self.moving), strict=True))

    def progress(self, server: str, phase: str, total: int) -> Progress:
        """Return a callback that tells how far one server's phase is, and stops it when the user asked for that."""

        def tell(done: Bytes) -> None:
            self.go_on()
            self.say(ServerProgress(server, phase, done, Bytes(max(total, done)), time.monotonic()))

        return tell

    def look_at_application(self) -> None:
        """Remember how the application is before anything is changed."""
        if self.vantage is not None:
            self.notes.before = self.vantage.look(self._addresses(), self.plan.cluster.health)

    def check_application(self, same_boot: bool) -> tuple[str, ...]:
        """Ask the application through its static endpoints: one line for each thing that is not as it was before.

        same_boot: the servers must not have booted since.
        """
        if self.vantage is None or self.notes.before is None:
            return ()
        after = self.vantage.look(self._addresses(), self.plan.cluster.health)
        return differences(self.notes.before, after, same_boot)

    def _addresses(self) -> dict[str, str]:
        return {server.name: server.nics[0].ip for server in self.plan.cluster.servers}


def together(act: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """Do something for several things at the same time; all have ended when the first error is raised."""
    things = list(things)
    with ThreadPoolExecutor(max(1, len(things)), thread_name_prefix="server") as pool:
        futures = [pool.submit(act, each) for each in things]
    return [future.result() for future in futures]
