"""From what a run has noted to its report."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import intercloud
from intercloud.endpoints.result import ProbeResult
from intercloud.migration.request import Request
from intercloud.migration.world import Moving, World
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


def make_report(
    request: Request, world: World, probe: ProbeResult | None, end: float, error: Exception | None
) -> Report:
    """Write down how it went. end: time.monotonic() when the run ended; error: what ended it early."""
    plan = world.plan
    status = Status.COMPLETED if error is None else Status.FAILED if world.committed else Status.ROLLED_BACK
    message = str(error) if error else f"{plan.cluster.name} runs at {plan.target}"
    cutover = world.cutover if world.committed else None
    return Report(
        run=plan.run,
        cluster=plan.cluster.name,
        source=plan.source,
        target=plan.target,
        started_at=request.started_at,
        status=status,
        strategy=plan.strategy,
        message=message,
        migration_time_s=Seconds(end - request.started),
        environment=_environment(world),
        servers=tuple(_server(world, moving, probe) for moving in world.moving.values()),
        base_image_bytes=world.image_bytes,
        split_window_s=_split_window(world),
        reconfiguration_s=Seconds(cutover.reconfiguration_s) if cutover else None,
        reconfiguration_per_switch_s=_seconds(cutover.per_switch_s) if cutover else {},
        barrier_rtt_s=_seconds(cutover.barrier_rtt_s) if cutover else {},
        probe=probe.report(Seconds(request.started)) if probe else None,
        timeline=tuple(_timeline(world, name, request.started) for name in world.moving),
        findings=tuple(getattr(error, "__notes__", ())),
    )


def _seconds(figures: Mapping[str, float]) -> dict[str, Seconds]:
    return {name: Seconds(figure) for name, figure in figures.items()}


def _split_window(world: World) -> Seconds | None:
    """First source pause → last target resume."""
    stops = [world.timeline.moment(name, "stopped") for name in world.moving]
    resumes = [world.timeline.moment(name, "resumed") for name in world.moving]
    if None in stops or None in resumes:
        return None
    return Seconds(max(r for r in resumes if r) - min(s for s in stops if s))


def _gang_limit(world: World) -> Seconds | None:
    """What the link allows at best: all that the gang had dirty at the stop must cross it before any server runs."""
    dirty = 0
    for moving in world.moving.values():
        if not (moving.last_sample and moving.final_sample):
            return None
        if moving.choice.catchup is Catchup.POSTCOPY:
            continue  # its memory follows after the switch
        dirty += moving.final_sample.transferred - moving.last_sample.transferred
    path = world.plan.path
    state = Bytes(DEVICE_STATE * len(world.moving))
    return blackout_limit(Bytes(dirty), state, path.rate, Seconds(path.rtt / 2), Seconds(0))


def _server(world: World, moving: Moving, probe: ProbeResult | None) -> ServerReport:
    live = world.plan.strategy is Strategy.LIVE
    seen = probe.udp.get(moving.name) if probe else None
    limit = _gang_limit(world) if live else None
    final = moving.final_sample
    return ServerReport(
        name=moving.name,
        strategy=moving.choice.strategy,
        why=moving.choice.why,
        bytes_sent=Bytes(moving.sent + (final.transferred if final else 0)),
        unique_bytes=Bytes(moving.sent + moving.first_round) if moving.first_round else None,
        rounds=final.passes if final else None,
        blackout_s=seen.downtime if seen else None,
        hypervisor_downtime_s=final.downtime if final else None,
        limit_s=limit,
        ratio_to_limit=seen.downtime / limit if seen and limit else None,
        disk_digest_equal=moving.digests_equal,
        disks=tuple(moving.compared.values()),
    )


def _timeline(world: World, server: str, origin: float) -> ServerTimeline:
    return ServerTimeline(
        server,
        tuple(
            Span(name, Seconds(start - origin), Seconds(end - origin))
            for each, name, start, end in sorted(world.timeline.phases, key=lambda phase: phase[2])
            if each == server
        ),
        tuple(
            Mark(what, Seconds(at - origin))
            for each, what, at in sorted(world.timeline.marks, key=lambda mark: mark[2])
            if each == server
        ),
    )


def _environment(world: World) -> Environment:
    path = world.plan.path
    return Environment(
        accelerator=world.facts.get("accelerator", "unknown"),
        wan=Wan(path.rate, path.rtt, path.mtu),
        tunnel=world.plan.tunnel,
        load=world.load or os.getloadavg(),
        cpus=os.cpu_count() or 1,
        versions={
            "intercloud": intercloud.__version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            **{name: text for name, text in world.facts.items() if name != "accelerator"},
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
