"""What a run writes down after each turn: for its report, and for whoever goes on with it.

Never a secret, and nothing that can be looked up in the clouds. Records are read back by every later version
(tests/golden), so fields are only ever added, each with a default.
"""

from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter

from intercloud.control.client import Cutover
from intercloud.endpoints.health import ClusterHealth
from intercloud.migration.settle import Commit
from intercloud.migration.timeline import Timeline
from intercloud.model.report import DiskReport, Status
from intercloud.model.strategy import Choice
from intercloud.transfer.memory import MemorySample
from intercloud.units import Bytes


@dataclass
class ServerNotes:
    """One server. sent: bytes of disks over the WAN; first_round: bytes of memory that had to cross once.

    last_sample: of the last moment before the stop; final_sample: when all had arrived. compared: disk → how both sides
    compare. proven: its disks at the target are proven to be those of the stopped source (cold, warm). booted: it had
    to be booted on the way. warm: its disks have been copied while it ran, in all the rounds that are worth it. kept:
    the source has kept its disks as a seed. crossed: bytes that the channel that begins at it has sent, 0 for others in
    that; None: it is in none.
    """

    choice: Choice
    sent: Bytes = Bytes(0)
    first_round: Bytes = Bytes(0)
    last_sample: MemorySample | None = None
    final_sample: MemorySample | None = None
    compared: dict[str, DiskReport] = field(default_factory=dict)
    proven: bool = False
    booted: bool = False
    warm: bool = False
    kept: bool = False
    crossed: Bytes | None = None

    @property
    def digests_equal(self) -> bool | None:
        """Whether all its disks that were compared are equal; None when none was."""
        return all(disk.equal for disk in self.compared.values()) if self.compared else None


@dataclass
class Notes:
    """One run. back: why it goes back, None while it goes on. boot: of the machine whose clock the times are from.

    trouble: what failed, in order. landings: how often places at the target were made. ended: how the run ended.
    """

    servers: dict[str, ServerNotes]
    boot: str
    timeline: Timeline = field(default_factory=Timeline)
    commit: Commit = Commit.NO
    verified: bool = False
    back: str | None = None
    trouble: list[str] = field(default_factory=list)
    landings: int = 0
    fetched: list[str] = field(default_factory=list)
    image_bytes: Bytes = Bytes(0)
    cutover: Cutover | None = None
    load: tuple[float, float, float] | None = None
    facts: dict[str, str] = field(default_factory=dict)
    before: ClusterHealth | None = None
    resumed: int = 0
    ended: Status | None = None


@dataclass
class Record:
    """One turn as it is recorded: what was done, why, how it failed (None: it did not), and the notes after it."""

    action: str
    servers: tuple[str, ...]
    why: str
    error: str | None
    notes: Notes
    version: int = 1

    def to_json(self) -> str:
        """Write it for the run's record."""
        return _adapter().dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> "Record":
        """Read what to_json wrote, in this version or in any before."""
        return _adapter().validate_json(text)


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)
