"""What was set as a goal, as data, and whether a result reaches it.

A goal is judged in every scenario that it fits, and shown with the worst of them. Contenders are compared by the ratio
of their medians in the same scenario of the same run.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.cells import OURS, good, rival, select
from benchmarks.result import Cell, Result, Setting


class Statistic(StrEnum):
    """What is made of the samples of a cell before it is compared."""

    MEDIAN = "median"
    P95 = "p95"
    EVERY = "in every sample"


@dataclass(frozen=True)
class Demand:
    """One figure and what it may be at most; with `against`, the ratio of its median to that contender's."""

    figure: str
    most: float
    statistic: Statistic = Statistic.MEDIAN
    against: str | None = None

    def measure(self, cell: Cell, other: Cell | None) -> float | None:
        """Give what was measured, to be compared with `most`; None if it was not."""
        value = STATISTICS[self.statistic](cell, self.figure)
        if not self.against:
            return value
        base = STATISTICS[self.statistic](other, self.figure) if other else None
        return value / base if value is not None and base else None

    def excess(self, value: float | None) -> float:
        """How many times what it may be at most; infinite if it was not measured."""
        if value is None:
            return math.inf
        if not self.most:
            return math.inf if value else 0.0
        return value / self.most


@dataclass(frozen=True)
class Goal:
    """A goal for `intercloud`. where: settings of the scenarios in which it holds; benchmark: None for all of them.

    Only the first demand says whether another contender is needed: all that compare, compare with the same one.
    """

    name: str
    benchmark: str | None
    where: Mapping[str, Setting]
    demands: tuple[Demand, ...]
    best_known: str = ""

    def outcomes(self, result: Result) -> list["Outcome"]:
        """Judge every scenario that has data for it, the worst first."""
        cells = select(result, self.where, OURS, self.benchmark)
        found = [each for cell in cells if (each := self._judge(result, cell))]
        return sorted(found, key=lambda each: each.excess, reverse=True)

    def _judge(self, result: Result, cell: Cell) -> "Outcome | None":
        """Judge one scenario: where the first figure was measured by all whom it compares, or nothing succeeded."""
        first = self.demands[0]
        other = rival(result, cell, first.against) if first.against else None
        ours = any(first.figure in sample.measured.figures for sample in cell.samples)
        theirs = not first.against or (other and other.values(first.figure))
        if not (ours and theirs) and (good(cell) or not cell.samples):
            return None
        values = tuple(demand.measure(cell, other) for demand in self.demands)
        return Outcome(self, values, tuple(each for each in (cell, other) if each))


@dataclass(frozen=True)
class Outcome:
    """A goal in one scenario. values: of its demands, None if not measured. cells: ours, and the one compared with."""

    goal: Goal
    values: tuple[float | None, ...]
    cells: tuple[Cell, ...]

    @property
    def excess(self) -> float:
        """How many times the bound that is missed most, or met with the least room."""
        return max(demand.excess(value) for demand, value in zip(self.goal.demands, self.values, strict=True))

    @property
    def reached(self) -> bool:
        """Whether every demand is met; what was not measured is not."""
        return self.excess <= 1


def _median(cell: Cell, figure: str) -> float | None:
    values = cell.values(figure)
    return statistics.median(values) if values else None


def _p95(cell: Cell, figure: str) -> float | None:
    """Give the least value that 95 % of the samples do not exceed: the largest of fewer than 20."""
    values = sorted(cell.values(figure))
    return values[math.ceil(0.95 * len(values)) - 1] if values else None


def _every(cell: Cell, figure: str) -> float | None:
    """Give the largest value, failed samples counted in; None if it is 0 as far as known, and some do not say."""
    each = [sample.measured.figures.get(figure) for sample in cell.samples]
    known = [value for value in each if value is not None]
    return max(known) if known and (any(known) or len(known) == len(each)) else None


STATISTICS: Mapping[Statistic, Callable[[Cell, str], float | None]] = {
    Statistic.MEDIAN: _median,
    Statistic.P95: _p95,
    Statistic.EVERY: _every,
}
LOADED: Mapping[str, Setting] = {"rate_mbit": 200, "hot_mib": 1}
IDLE: Mapping[str, Setting] = {"rate_mbit": None, "hot_mib": None, "rate_mib_s": None, "rho": None}
GANG: Mapping[str, Setting] = {"servers": 4, "order": "gang"}
NONE_LOST = Demand("lost", 0, Statistic.EVERY)
LIMIT = "blackout_to_limit"

GOALS = (
    Goal(
        "G1", "B2", LOADED, (Demand(LIMIT, 1.15), Demand(LIMIT, 1.3, Statistic.P95)),
        "Cloud Hypervisor 1.11 (memory part only); QEMU's defaults 2.8-3.9",
    ),
    Goal("G2", "B1", IDLE, (Demand("worst_gap_s", 0.2, against="virsh"), NONE_LOST)),
    Goal("G3", None, LOADED, (Demand("worst_gap_s", 0.4, against="virsh"), NONE_LOST)),
    Goal("G4", "B1", {"rate_mbit": 400}, (Demand("total_to_minimum", 1.05),)),
    Goal("G5", "B5", {**GANG, "images": "same"}, (Demand("sent_to_unique", 0.2),), "GMGD 0.35 on its core links"),
    Goal("G6", "B5", GANG, (Demand("makespan_to_bound", 1.05),), "FPTA at most 1.10, simulated"),
    Goal("G7", "B5", GANG, (Demand("split_to_blackout", 1.5),)),
    Goal(
        "G8", "B6", {"packets_per_s": 4000}, (NONE_LOST, Demand("duplicated", 0, Statistic.EVERY)),
        "OVN: a gap of 50-100 ms",
    ),
    Goal("G9", "B6", {"flows": 1}, (Demand("ratio_to_barrier", 3),), "2.1 with a raw OpenFlow client"),
    Goal("G10a", None, {"name": "single VM"}, (Demand("worst_gap_s", 0.01, against="cold"),)),
    Goal("G10b", None, {"name": "clustered VMs"}, (Demand("worst_gap_s", 0.01, against="cold"),)),
)  # fmt: skip
