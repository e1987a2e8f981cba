"""A result such as a run of the benchmarks gives, for the tests of all that is made of one."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from benchmarks.result import Cell, Machine, Measured, Result, Sample, Setting, Span

BEGAN = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
SAMPLES = 10
MACHINE = Machine(2, "AMD EPYC 7R13", 8 * 2**30, "TCG", {"qemu": "10.0.2", "Open vSwitch": "3.1.0", "python": "3.11.2"})
Settings = Mapping[str, Setting]
PHASES = (("landing", 0.9), ("disks", 2.2), ("memory", 6.3), ("hold", 1.6), ("switchover", 0.14), ("verify", 1.9))
METHODS = {
    "intercloud": 0.0, "modify": 0.0, "bundle": 0.0, "delete-then-add": 1.2, "clone-then-prune": 0.1,
    "rarp learning": 9.0,
}  # fmt: skip
"""What each loses of 1000 packets, with 100 flows."""


def cell(benchmark: str, scenario: Settings, contender: str, middle: Mapping[str, float], spread: float = 0.15) -> Cell:
    """Samples that lie around these figures, the same in every run; counts that are 0 stay 0."""
    chance = random.Random(f"{benchmark} {scenario} {contender}")
    samples = tuple(
        sample(number, {name: _near(chance, name, value, spread) for name, value in middle.items()})
        for number in range(SAMPLES)
    )
    return Cell(benchmark, scenario, contender, {}, samples)


def sample(number: int, figures: Mapping[str, float], failed: str | None = None) -> Sample:
    """One sample with these figures."""
    return Sample(BEGAN + timedelta(minutes=number), 1.2 + number / 10, Measured(figures), failed)


def result(*cells: Cell) -> Result:
    """A run that measured these cells."""
    return Result(BEGAN, BEGAN + timedelta(hours=2), "46666d9", SAMPLES, MACHINE, cells)


def _near(chance: random.Random, name: str, value: float, spread: float) -> float:
    near = value * chance.lognormvariate(0, spread)
    return round(near) if name in ("lost", "duplicated", "http_failed") else near


def _moves(scenario: Settings, gaps: Mapping[str, float]) -> list[Cell]:
    return [
        cell(
            "B1", scenario, contender,
            {
                "migration_s": 41.0 if contender == "cold" else 17.5, "worst_gap_s": gap, "blackout_s": gap * 0.9,
                "lost": 0 if contender == "intercloud" else gap * 900, "sent_bytes": 3.04e8,
                **({"reconfiguration_s": 0.0025, "total_to_minimum": 1.02} if contender == "intercloud" else {}),
            },
        )
        for contender, gap in gaps.items()
    ]  # fmt: skip


def _limits() -> list[Cell]:
    cells = []
    for rate, delay, rho in (
        (200, 5, 0.2),
        (200, 5, 0.5),
        (200, 5, 0.9),
        (200, 5, 2.0),
        (200, 25, 0.5),
        (200, 50, 0.5),
    ):
        scenario: Settings = {"rate_mbit": rate, "hot_mib": 1, "rho": rho, "delay_ms": delay}
        limit = 0.062 + delay / 1000 + 0.02 * rho
        for contender, ratio in (("intercloud", 1.07), ("qemu", 3.2 + rho)):
            figures = {"limit_s": limit, "blackout_s": limit * ratio, "blackout_to_limit": ratio, "lost": 0.0}
            cells.append(cell("B2", scenario, contender, figures, 0.05))
    return cells


def _clusters() -> list[Cell]:
    cells = []
    for servers, images, order in (
        (2, "same", "gang"), (4, "same", "gang"), (4, "different", "gang"), (4, "same", "sequential"),
    ):  # fmt: skip
        distinct = 1.3e8 + 4e7 * servers * (1 if images == "same" else 3)
        bound = distinct * 8 / 3.83e8
        over = 1.03 if order == "gang" else 1.6
        figures = {
            "transfer_s": bound * over, "bound_s": bound, "makespan_to_bound": over, "sent_bytes": distinct * 1.04,
            "distinct_bytes": distinct, "unique_bytes": distinct * (5.6 if images == "same" else 1),
            "sent_to_unique": 0.185 if images == "same" else 1.04, "split_to_blackout": 0.6, "blackout_s": 0.41,
            "split_s": 0.25,
        }  # fmt: skip
        scenario: Settings = {"servers": servers, "images": images, "order": order}
        cells.append(cell("B5", scenario, "intercloud", figures, 0.01))
    return cells


def _cutovers() -> list[Cell]:
    return [
        cell(
            "B6", {"tunnel": tunnel, "flows": flows, "packets_per_s": 4000}, method,
            {
                "lost": loss * flows**0.8, "duplicated": 0, "reconfiguration_s": 0.001 + flows * 2e-5,
                "barrier_s": 0.0005, "ratio_to_barrier": 1.9, "gap_s": 0.004 + loss * flows / 4000,
            },
            0.3,
        )
        for tunnel in ("vxlan", "gre")
        for flows in (1, 10, 100, 1000)
        for method, loss in METHODS.items()
    ]  # fmt: skip


def spans(servers: int) -> tuple[Span, ...]:
    """The phases of servers that move side by side, and wait for each other at the brink."""
    found = []
    for index in range(servers):
        at = 0.4
        for phase, usual in PHASES:
            length = {"memory": usual - 0.4 * index, "hold": usual + 0.4 * index}.get(phase, usual)
            found.append(Span(f"server-{index + 1}", phase, at, at + length))
            at += length
    return tuple(found)


def with_spans(whole: Cell) -> Cell:
    """The same, its first sample with spans and with a figure for each server, and its last one failed."""
    first = whole.samples[0]
    each = {"blackout_s": (0.31, 0.35, 0.4, 0.41)}
    first = replace(
        first, measured=replace(first.measured, each=each, spans=spans(int(whole.scenario["servers"] or 0)))
    )
    return replace(whole, samples=(first, *whole.samples[1:-1], FAILED))


FAILED = sample(9, {"lost": 31.0}, "the guests of lab-b do not answer")
RESULT = result(
    *_moves(
        {"name": "single VM", "servers": 1, "rate_mbit": "unlimited"},
        {"cold": 38.0, "virsh": 1.1, "qemu": 0.9, "intercloud": 0.17},
    ),
    *_moves(
        {"name": "single VM", "servers": 1, "rate_mbit": 400},
        {"intercloud": 0.21, "virsh": 0.9, "qemu": 0.8, "cold": 40.0},
    ),
    *_moves({"servers": 1, "rate_mbit": 200, "hot_mib": 1}, {"intercloud": 0.21, "virsh": 0.9}),
    *_moves({"name": "clustered VMs", "servers": 3}, {"intercloud": 0.39, "qemu": 1.9, "ovn": 0.9, "cold": 62.0}),
    *_limits(),
    *map(with_spans, _clusters()),
    *_cutovers(),
)
