"""Intercloud itself, by its command line, as its users run it; live, warm or cold."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.chaos.house import Move
from benchmarks.harness import Failed
from benchmarks.result import Measured, Span
from benchmarks.stage import SOURCE, TARGET, Stage
from benchmarks.watch import watch
from intercloud.bootstrap.lab import register, wait_for_application
from intercloud.clouds.lab import qmp
from intercloud.clouds.lab.server import files
from intercloud.clouds.port import ServerState
from intercloud.model.report import Report, Status, from_json
from intercloud.model.server import Cluster

LONGEST = 300.0
"""Seconds for one move."""
PROGRAM = (sys.executable, "-m", "intercloud.cli.main")
KILLED_SETTINGS = {"command": "migrate, killed when memory is under way, without a guard; then at once: resume"}


class Fleet:
    """Servers in the lab's clouds. They run only while they are awake."""

    def __init__(self, stage: Stage, fleet: Cluster, owner: str = "ours") -> None:
        self.stage, self.fleet, self.owner = stage, fleet, owner

    @property
    def client(self) -> str:
        """The namespace of who asks them."""
        return self.stage.client

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words that run a command there."""
        return self.stage.prefix

    def up(self) -> None:
        """Boot all at the source."""
        cloud = self.stage.cloud(SOURCE)
        with self.stage.control() as control:
            for server in self.fleet.servers:
                placement = cloud.create_server(self.fleet, server)
                cloud.start_server(server.name)
                register(server.name, server.nics[0], placement, control)

    def down(self) -> None:
        """Delete all, wherever they are, and what is on record of their moves: one that has not ended forbids more."""
        for server in self.fleet.servers:
            for site in (SOURCE, TARGET):
                self.stage.cloud(site).delete_server(server.name)
        with self.stage.control() as control:
            control.drop(endpoints=[nic.mac for server in self.fleet.servers for nic in server.nics])
        for record in self.stage.settings.migration.state.glob("runs.sqlite*"):
            record.unlink()

    def home(self) -> str:
        """Say where they are."""
        name = self.fleet.servers[0].name
        return next(
            site for site in (SOURCE, TARGET) if self.stage.cloud(site).server_state(name) is not ServerState.ABSENT
        )

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let them run meanwhile."""
        self.tell("cont")
        try:
            yield
        finally:
            self.tell("stop")

    def tell(self, order: str) -> None:
        """Give an order to each process."""
        for path, _ in self.monitors():
            qmp.ask(path, order)

    def monitors(self) -> Iterator[tuple[Path, int]]:
        """Give each server's socket of orders, and the bytes of its memory."""
        for site in (SOURCE, TARGET):
            for server in self.fleet.servers:
                if self.stage.cloud(site).server_state(server.name) in (ServerState.RUNNING, ServerState.PAUSED):
                    yield files(self.stage.place(site), server.name).own_monitor, server.memory


@dataclass(frozen=True)
class Way:
    """How it is used. words: more of the command line; migration, probe: what is different in these settings."""

    words: Sequence[str] = ()
    migration: Mapping[str, bool] = field(default_factory=dict)
    probe: Mapping[str, bool] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, str]:
        """As they are written down."""
        changed = json.dumps({"migration": dict(self.migration)}) if self.migration else ""
        return {"command": " ".join(("migrate", *self.words, changed)).strip()}

    def configure(self, stage: Stage) -> Path:
        """Write a configuration; returns its path."""
        found = json.loads(stage.config.read_text())
        found["migration"] |= self.migration
        found["probe"] = dict(self.probe)
        path = stage.config.with_name("way.json")
        path.write_text(json.dumps(found))
        return path


def mover(fleet: Fleet, way: Way) -> Callable[[], Measured]:
    """Give the operation: one move, to wherever they are not."""
    return partial(_move, fleet, way)


def _move(fleet: Fleet, way: Way) -> Measured:
    config = way.configure(fleet.stage)
    with fleet.awake():
        wait_for_application(fleet.prefix, fleet.fleet)
        command = [*_command(fleet), "--output", "json", "--quiet", "--config", str(config), *way.words]
        return read(_report(subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)))


def _command(fleet: Fleet) -> Sequence[str]:
    source = fleet.home()
    target = TARGET if source == SOURCE else SOURCE
    return [*PROGRAM, "migrate", "--source", source, "--target", target, "--cluster", fleet.fleet.name]


def _report(done: "subprocess.CompletedProcess[str]") -> Report:
    if not done.stdout.startswith("{"):
        raise Failed(done.stderr.strip().rpartition("\n")[2])
    report = from_json(done.stdout)
    if report.status is not Status.COMPLETED:
        raise Failed(f"{report.status}: {report.message}", read(report))
    return report


UNATTENDED = Way(migration={"guard": False}, probe={"enabled": False})


def killed(fleet: Fleet, phase: str) -> Callable[[], Measured]:
    """Give another operation: the same, killed when a phase has begun, and gone on with at once."""
    return partial(_killed, fleet, phase)


def _killed(fleet: Fleet, phase: str) -> Measured:
    config = UNATTENDED.configure(fleet.stage)
    reports: list[Report] = []
    took: list[float] = []

    def act() -> None:
        began = time.monotonic()
        move = Move([*_command(fleet), "--output", "json", "--config", str(config)])
        begun = move.wait_phase(phase)
        move.kill()
        move.end()
        if not begun:
            raise Failed(f"it ended before {phase}: {move.lines[-2:]}")
        words = [*PROGRAM, "resume", "--output", "json", "--quiet", "--config", str(config)]
        reports.append(_report(subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False)))
        took.append(time.monotonic() - began)

    with fleet.awake():
        wait_for_application(fleet.prefix, fleet.fleet)
        seen = watch(fleet.prefix, fleet.fleet, act)
    found = read(reports[0])
    return Measured({**found.figures, **seen.figures, "migration_s": took[0]}, {"blackout_s": seen.blackouts})


def read(report: Report) -> Measured:
    """Take what is compared from a report."""
    servers = report.servers
    figures: dict[str, float | None] = {
        "migration_s": report.migration_time_s,
        "split_s": report.split_window_s,
        "reconfiguration_s": report.reconfiguration_s,
        "rtt_s": report.environment.wan.rtt_s,
        "rate_bit_s": report.environment.wan.rate_bit_s,
        "limit_s": servers[0].limit_s,
        "sent_bytes": report.wan_bytes,
        "unique_bytes": _sum(server.unique_bytes for server in servers),
        "rounds": max((server.rounds or 0 for server in servers), default=0) or None,
        "transfer_s": _transfer(report),
    }
    ratios = [
        time / report.barrier_rtt_s[site]
        for site, time in report.reconfiguration_per_switch_s.items()
        if report.barrier_rtt_s.get(site)
    ]
    figures["ratio_to_barrier"] = max(ratios, default=None)
    blackouts = tuple(server.blackout_s for server in servers if server.blackout_s is not None)
    if report.probe:
        probe = report.probe
        gaps = [each.downtime_s for each in (probe.udp, probe.tcp, probe.http) if each]
        figures |= {
            "blackout_s": probe.udp.downtime_s,
            "worst_gap_s": max(gaps),
            "lost": probe.udp.lost,
            "duplicated": probe.udp.duplicated,
            "tcp_broken": probe.tcp.broken if probe.tcp else None,
            "http_failed": probe.http.failed if probe.http else None,
            "writes_lost": probe.writes.lost if probe.writes else None,
            "late_s": probe.late_s,
        }
    spans = tuple(
        Span(line.server, phase.phase, phase.start_s, phase.end_s) for line in report.timeline for phase in line.phases
    )
    return Measured(
        {name: float(value) for name, value in figures.items() if value is not None},
        {"blackout_s": blackouts} if blackouts else {},
        spans,
    )


def _sum(values: Iterator[int | None]) -> int | None:
    found = list(values)
    return None if None in found else sum(value or 0 for value in found)


def _transfer(report: Report) -> float | None:
    """From the first byte of a disk or a memory until the last server runs at the target."""
    begins = [span.start_s for line in report.timeline for span in line.phases if span.phase in ("disks", "memory")]
    ends = [mark.at_s for line in report.timeline for mark in line.marks if mark.what == "resumed"]
    return max(ends) - min(begins) if begins and ends else None
