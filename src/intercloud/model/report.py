"""The report of one migration: the values behind --report, the HTML page and the terminal's table.

The names are the JSON's names, and docs/report.schema.json is made from them. Times are seconds (`_s`), sizes bytes,
rates bits a second (`_bit_s`). Every time in it counts from `started_at`. A figure that does not apply is null.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter

from intercloud.units import BitsPerSecond, Bytes, Seconds

VERSION = 1


class Status(StrEnum):
    """How a migration ended."""

    COMPLETED = "completed"
    """The cluster runs at the target, verified; the source is released."""
    ROLLED_BACK = "rolled-back"
    """The cluster runs on at the source, as before; the target is clean."""
    FAILED = "failed"
    """The cluster runs at the target, and is not what it was; the source keeps its copy."""
    NEEDS_OPERATOR = "needs-operator"
    """What is where cannot be proven: `message` and `findings` say what is known, what is not, and how to go on."""


@dataclass(frozen=True)
class DiskReport:
    """One disk, compared on both sides block by block.

    written: blocks that the target had written since the switchover, which cannot be compared. root_at_source,
    root_at_target: one digest for all other blocks (BLAKE3, hexadecimal; model/evidence.py says of what).
    """

    name: str
    blocks: int
    written: int
    root_at_source: str
    root_at_target: str
    equal: bool


@dataclass(frozen=True)
class ServerReport:
    """One server's move.

    why: why this strategy. bytes_sent: of disks and memory, before they are compressed; unique_bytes: those that had
    to cross once. rounds: passes of pre-copy. blackout_s: seen by the probe of this server;
    hypervisor_downtime_s: QEMU's own figure, taken at the source, never to be published as downtime. limit_s: shortest
    blackout that the link allows without compression.
    """

    name: str
    strategy: str
    why: str
    bytes_sent: Bytes
    unique_bytes: Bytes | None = None
    rounds: int | None = None
    blackout_s: Seconds | None = None
    hypervisor_downtime_s: Seconds | None = None
    limit_s: Seconds | None = None
    ratio_to_limit: float | None = None
    disk_digest_equal: bool | None = None
    disks: tuple[DiskReport, ...] = ()


@dataclass(frozen=True)
class UdpProbe:
    """UDP echoes of all servers. downtime_s: of the server that was silent longest; error_s: ± of the method."""

    sent: int
    lost: int
    duplicated: int
    downtime_s: Seconds
    error_s: Seconds
    brownout_s: Seconds


@dataclass(frozen=True)
class TcpProbe:
    """One long TCP stream. broken: connections that were reset, closed or answered wrongly."""

    broken: int
    downtime_s: Seconds
    error_s: Seconds


@dataclass(frozen=True)
class HttpProbe:
    """Requests through the whole application. failed: refused, timed out or answered with an error."""

    sent: int
    failed: int
    downtime_s: Seconds
    error_s: Seconds


@dataclass(frozen=True)
class Writes:
    """Records that the application acknowledged, and those of them that it no longer has (null: not known)."""

    acknowledged: int
    lost: int | None


@dataclass(frozen=True)
class Gap:
    """A time in which an answer was due and none came."""

    start_s: Seconds
    end_s: Seconds


@dataclass(frozen=True)
class Stream:
    """The longest gaps of one stream of probes, in order of time. interval_s: between two probes."""

    name: str
    interval_s: Seconds
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Probe:
    """What clients saw from start_s to end_s. late_s: longest time by which the prober itself was late."""

    udp: UdpProbe
    tcp: TcpProbe | None
    http: HttpProbe | None
    writes: Writes | None
    start_s: Seconds
    end_s: Seconds
    late_s: Seconds
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True)
class Wan:
    """The path between source and target. rate_bit_s, rtt_s, mtu: measured; delay_s (one way), loss (0..1): as set."""

    rate_bit_s: BitsPerSecond
    rtt_s: Seconds
    mtu: int
    delay_s: Seconds | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Environment:
    """Where the figures were measured. load: the machine's load average over 1, 5 and 15 minutes."""

    accelerator: str
    wan: Wan
    tunnel: str
    load: tuple[float, float, float]
    cpus: int
    versions: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None


@dataclass(frozen=True)
class Span:
    """One phase of one server."""

    phase: str
    start_s: Seconds
    end_s: Seconds


@dataclass(frozen=True)
class Mark:
    """One moment of one server: 'stopped', 'flows changed', 'resumed'."""

    what: str
    at_s: Seconds


@dataclass(frozen=True)
class ServerTimeline:
    """What was done with one server, in order of time."""

    server: str
    phases: tuple[Span, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Report:
    """One migration.

    split_window_s: first source pause → last target resume. reconfiguration_s: first flow message → last barrier reply.
    migration_time_s: request → source released. barrier_rtt_s: what a bare barrier takes, per site's switch.
    wan_bytes: crossed the WAN in all: base images, disks, memory, as compressed as they were.
    base_image_bytes: of base images over the WAN, sent once for the whole cluster. resumed: how often another process
    went on with it.
    """

    run: str
    cluster: str
    source: str
    target: str
    started_at: datetime
    status: Status
    strategy: str
    message: str
    migration_time_s: Seconds
    environment: Environment
    servers: tuple[ServerReport, ...]
    base_image_bytes: Bytes = Bytes(0)
    wan_bytes: Bytes | None = None
    split_window_s: Seconds | None = None
    reconfiguration_s: Seconds | None = None
    reconfiguration_per_switch_s: Mapping[str, Seconds] = field(default_factory=dict)
    barrier_rtt_s: Mapping[str, Seconds] = field(default_factory=dict)
    probe: Probe | None = None
    timeline: tuple[ServerTimeline, ...] = ()
    findings: tuple[str, ...] = ()
    resumed: int = 0
    version: int = VERSION

    @property
    def sent_bytes(self) -> Bytes:
        """All that was sent, before it was compressed."""
        return Bytes(self.base_image_bytes + sum(server.bytes_sent for server in self.servers))


def short_root(root: str) -> str:
    """As much of a root as people compare by eye."""
    return root[:16]


_REPORT = TypeAdapter(Report)


def to_json(report: Report) -> str:
    """Write a report as it is stored."""
    return _REPORT.dump_json(report, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Report:
    """Read a stored report. Raises ValueError, naming each field that is wrong."""
    return _REPORT.validate_json(text)


def schema() -> str:
    """Describe the JSON, as stored in docs/report.schema.json."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of one migration"}
    return json.dumps(head | _REPORT.json_schema(mode="serialization"), indent=2) + "\n"
