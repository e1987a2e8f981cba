"""Tables of a result: one for those who choose, one of the goals, and all figures of each benchmark.

Pure. A table is plain text in rows; `render` writes it as Markdown, and benchmarks/page.py makes HTML of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cells import downtime, good, groups, only, scenarios, varying
from benchmarks.figures import NONE, WORDS, digits, in_words, show, spread, words
from benchmarks.goals import GOALS, Demand, Goal, Outcome, Statistic
from benchmarks.result import Cell, Result

USERS = ("single VM", "clustered VMs")
"""Names of the scenarios in the users' table."""
NOT_MEASURED = "not measured in this run"
METRICS: Mapping[str, Callable[[Cell], tuple[str, list[float]]]] = {
    "migration time": lambda cell: ("migration_s", cell.values("migration_s")),
    "downtime": downtime,
    "network reconfiguration time": lambda cell: ("reconfiguration_s", cell.values("reconfiguration_s")),
}
SUCCEEDED = "samples that succeeded"
GOALS_HEAD = ("", "figure", "where", "goal", "measured", "n", "reached", "best known elsewhere")


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first column names each row. A line break in a head parts scenario from contender."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def render(result: Result) -> str:
    """Write all tables that have rows, as Markdown."""
    return "\n".join(_markdown(table) for table in tables(result) if table.rows)


def tables(result: Result) -> list[Table]:
    """Make all tables of a result: the users', the goals', and those of each benchmark."""
    return [users_table(result), goals_table(result), *benchmark_tables(result)]


def _markdown(table: Table) -> str:
    lines = [_line(table.head), "|" + "---|" * len(table.head), *map(_line, table.rows)]
    notes = [f"- {_escape(note)}" for note in table.notes]
    return "\n".join([f"### {_escape(table.title)}", "", *lines, "", *notes, *[""] * bool(notes)])


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(_escape(text) for text in texts)} |"


def _escape(text: str) -> str:
    """Keep foreign text in its cell, and from being taken for HTML."""
    plain = ", ".join(text.split("\n")).replace("\r", " ")
    return "".join(f"\\{letter}" if letter in "\\|<`*[" else letter for letter in plain)


def benchmark_tables(result: Result) -> list[Table]:
    """Make a table of each group of scenarios of each benchmark: figures by scenario and contender."""
    names = sorted({cell.benchmark for cell in result.cells}, key=lambda name: (len(name), name))
    cells = {name: [cell for cell in result.cells if cell.benchmark == name] for name in names}
    return [_figures(group) for name in names for group in groups(cells[name])]


def _figures(cells: Sequence[Cell]) -> Table:
    differ = varying(cells)
    ordered = [cell for group in scenarios(cells) for cell in group]
    first = ordered[0]
    shared = in_words(only(first, [name for name in first.scenario if name not in differ]))
    heads = ["\n".join(filter(None, (in_words(only(cell, differ)), cell.contender))) for cell in ordered]
    counts = [f"{len(good(cell))} of {len(cell.samples)}" for cell in ordered]
    return Table(
        f"{first.benchmark}: {shared}" if shared else first.benchmark,
        ("median (min-max)", *heads),
        ((SUCCEEDED, *counts), *_rows(ordered)),
        (*_settings(ordered), *_failures(ordered, differ)),
    )


def _rows(cells: Sequence[Cell]) -> Iterable[tuple[str, ...]]:
    for figure in _known_first(name for cell in cells for s in good(cell) for name in s.measured.figures):
        yield words(figure), *(spread(figure, cell.values(figure)) for cell in cells)
    for figure in _known_first(name for cell in cells for s in good(cell) for name in s.measured.each):
        yield f"{words(figure)}, of each", *(spread(figure, _each(cell, figure)) for cell in cells)
    yield WORDS["load"], *(spread("load", [sample.load for sample in good(cell)]) for cell in cells)


def _known_first(found: Iterable[str]) -> list[str]:
    """Put names of figures in the order of WORDS; unknown ones come last, as they are found."""
    names = dict.fromkeys(found)
    return [name for name in WORDS if name in names] + [name for name in names if name not in WORDS]


def _each(cell: Cell, figure: str) -> list[float]:
    return [value for sample in good(cell) for value in sample.measured.each.get(figure, ())]


def _settings(cells: Sequence[Cell]) -> Iterable[str]:
    """Say once of each contender with what settings it was measured."""
    return dict.fromkeys(f"{cell.contender}: {in_words(cell.settings)}" for cell in cells if cell.settings)


def _failures(cells: Sequence[Cell], differ: Sequence[str]) -> Iterable[str]:
    for cell in cells:
        where = ", ".join(filter(None, (in_words(only(cell, differ)), cell.contender)))
        for number, sample in enumerate(cell.samples, 1):
            if sample.failed is not None:
                yield f"{where}, sample {number} failed: {sample.failed}"


def users_table(result: Result) -> Table:
    """Make the table for those who choose: how long a move takes, and how long clients and network notice it."""
    named = scenarios([cell for cell in result.cells if cell.scenario.get("name") in USERS])
    named = sorted(named, key=lambda group: USERS.index(str(group[0].scenario["name"])))
    contenders = list(dict.fromkeys(cell.contender for group in named for cell in group))
    rows = tuple(row for group in named for row in _metrics(_scenario(group[0], named), group, contenders))
    notes = (*dict.fromkeys(in_words(group[0].scenario) for group in named), *_servers_only(named))
    return Table("What a user sees", ("median (min-max)", *contenders), rows, notes)


def _scenario(cell: Cell, named: Sequence[Sequence[Cell]]) -> str:
    """Name a scenario as briefly as tells it from others of its name."""
    same = [group[0] for group in named if group[0].scenario["name"] == cell.scenario["name"]]
    return in_words(only(cell, ["name", *varying(same)]))


def _servers_only(named: Sequence[Sequence[Cell]]) -> Iterable[str]:
    """Say of whom only the servers' downtime is known, not that of all streams."""
    cells = [cell for group in named for cell in group if cell.values("blackout_s")]
    found = dict.fromkeys(cell.contender for cell in cells if downtime(cell)[0] == "blackout_s")
    if found:
        yield f"downtime of {', '.join(found)}: {WORDS['blackout_s']}"


def _metrics(scenario: str, group: Sequence[Cell], contenders: Sequence[str]) -> Iterable[tuple[str, ...]]:
    cells = {cell.contender: cell for cell in group}
    for metric, measured in METRICS.items():
        entries = [spread(*measured(cells[name])) if name in cells else NONE for name in contenders]
        if any(entry != NONE for entry in entries):
            yield f"{scenario}: {metric}", *entries


def goals_table(result: Result) -> Table:
    """Make the table of the goals: each with what was measured in the worst of its scenarios."""
    return Table("Goals", GOALS_HEAD, tuple(_goal(goal, goal.outcomes(result)) for goal in GOALS))


def _goal(goal: Goal, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    figures = "; ".join(dict.fromkeys(words(demand.figure) for demand in goal.demands))
    wanted = "; ".join(_wanted(demand) for demand in goal.demands)
    where = ", ".join(filter(None, (goal.benchmark, in_words(goal.where))))
    measured = (
        (_measured(outcomes), _count(outcomes[0]), _reached(outcomes)) if outcomes else (NOT_MEASURED, NONE, NONE)
    )
    return goal.name, figures, where, wanted, *measured, goal.best_known or NONE


def _wanted(demand: Demand) -> str:
    if demand.statistic is Statistic.EVERY:
        return f"{digits(demand.most)} {demand.statistic}"
    return f"{demand.statistic} ≤ {_amount(demand, demand.most)}"


def _amount(demand: Demand, value: float) -> str:
    return f"{digits(value)} of {demand.against}'s" if demand.against else show(demand.figure, value)


def _measured(outcomes: Sequence[Outcome]) -> str:
    worst = outcomes[0]
    text = "; ".join(_value(demand, value) for demand, value in zip(worst.goal.demands, worst.values, strict=True))
    if len(outcomes) == 1:
        return text
    differ = varying([outcome.cells[0] for outcome in outcomes])
    return f"{text} (worst of {len(outcomes)} scenarios: {in_words(only(worst.cells[0], differ))})"


def _value(demand: Demand, value: float | None) -> str:
    if value is None:
        return "not measured"
    if demand.statistic is Statistic.EVERY:
        return f"up to {digits(value)} in a sample" if value else f"0 {demand.statistic}"
    return f"{demand.statistic} {_amount(demand, value)}"


def _count(outcome: Outcome) -> str:
    """How many samples succeeded, of ours and of whom it is compared with."""
    return ", ".join(f"{len(good(cell))} of {len(cell.samples)}" for cell in outcome.cells)


def _reached(outcomes: Sequence[Outcome]) -> str:
    reached = sum(outcome.reached for outcome in outcomes)
    if reached in (0, len(outcomes)):
        return "yes" if reached else "no"
    return f"no: in {reached} of {len(outcomes)} scenarios"
