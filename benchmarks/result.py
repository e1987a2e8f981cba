"""What a run of the benchmarks has measured: the file in benchmarks/results/, and the source of tables and page.

Names of figures end in their unit: `_s` seconds, `_bytes`, `_bit_s`; without one it is a count or a ratio.
docs/benchmark.schema.json is made from these classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import TypeAdapter

VERSION = 2
"""Files moves-*.json were version 1: demo moves only."""
PUBLISHED = 10
"""Samples of each cell of a run that may be published, at least."""
Setting = str | int | float | bool | None


@dataclass(frozen=True)
class Span:
    """One phase of one server: seconds from the beginning of its sample."""

    server: str
    phase: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Measured:
    """What one sample has measured. each: figures of which there is one for every server, in their order."""

    figures: Mapping[str, float] = field(default_factory=dict)
    each: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One operation, measured. load: of the machine, average over a minute. failed: why it did not do what it should.

    A sample that failed counts: what it has measured all the same is kept.
    """

    began: datetime
    load: float
    measured: Measured
    failed: str | None = None


@dataclass(frozen=True)
class Cell:
    """All samples of one contender in one scenario. settings: the contender's, as they were given to it."""

    benchmark: str
    scenario: Mapping[str, Setting]
    contender: str
    settings: Mapping[str, Setting]
    samples: tuple[Sample, ...]

    def values(self, figure: str) -> list[float]:
        """Give one figure of all samples that have it and did not fail."""
        good = (sample.measured.figures for sample in self.samples if sample.failed is None)
        return [figures[figure] for figures in good if figure in figures]


@dataclass(frozen=True)
class Machine:
    """Where it was measured. accelerator: what ran the guests' instructions. versions: of all that took part."""

    cpus: int
    processor: str
    memory_bytes: int
    accelerator: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """One run. samples: wanted in each cell."""

    began: datetime
    ended: datetime
    revision: str | None
    samples: int
    machine: Machine
    cells: tuple[Cell, ...]
    version: int = VERSION

    @property
    def few(self) -> bool:
        """Whether these are too few samples to be published."""
        return self.samples < PUBLISHED

    def has(self, benchmark: str, scenario: Mapping[str, Setting]) -> bool:
        """Whether this scenario was measured."""
        return any((cell.benchmark, cell.scenario) == (benchmark, scenario) for cell in self.cells)


_RESULT = TypeAdapter(Result)


def to_json(result: Result) -> str:
    """Write a result as it is stored."""
    return _RESULT.dump_json(result, indent=1).decode() + "\n"


def from_json(text: str | bytes) -> Result:
    """Read a stored result. Raises ValueError, naming each field that is wrong."""
    return _RESULT.validate_json(text)


def schema() -> str:
    """Describe the JSON, as stored in docs/benchmark.schema.json."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Result of the benchmarks"}
    return json.dumps(head | _RESULT.json_schema(mode="serialization"), indent=2) + "\n"
