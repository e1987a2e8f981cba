"""Scenario x operation x metric: opens each scenario, and takes samples of its lanes in turns.

A scenario is held while it is open: load, WAN, servers. A lane is one contender in it; its operation begins from a
fresh state each time and cleans up outside of what it measures. In turns, because a machine that others share has
better and worse minutes: each contender meets the same ones.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.result import Cell, Measured, Sample, Setting
from intercloud.errors import IntercloudError


class Failed(IntercloudError):
    """An operation did not do what it should. measured: what was measured all the same."""

    def __init__(self, why: str, measured: Measured | None = None) -> None:
        super().__init__(why)
        self.measured = measured or Measured()


@dataclass(frozen=True)
class Lane:
    """One contender in a scenario. measure: does the operation once; whatever it raises is a failed sample.

    renew: makes the state that the next sample needs, wherever a failed one has left it.
    """

    contender: str
    measure: Callable[[], Measured]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    renew: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Scenario:
    """What is held while lanes are measured. open: makes it, and gives the lanes; it raises when it cannot be held."""

    benchmark: str
    settings: Mapping[str, Setting]
    open: Callable[[], AbstractContextManager[Sequence[Lane]]]

    @property
    def title(self) -> str:
        """In words, for people."""
        return f"{self.benchmark} {', '.join(f'{name} {value}' for name, value in self.settings.items())}"


def run(scenarios: Iterable[Scenario], samples: int) -> list[Cell]:
    """Measure every scenario; tells each sample on stderr. One that cannot be held is told, and has no cells."""
    cells: list[Cell] = []
    for scenario in scenarios:
        try:
            with scenario.open() as lanes:
                cells += _measure(scenario, lanes, samples)
        except IntercloudError as error:
            _tell(f"{scenario.title}: cannot be held: {error}")
    return cells


def _measure(scenario: Scenario, lanes: Sequence[Lane], samples: int) -> list[Cell]:
    taken: list[list[Sample]] = [[] for _ in lanes]
    for number in range(samples):
        for lane, kept in zip(lanes, taken, strict=True):
            kept.append(_sample(lane))
            _tell(f"{scenario.title}: {lane.contender} {number + 1} of {samples}: {_brief(kept[-1])}")
            if kept[-1].failed:
                _renew(lane)
    return [
        Cell(scenario.benchmark, scenario.settings, lane.contender, lane.settings, tuple(kept))
        for lane, kept in zip(lanes, taken, strict=True)
    ]


def _sample(lane: Lane) -> Sample:
    began, load = datetime.now(UTC), os.getloadavg()[0]
    try:
        return Sample(began, load, lane.measure())
    except Failed as error:
        return Sample(began, load, error.measured, str(error))
    except Exception as error:  # noqa: BLE001 - a sample that fails is a sample
        return Sample(began, load, Measured(), str(error) if isinstance(error, IntercloudError) else repr(error))


def _renew(lane: Lane) -> None:
    try:
        lane.renew()
    except IntercloudError as error:  # the next sample tells what comes of it
        _tell(f"{lane.contender} cannot begin anew: {error}")


def _brief(sample: Sample) -> str:
    shown = ", ".join(f"{name} {value:.3g}" for name, value in sample.measured.figures.items())
    return f"FAILED: {sample.failed}" if sample.failed else shown


def _tell(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stderr.flush()
