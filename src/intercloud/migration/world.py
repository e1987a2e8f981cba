"""What the steps of one migration work on: both clouds, the control layer, and what has been learnt so far."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from intercloud.clouds.port import Cloud, Landing, Progress
from intercloud.control.client import ControlClient, Cutover
from intercloud.errors import Interrupted
from intercloud.migration.archive import Archive
from intercloud.migration.plan import Plan
from intercloud.migration.timeline import Timeline
from intercloud.model.evidence import BlockDigests
from intercloud.model.progress import PhaseChange, ProgressSink, ServerProgress
from intercloud.model.report import DiskReport
from intercloud.model.server import Server
from intercloud.model.site import Placement
from intercloud.model.strategy import Catchup, Choice
from intercloud.transfer.memory import Memory, MemorySample
from intercloud.transfer.mirror import Mirror
from intercloud.transfer.qmp import Qmp
from intercloud.units import Bytes

R = TypeVar("R")
T = TypeVar("T")


@dataclass
class Moving:
    """One server on its way. The monitors are open while the run lasts.

    sent: bytes of disks over the WAN; first_round: bytes of memory that had to cross once; last_sample: of the last
    moment before the stop; final_sample: when all had arrived. digests: of the source's disks, taken while they were
    copied; compared: disk → how both sides compare.
    """

    server: Server
    choice: Choice
    landing: Landing | None = None
    placement: Placement | None = None
    source: Qmp | None = None
    target: Qmp | None = None
    nodes: dict[str, str] = field(default_factory=dict)
    mirror: Mirror | None = None
    memory: Memory | None = None
    sent: Bytes = Bytes(0)
    first_round: Bytes = Bytes(0)
    last_sample: MemorySample | None = None
    final_sample: MemorySample | None = None
    digests: dict[str, BlockDigests] = field(default_factory=dict)
    compared: dict[str, DiskReport] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    @property
    def digests_equal(self) -> bool | None:
        """Whether all its disks that were compared are equal; None when none was."""
        return all(disk.equal for disk in self.compared.values()) if self.compared else None

    def choose(self, catchup: Catchup, why: str) -> None:
        """Note what is done about its writing, and why."""
        self.choice = Choice(self.choice.strategy, f"{self.choice.why}; {why}", catchup)


@dataclass
class World:
    """The context of a run. committed: the point of no return has been crossed."""

    plan: Plan
    source: Cloud
    target: Cloud
    control: ControlClient
    say: ProgressSink
    check_application: Callable[[bool], tuple[str, ...]]
    """Asks the application through its static endpoints: one line for each thing that is not as it was before. With
    True the servers must not have booted since."""
    archive: Archive
    committed: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    timeline: Timeline = field(default_factory=Timeline)
    moving: dict[str, Moving] = field(default_factory=dict)
    cutover: Cutover | None = None
    fetched: list[str] = field(default_factory=list)
    image_bytes: Bytes = Bytes(0)
    load: tuple[float, float, float] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    """For the report's environment: accelerator, versions."""
    _open: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.moving = {s.name: Moving(s, self.plan.choices[s.name]) for s in self.plan.cluster.servers}

    def __enter__(self) -> "World":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def here(self) -> str:
        """Name of the source's site."""
        return self.source.about().site.name

    @property
    def there(self) -> str:
        """Name of the target's site."""
        return self.target.about().site.name

    @property
    def macs(self) -> tuple[str, ...]:
        """MAC addresses of all cards of all servers."""
        return tuple(nic.mac for moving in self.moving.values() for nic in moving.server.nics)

    def enter(self, name: str, number: int, count: int) -> None:
        """Tell the user which step begins."""
        self.say(PhaseChange(name, number, count, time.monotonic()))

    def connect(self, path: str, name: str) -> Qmp:
        """Open a hypervisor's monitor for the rest of the run."""
        return self._open.enter_context(Qmp(path, name))

    def go_on(self) -> None:
        """Raise Interrupted when the user asked to stop."""
        if self.stop.is_set() and not self.committed:
            raise Interrupted("stopped by the user")

    def each(self, act: Callable[[Moving], R]) -> list[R]:
        """Do something for every server at the same time; all have ended when the first error is raised."""
        return together(act, self.moving.values())

    def progress(self, server: str, phase: str, total: int) -> Progress:
        """Return a callback that tells how far one server's phase is, and stops it when the user asked for that."""

        def tell(done: Bytes) -> None:
            self.go_on()
            self.say(ServerProgress(server, phase, done, Bytes(max(total, done)), time.monotonic()))

        return tell


def together(act: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """Do something for several things at the same time; all have ended when the first error is raised."""
    things = list(things)
    with ThreadPoolExecutor(max(1, len(things)), thread_name_prefix="server") as pool:
        futures = [pool.submit(act, each) for each in things]
    return [future.result() for future in futures]
