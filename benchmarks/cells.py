"""Choosing cells of a result, and grouping them."""

from collections.abc import Mapping, Sequence

from benchmarks.result import Cell, Result, Sample, Setting

OURS = "intercloud"
UNSAID: Mapping[str, Setting] = {"order": "gang"}
"""Settings of a scenario that does not say them."""
NONE_OF_IT = (None, 0, "unlimited")
"""Values of a setting that mean the same as its absence."""
WIDEST = 10
"""How many columns a table has at most, unless nothing tells its scenarios apart any more."""


def fits(cell: Cell, where: Mapping[str, Setting]) -> bool:
    """Whether a cell's scenario has these settings. One that is absent is the same as None, 0 or unlimited."""
    scenario = {**UNSAID, **cell.scenario}
    return all(
        found == value or (found in NONE_OF_IT and value in NONE_OF_IT)
        for name, value in where.items()
        for found in [scenario.get(name)]
    )


def select(result: Result, where: Mapping[str, Setting], contender: str, benchmark: str | None = None) -> list[Cell]:
    """Choose a contender's cells of all scenarios that have these settings; of all benchmarks unless one is given."""
    return [
        cell
        for cell in result.cells
        if benchmark in (None, cell.benchmark) and cell.contender == contender and fits(cell, where)
    ]


def rival(result: Result, cell: Cell, contender: str) -> Cell | None:
    """Find what another contender did in the same scenario."""
    where = (cell.benchmark, cell.scenario)
    return next((c for c in result.cells if (c.benchmark, c.scenario) == where and c.contender == contender), None)


def good(cell: Cell) -> list[Sample]:
    """Give the samples that did not fail."""
    return [sample for sample in cell.samples if sample.failed is None]


def downtime(cell: Cell) -> tuple[str, list[float]]:
    """Give the downtime that clients saw, and its figure: the worst gap of all their streams, else a server's."""
    worst = cell.values("worst_gap_s")
    return ("worst_gap_s", worst) if worst else ("blackout_s", cell.values("blackout_s"))


def scenarios(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Group cells by benchmark and scenario, in the order in which these come; our own cell is first in each."""
    found: list[list[Cell]] = []
    for cell in cells:
        same = [g for g in found if (g[0].benchmark, g[0].scenario) == (cell.benchmark, cell.scenario)]
        same[0].append(cell) if same else found.append([cell])
    return [sorted(group, key=lambda cell: cell.contender != OURS) for group in found]


def varying(cells: Sequence[Cell]) -> list[str]:
    """Name the settings in which the cells' scenarios differ."""
    names = dict.fromkeys(name for cell in cells for name in cell.scenario)
    return [name for name in names if len({cell.scenario.get(name) for cell in cells}) > 1]


def only(cell: Cell, names: Sequence[str]) -> dict[str, Setting]:
    """Give those settings of a cell's scenario that are named."""
    return {name: value for name, value in cell.scenario.items() if name in names}


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Split cells of one benchmark by the setting that has the fewest values, until each group fits a table."""
    names = varying(cells)
    if len(cells) <= WIDEST or not names:
        return [list(cells)]
    name = min(names, key=lambda name: len({cell.scenario.get(name) for cell in cells}))
    parts: dict[Setting, list[Cell]] = {}
    for cell in cells:
        parts.setdefault(cell.scenario.get(name), []).append(cell)
    return [group for part in parts.values() for group in groups(part)]
