"""A result of the benchmarks as one web page that needs nothing else: no network, no script, light and dark.

python -m benchmarks.page RESULT.json [-o FILE.html]
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from pydantic import ValidationError

from benchmarks.plots import PLOTS, Plot
from benchmarks.result import VERSION, Result, from_json
from benchmarks.table import Table, benchmark_tables, goals_table, users_table
from intercloud.errors import IntercloudError
from intercloud.units import show_bytes

MOODS = {"yes": "good", "no": "bad"}
"""First words of entries that are good or bad news."""


def render(result: Result) -> str:
    """Make the whole page."""
    return Template(files("benchmarks").joinpath("page.html").read_text(encoding="utf-8")).substitute(
        style=_style(),
        title=f"Benchmarks of {result.began:%Y-%m-%d}",
        began=f"{result.began:%Y-%m-%d %H:%M}",
        ended=f"{result.ended:%Y-%m-%d %H:%M %Z}",
        revision=escape(result.revision or "not known"),
        samples=result.samples,
        quick='<p class="bad">Few samples: not for publication.</p>' if result.few else "",
        tables=_table(users_table(result), "h2") + _table(goals_table(result), "h2", "words"),
        plots="".join(_figure(plot, result) for plot in PLOTS),
        figures="".join(_table(table, "h3") for table in benchmark_tables(result)),
        machine="".join(_fact(name, value) for name, value in _machine(result)),
    )


def _style() -> str:
    """Take the style of the report's page: both look the same."""
    report = files("intercloud.cli").joinpath("report.html").read_text(encoding="utf-8")
    return report.partition("<style>")[2].partition("</style>")[0].strip()


def _table(table: Table, heading: str, style: str = "") -> str:
    """Make a section of a table; nothing without rows."""
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{_lines(text)}</th>' for text in table.head)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f'<section><{heading}>{escape(table.title)}</{heading}><div class="scroll"><table class="{style}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, table.rows))}</tbody></table></div>"
        f"{f'<ul>{notes}</ul>' if notes else ''}</section>"
    )


def _row(texts: Sequence[str]) -> str:
    return f'<tr><th scope="row">{escape(texts[0])}</th>{"".join(map(_cell, texts[1:]))}</tr>'


def _cell(text: str) -> str:
    mood = MOODS.get(text.partition(":")[0])
    return f'<td class="{mood}">{escape(text)}</td>' if mood else f"<td>{escape(text)}</td>"


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.split("\n"))


def _figure(plot: Plot, result: Result) -> str:
    """Make a section of a drawing; nothing without data."""
    drawing = plot.svg(result)
    if not drawing:
        return ""
    return (
        f'<section><h2>{escape(plot.title)}</h2><figure><div class="scroll">{drawing}</div>'
        f"<figcaption>{escape(plot.caption)}</figcaption></figure></section>"
    )


def _machine(result: Result) -> Iterable[tuple[str, str]]:
    machine = result.machine
    yield "Processor", machine.processor
    yield "CPUs", str(machine.cpus)
    yield "Memory", show_bytes(machine.memory_bytes)
    yield "Accelerator", machine.accelerator
    yield from machine.versions.items()


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"


class NotAResult(IntercloudError):
    """A file that no page can be made of."""


def read(path: Path) -> Result:
    """Read a stored result. Raises NotAResult, in one line; OSError."""
    try:
        result = from_json(path.read_bytes())
    except ValidationError as error:
        first, more = error.errors()[0], error.error_count() - 1
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
        raise NotAResult(f"{path}: {why}{f' (and {more} more)' if more else ''}") from error
    if result.version != VERSION:
        raise NotAResult(f"{path}: version {result.version}; this program reads version {VERSION}")
    if not all(math.isfinite(number) for number in _numbers(result)):
        raise NotAResult(f"{path}: a figure is not a finite number")
    return result


def _numbers(result: Result) -> Iterable[float]:
    for sample in (sample for cell in result.cells for sample in cell.samples):
        yield sample.load
        yield from sample.measured.figures.values()
        yield from (value for each in sample.measured.each.values() for value in each)
        yield from (edge for span in sample.measured.spans for edge in (span.start_s, span.end_s))


def main(words: Sequence[str] | None = None) -> int:
    """Write the page of a stored result; gives the exit code, 2 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description="Write a result as a web page.")
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="else beside the result")
    options = parser.parse_args(words)
    output = options.output or options.result.with_suffix(".html")
    try:
        output.write_text(render(read(options.result)), encoding="utf-8")
    except (NotAResult, OSError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"page: {' '.join(why.split())}\n")
        return 2
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
