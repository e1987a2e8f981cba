"""Drawings of a result: every sample is a dot, so nobody needs to believe a mean. One without data is left out."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks import svg
from benchmarks.cells import OURS, downtime, good, only, scenarios, varying
from benchmarks.figures import digits, in_words
from benchmarks.result import Cell, Result, Span

MS, MB = 1e3, 1e-6
SWEPT = ("rho", "delay_ms")
DOWNTIME = "longest time without an answer [ms]"
JITTER = (0.0, 0.16, -0.16, 0.08, -0.08)
"""How far dots stand beside their line, in turns, so that equal ones are seen."""
DOTS: Mapping[str, Any] = {"s": 24, "linewidths": 0.6, "edgecolors": svg.CARD, "zorder": 3}
CROSSES: Mapping[str, Any] = {"marker": "x", "s": 22, "linewidths": 1.2, "color": svg.BAD, "zorder": 3}
MEDIAN: Mapping[str, Any] = {"color": svg.INK, "linewidth": 1.4, "zorder": 4}


@dataclass(frozen=True)
class Plot:
    """A drawing with its words. title: its heading; caption: how to read it."""

    title: str
    caption: str
    draw: Callable[[Result], Figure | None]

    def svg(self, result: Result) -> str:
        """Draw it for a page; nothing without data."""
        with svg.styled():
            figure = self.draw(result)
            return svg.inline(figure, self.title) if figure else ""


def blackouts(result: Result) -> Figure | None:
    """Draw the downtimes of contenders side by side, in scenarios with more than one; sweeps are drawn elsewhere."""
    swept = [cell for setting in SWEPT for cell in _swept(result, setting)]
    measured = scenarios([cell for cell in result.cells if downtime(cell)[1] and cell not in swept])
    found = [group for group in measured if len(group) > 1]
    if not found:
        return None
    figure, (axes,) = svg.panels(1, 0.9 + 0.24 * sum(len(group) + 1.4 for group in found))
    differ = varying([group[0] for group in found])
    labels: list[tuple[float, str]] = []
    row = 0.0
    for group in found:
        title = svg.plain(f"{group[0].benchmark}: {in_words(only(group[0], ['name', *differ]))}")
        axes.text(0, row, title, va="center", transform=axes.get_yaxis_transform())
        for cell in group:
            row += 1
            labels.append((row, cell.contender))
            _strip(axes, row, cell)
        row += 1.4
    axes.set_ylim(row - 0.6, -0.8)
    _name_rows(axes, labels)
    _logarithmic(axes)
    return figure


def _strip(axes: Axes, row: float, cell: Cell) -> None:
    """Draw all samples of a cell in a row, and its median."""
    figure, values = downtime(cell)
    shown = [value * MS for value in values]
    failed = [
        s.measured.figures[figure] * MS for s in cell.samples if s.failed is not None and figure in s.measured.figures
    ]
    axes.scatter(shown, _beside(row, shown), color=svg.OURS if cell.contender == OURS else svg.SOFT, **DOTS)
    axes.scatter(failed, _beside(row, failed), **CROSSES)
    axes.plot([statistics.median(shown)] * 2, [row - 0.36, row + 0.36], **MEDIAN)


def _beside(at: float, values: Sequence[float], share: float = 1) -> list[float]:
    return [at + share * JITTER[index % len(JITTER)] for index in range(len(values))]


def _name_rows(axes: Axes, labels: Sequence[tuple[float, str]]) -> None:
    axes.set_yticks([at for at, _ in labels], [svg.plain(text) for _, text in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _logarithmic(axes: Axes) -> None:
    """Scale times that may be 0."""
    axes.set_xscale("symlog", linthresh=1, subs=[2, 5])
    axes.set_xlim(max(0.0, axes.dataLim.x0 * 0.7), axes.dataLim.x1 * 1.3 + 0.1)
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(FuncFormatter(lambda value, _: digits(value)))
    axes.tick_params(axis="x", which="both", length=0, pad=5)
    axes.grid(visible=True, axis="x", which="both")
    axes.set_xlabel(DOWNTIME)


def timeline(result: Result) -> Figure | None:
    """Draw the phases of each server of one sample, the first of those with the most servers."""
    samples = [sample for cell in result.cells for sample in good(cell) if sample.measured.spans]
    if not samples:
        return None
    spans = max((s.measured.spans for s in samples), key=lambda spans: len({span.server for span in spans}))
    servers = list(dict.fromkeys(span.server for span in spans))
    colours = _phase_colours(spans)
    figure, (axes,) = svg.panels(1, 1.1 + 0.36 * len(servers))
    for phase, colour in colours.items():
        bars = [(servers.index(s.server), s.start_s, s.end_s - s.start_s) for s in spans if s.phase == phase]
        rows, starts, lengths = zip(*bars, strict=True)
        axes.barh(rows, lengths, left=starts, height=0.62, color=colour, edgecolor=colour, label=svg.plain(phase))
    axes.invert_yaxis()
    axes.set_xlim(min(0.0, *(span.start_s for span in spans)))
    _name_rows(axes, list(enumerate(servers)))
    axes.set_xlabel("time since the sample began [s]")
    figure.legend(loc="outside lower center", ncols=7)
    return figure


def _phase_colours(spans: Iterable[Span]) -> dict[str, str]:
    """Give each phase its colour, in the order of time; the switchover has its own."""
    names = dict.fromkeys(span.phase for span in sorted(spans, key=lambda span: span.start_s))
    colours = iter(svg.PHASES * len(names))
    return {name: svg.SWITCH if name == "switchover" else next(colours) for name in names}


def sent(result: Result) -> Figure | None:
    """Draw what was sent over the WAN, beside what is distinct in the whole cluster."""
    rows = [(cell, _both(cell, "sent_bytes", "distinct_bytes")) for cell in result.cells]
    scaled = [(cell, [(sent * MB, least * MB) for sent, least in both]) for cell, both in rows]
    return _against(scaled, "sent over the WAN [MB]")


def makespans(result: Result) -> Figure | None:
    """Draw how long all servers of a cluster took, beside the bound of the bandwidth."""
    clusters = [cell for cell in result.cells if cell.scenario.get("servers") != 1]
    rows = [(cell, _both(cell, "makespan_to_bound", "bound_s")) for cell in clusters]
    spans = [(cell, [(ratio * bound, bound) for ratio, bound in both]) for cell, both in rows]
    return _against(spans, "first byte to last server resumed [s]")


def _both(cell: Cell, one: str, other: str) -> list[tuple[float, float]]:
    """Give two figures of all samples that have both."""
    figures = [sample.measured.figures for sample in good(cell)]
    return [(each[one], each[other]) for each in figures if one in each and each.get(other)]


def _against(measured: Sequence[tuple[Cell, Sequence[tuple[float, float]]]], label: str) -> Figure | None:
    """Draw bars of medians with their samples, each with a mark at the least that is possible."""
    found = [(cell, both) for cell, both in measured if both]
    if not found:
        return None
    names = ["name", "servers", *varying([cell for cell, _ in found])]
    figure, (axes,) = svg.panels(1, 0.9 + 0.34 * len(found))
    for row, (cell, both) in enumerate(found):
        values, least = [value for value, _ in both], statistics.median(least for _, least in both)
        middle = statistics.median(values)
        axes.barh(row, middle, height=0.6, color=svg.PHASES[1] if cell.contender == OURS else svg.OTHERS)
        axes.scatter(values, _beside(row, values), color=svg.INK, **{**DOTS, "s": 13})
        axes.plot([least, least], [row - 0.42, row + 0.42], color=svg.SWITCH, linewidth=2.4, zorder=4)
        axes.text(max(*values, least), row, f"   {digits(middle / least)} times", va="center", color=svg.SOFT)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.17 * axes.dataLim.x1)
    _name_rows(axes, [(row, f"{in_words(only(cell, names))}, {cell.contender}") for row, (cell, _) in enumerate(found)])
    axes.set_xlabel(label)
    return figure


def _number(cell: Cell, setting: str) -> float | None:
    value = cell.scenario.get(setting)
    return float(value) if isinstance(value, int | float) else None


def cutover(result: Result) -> Figure | None:
    """Draw the packets that each way of turning traffic loses, by the number of flows that are turned."""
    cells = [c for c in result.cells if c.benchmark == "B6" and c.values("lost") and _number(c, "flows") is not None]
    if not cells:
        return None
    parts = _apart(cells, "flows")
    methods = list(dict.fromkeys(cell.contender for group in scenarios(cells) for cell in group))
    figure, panels = svg.panels(len(parts), 0.7 + 1.95 * len(parts))
    for axes, (words, part) in zip(panels, parts.items(), strict=True):
        _losses(axes, part, methods)
        axes.set_title(svg.plain(words))
    panels[-1].set_xlabel("flows that are turned")
    for index, method in enumerate(methods):
        panels[0].scatter([], [], label=svg.plain(method), **_series(index))
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def _losses(axes: Axes, cells: Sequence[Cell], methods: Sequence[str]) -> None:
    """Draw all samples of each cell in a column, and its median; columns of as many flows stand together."""
    numbers = sorted({_number(cell, "flows") or 0 for cell in cells})
    width = 0.8 / len(methods)
    for cell in cells:
        index = methods.index(cell.contender)
        at = numbers.index(_number(cell, "flows") or 0) + (index - (len(methods) - 1) / 2) * width
        values = cell.values("lost")
        axes.scatter(_beside(at, values, width * 1.6), values, **_series(index))
        axes.plot([at - 0.4 * width, at + 0.4 * width], [statistics.median(values)] * 2, **{**MEDIAN, "zorder": 2})
    axes.set_xticks(range(len(numbers)), [digits(number) for number in numbers])
    axes.grid(visible=False, axis="x")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.4, max(1.0, axes.dataLim.y1) * 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: digits(value)))
    axes.set_ylabel("packets lost")


def _series(index: int) -> dict[str, Any]:
    return {**DOTS, "color": svg.SERIES[index % 6], "marker": svg.MARKERS[index % 6]}


def _apart(cells: Sequence[Cell], setting: str) -> dict[str, list[Cell]]:
    """Group cells by benchmark and all settings but one, under those that differ, in words."""
    differ = [name for name in varying(cells) if name != setting]
    several = len({cell.benchmark for cell in cells}) > 1
    parts: dict[str, list[Cell]] = {}
    for cell in cells:
        words = ", ".join(filter(None, (cell.benchmark if several else "", in_words(only(cell, differ)))))
        parts.setdefault(words, []).append(cell)
    return parts


def by_setting(setting: str, label: str) -> Callable[[Result], Figure | None]:
    """Make the drawing of downtimes by a setting of the scenario, of those who met several values of it alone."""

    def draw(result: Result) -> Figure | None:
        lines = _sweeps(_swept(result, setting), setting)
        return _lines({name: [(_number(c, setting) or 0, c) for c in line] for name, line in lines.items()}, label)

    return draw


def _swept(result: Result, setting: str) -> list[Cell]:
    """Choose the cells of contenders who met several values of a setting, all else being equal."""
    cells = [cell for cell in result.cells if downtime(cell)[1] and _number(cell, setting) is not None]
    return [cell for line in _sweeps(cells, setting).values() if len(line) > 1 for cell in line]


def _sweeps(cells: Sequence[Cell], setting: str) -> dict[str, list[Cell]]:
    """Group cells that differ in one setting alone, under their contender and what tells them from others."""
    lines: dict[str, list[Cell]] = {}
    for words, part in _apart(cells, setting).items():
        for cell in part:
            lines.setdefault(", ".join(filter(None, (cell.contender, words))), []).append(cell)
    return lines


def _lines(lines: Mapping[str, Sequence[tuple[float, Cell]]], label: str) -> Figure | None:
    """Draw lines of medians, and about them all samples; beside our own the limit of the link."""
    if not lines:
        return None
    figure, (axes,) = svg.panels(1, 3.6)
    places = [at for line in lines.values() for at, _ in line]
    share = 0.03 * (max(places) - min(places))
    limit: str | None = "limit of the link"
    for index, (name, line) in enumerate(lines.items()):
        ordered = sorted(line, key=lambda each: each[0])
        for at, cell in ordered:
            values = [value * MS for value in downtime(cell)[1]]
            axes.scatter(_beside(at, values, share), values, **_series(index))
        medians = [(at, statistics.median(downtime(cell)[1]) * MS) for at, cell in ordered]
        look: dict[str, Any] = {"color": svg.SERIES[index % 6], "marker": svg.MARKERS[index % 6], "markersize": 4.2}
        axes.plot(*zip(*medians, strict=True), label=svg.plain(name), linewidth=1.4, **look)
        limits = [
            (at, statistics.median(cell.values("limit_s")) * MS) for at, cell in ordered if cell.values("limit_s")
        ]
        if limits and ordered[0][1].contender == OURS:
            axes.plot(*zip(*limits, strict=True), label=limit, color=svg.INK, linewidth=1, linestyle=(0, (4, 3)))
            limit = None
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel(DOWNTIME)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


SAMPLES = "Each dot is a sample, each black line a median"
BARS = "Bars are medians, dots samples. The orange mark is"
LINES = (
    "Each dot is a sample; lines join medians. The dashed line is the limit of the link for what was dirty at the stop."
)
PLOTS = (
    Plot("Downtime by contender", f"{SAMPLES}; a red cross is a sample that failed. Logarithmic scale.", blackouts),
    Plot("Servers that move together, phase by phase", "One sample: each server, from the request on.", timeline),
    Plot("Bytes sent against distinct bytes", f"{BARS} what is distinct in the whole cluster.", sent),
    Plot("Makespan against its bound", f"{BARS} the shortest time that the bandwidth allows.", makespans),
    Plot("Loss at the cutover", f"{SAMPLES}. Logarithmic scale above 1.", cutover),
    Plot(
        "Downtime by what the servers dirty",
        LINES,
        by_setting(SWEPT[0], "rho, what is dirtied / what the link carries"),
    ),
    Plot("Downtime by the delay of the WAN", LINES, by_setting(SWEPT[1], "one-way delay [ms]")),
)
