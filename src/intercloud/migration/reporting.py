"""From what a run has noted to its report."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import intercloud
from intercloud.endpoints.result import ProbeResult
from intercloud.migration.notes import ServerNotes
from intercloud.migration.settle import Evidence
from intercloud.migration.world import BOOT_ID, Moving, World
from intercloud.model.limits import blackout_limit
from intercloud.model.report import (
    Environment,
    Mark,
    Report,
    ServerReport,
    ServerTimeline,
    Span,
    Status,
    Wan,
)
from intercloud.model.strategy import Catchup, Strategy
from intercloud.units import Bytes, Seconds

DEVICE_STATE = Bytes(250_000)
"""S: state of a small guest's devices, in bytes (0.25 MB with net, disk, serial and rng, measured)."""


def make_report(world: World, probe: ProbeResult | None, end: float, seen: Mapping[str, Evidence]) -> Report:
    """Write down how it went. end: time.monotonic() when the run ended; seen: where its servers stood in the end."""
    plan, notes = world.plan, world.notes
    started = _started(world)
    status = notes.ended or Status.FAILED
    message, findings = _outcome(world, status, seen)
    cutover = notes.cutover if world.committed else None
    return Report(
        run=plan.run,
        cluster=plan.cluster.name,
        source=plan.source,
        target=plan.target,
        started_at=plan.started_at or datetime.now(UTC),
        status=status,
        strategy=plan.strategy,
        message=message,
        migration_time_s=Seconds(end - started),
        environment=_environment(world),
        servers=tuple(_server(world, moving, probe) for moving in world.moving.values()),
        base_image_bytes=notes.image_bytes,
        wan_bytes=_crossed(world),
        split_window_s=_split_window(world),
        reconfiguration_s=Seconds(cutover.reconfiguration_s) if cutover else None,
        reconfiguration_per_switch_s=_seconds(cutover.per_switch_s) if cutover else {},
        barrier_rtt_s=_seconds(cutover.barrier_rtt_s) if cutover else {},
        probe=probe.report(Seconds(started)) if probe else None,
        timeline=tuple(_timeline(world, name, started) for name in world.moving),
        findings=findings,
        resumed=notes.resumed,
    )


def _started(world: World) -> float:
    """When the migration was asked for, on this machine's monotonic clock, even if it has been booted since."""
    if world.notes.boot == BOOT_ID.read_text().strip():
        return world.plan.started
    began = world.plan.started_at or datetime.now(UTC)
    return time.monotonic() - (datetime.now(UTC) - began).total_seconds()


def _outcome(world: World, status: Status, seen: Mapping[str, Evidence]) -> tuple[str, tuple[str, ...]]:
    """Say in one line how it ended, and in more what else is to be known."""
    plan, notes = world.plan, world.notes
    trouble = tuple(dict.fromkeys(notes.trouble))
    match status:
        case Status.COMPLETED:
            way = f"the way back: intercloud migrate --source {plan.target} --target {plan.source}"
            kept = ", ".join(name for name, server in notes.servers.items() if server.kept)
            back = f" ({plan.source} keeps the disks of {kept}: what changes from now on travels)" if kept else ""
            return f"{plan.cluster.name} runs at {plan.target}; {way}{back}", trouble
        case Status.ROLLED_BACK:
            why = notes.back or "stopped"
            return why, tuple(each for each in trouble if each != why)
        case Status.FAILED:
            again = f"when that is cured: intercloud migrations resume {plan.run} (compares again, then releases)"
            return trouble[-1] if trouble else "failed", (*trouble[:-1], again)
        case Status.NEEDS_OPERATOR:
            return f"{plan.run} needs the operator: what is where cannot be proven", _questions(world, seen)


def _questions(world: World, seen: Mapping[str, Evidence]) -> tuple[str, ...]:
    """Say what is known, what is not, and the commands that settle it either way."""
    plan = world.plan
    known = tuple(
        f"{name}: at {plan.source} {it.source}, at {plan.target} {it.target}, memory {it.memory}, disks {it.disks}, "
        f"flows to {it.flows}"
        for name, it in seen.items()
    )
    commands = (
        f"if it can be reached again: intercloud migrations resume {plan.run}",
        f"if the servers at {plan.source} are stopped for good: "
        f"intercloud migrations resume {plan.run} --stopped {plan.source}",
        f"if those at {plan.target} are: intercloud migrations rollback {plan.run} --stopped {plan.target}",
    )
    return (*known, *dict.fromkeys(world.notes.trouble), *commands)


def _seconds(figures: Mapping[str, float]) -> dict[str, Seconds]:
    return {name: Seconds(figure) for name, figure in figures.items()}


def _split_window(world: World) -> Seconds | None:
    """First source pause → last target resume."""
    stops = [world.notes.timeline.moment(name, "stopped") for name in world.moving]
    resumes = [world.notes.timeline.moment(name, "resumed") for name in world.moving]
    if None in stops or None in resumes:
        return None
    return Seconds(max(r for r in resumes if r) - min(s for s in stops if s))


def _gang_limit(world: World) -> Seconds | None:
    """What the link allows at best: all that the gang had dirty at the stop must cross it before any server runs."""
    dirty = 0
    for moving in world.moving.values():
        if not (moving.notes.last_sample and moving.notes.final_sample):
            return None
        if moving.notes.choice.catchup is Catchup.POSTCOPY:
            continue  # its memory follows after the switch
        dirty += moving.notes.final_sample.transferred - moving.notes.last_sample.transferred
    path = world.plan.path
    state = Bytes(DEVICE_STATE * len(world.moving))
    return blackout_limit(Bytes(dirty), state, path.rate, Seconds(path.rtt / 2), Seconds(0))


def _crossed(world: World) -> Bytes:
    servers = world.notes.servers.values()
    return Bytes(
        world.notes.image_bytes + sum(_sent(each) if each.crossed is None else each.crossed for each in servers)
    )


def _sent(notes: ServerNotes) -> Bytes:
    return Bytes(notes.sent + (notes.final_sample.transferred if notes.final_sample else 0))


def _server(world: World, moving: Moving, probe: ProbeResult | None) -> ServerReport:
    live = world.plan.strategy is Strategy.LIVE
    seen = probe.udp.get(moving.name) if probe else None
    limit = _gang_limit(world) if live else None
    final = moving.notes.final_sample
    return ServerReport(
        name=moving.name,
        strategy=moving.notes.choice.strategy,
        why=moving.notes.choice.why,
        bytes_sent=_sent(moving.notes),
        unique_bytes=Bytes(moving.notes.sent + moving.notes.first_round) if moving.notes.first_round else None,
        rounds=final.passes if final else None,
        blackout_s=seen.downtime if seen else None,
        hypervisor_downtime_s=final.downtime if final else None,
        limit_s=limit,
        ratio_to_limit=seen.downtime / limit if seen and limit else None,
        disk_digest_equal=moving.notes.digests_equal,
        disks=tuple(moving.notes.compared.values()),
    )


def _timeline(world: World, server: str, origin: float) -> ServerTimeline:
    return ServerTimeline(
        server,
        tuple(
            Span(name, Seconds(start - origin), Seconds(end - origin))
            for each, name, start, end in sorted(world.notes.timeline.phases, key=lambda phase: phase[2])
            if each == server
        ),
        tuple(
            Mark(what, Seconds(at - origin))
            for each, what, at in sorted(world.notes.timeline.marks, key=lambda mark: mark[2])
            if each == server
        ),
    )


def _environment(world: World) -> Environment:
    path = world.plan.path
    return Environment(
        accelerator=world.notes.facts.get("accelerator", "unknown"),
        wan=Wan(path.rate, path.rtt, path.mtu),
        tunnel=world.plan.tunnel,
        load=world.notes.load or os.getloadavg(),
        cpus=os.cpu_count() or 1,
        versions={
            "intercloud": intercloud.__version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            **{name: text for name, text in world.notes.facts.items() if name != "accelerator"},
        },
        revision=_revision(),
    )


def _revision() -> str | None:
    """Return the git revision that runs, when it runs from a checkout."""
    folder = Path(intercloud.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout.strip() or None
