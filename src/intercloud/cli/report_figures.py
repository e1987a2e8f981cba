"""The figures of the report's page, as SVG text: pure, and coloured by the page's style classes alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from intercloud.model.report import Gap, Report, ServerTimeline, Stream
from intercloud.units import show_seconds

WIDTH, LEFT, RIGHT, LANE, PAIR, TALL, AXIS = 960, 96, 24, 34, 44, 60, 30
ROOM = 0.25
"""Share of the switchover's length that is left free for words on its right."""
PHASES = 6
"""How many colours the style has for phases, beside the switchover's own."""
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """A stretch of time, drawn from the gutter on the left to the right margin."""

    start: float
    end: float

    def x(self, at: float) -> float:
        """Where a moment is drawn."""
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def draw(self, height: float, zero: float) -> str:
        """Draw grid lines and their labels, counted from `zero`, in the unit that fits."""
        unit, factor = ("ms", 1000) if self.end - self.start < 2 else ("s", 1)
        parts = []
        for tick in ticks((self.start - zero) * factor, (self.end - zero) * factor):
            x = self.x(zero + tick / factor)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - AXIS + 6:.0f}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8:.0f}">{tick:g} {unit}</text>')
        return "".join(parts)


def ticks(start: float, end: float, count: int = 8) -> list[float]:
    """Choose about `count` round numbers between two others."""
    if end <= start:
        return []
    rough = (end - start) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in STEPS if factor * power >= rough * 0.999)
    return [round(number * step, 9) for number in range(math.ceil(start / step), math.floor(end / step) + 1)]


def phase_classes(timeline: Iterable[ServerTimeline]) -> Mapping[str, str]:
    """Give each phase its colour, in the order of time; the switchover has its own."""
    spans = sorted((span for each in timeline for span in each.phases), key=lambda span: span.start_s)
    names = [name for name in dict.fromkeys(span.phase for span in spans) if name != "switchover"]
    return {"switchover": "switch"} | {name: f"phase{index % PHASES}" for index, name in enumerate(names)}


def timeline(report: Report) -> str:
    """Draw what was done with each server, from the request to the end; nothing without a timeline."""
    spans = [span for each in report.timeline for span in each.phases]
    if not spans:
        return ""
    axis = Axis(min(0.0, *(span.start_s for span in spans)), max(report.migration_time_s, *(s.end_s for s in spans)))
    classes = phase_classes(report.timeline)
    height = LANE * len(report.timeline) + AXIS
    parts = [axis.draw(height, 0.0)]
    for row, each in enumerate(report.timeline):
        top = row * LANE + 7
        parts.append(_label(each.server, top + 14))
        for span in each.phases:
            tip = f"{each.server}: {span.phase}, {show_seconds(span.end_s - span.start_s)}"
            parts.append(_bar(axis, (span.start_s, span.end_s), (top, 20), classes[span.phase], tip))
        parts += [
            _mark(axis, mark.at_s, (top - 4, 28), f"{each.server}: {mark.what} at {mark.at_s:.3f} s")
            for mark in each.marks
        ]
    return _svg(height, "Phases of each server", parts)


def legend(report: Report) -> Sequence[tuple[str, str]]:
    """Give (style class, name) of the phases in the timeline, the switchover last."""
    used = {span.phase for each in report.timeline for span in each.phases}
    items = [(style, name) for name, style in phase_classes(report.timeline).items() if name in used]
    return sorted(items, key=lambda item: item[0] == "switch")


def close_up(report: Report) -> str:
    """Draw the switchover: when each server was paused, when its flows changed, and what the probes missed of it."""
    stops = [mark.at_s for each in report.timeline for mark in each.marks if mark.what == "stopped"]
    streams = report.probe.streams if report.probe else ()
    if not stops:
        return ""
    marks = [mark.at_s for each in report.timeline for mark in each.marks]
    missed = {stream.name: _around(stream, min(marks), max(marks)) for stream in streams}
    edges = [*marks, *(edge for gap in missed.values() if gap for edge in (gap.start_s, gap.end_s))]
    width = max(max(edges) - min(edges), 0.01)
    axis, zero = Axis(min(edges) - 0.08 * width, max(edges) + ROOM * width), min(stops)
    others = [name for name in missed if name not in {f"udp {each.server}" for each in report.timeline}]
    height = PAIR * len(report.timeline) + LANE * len(others) + AXIS
    parts = [axis.draw(height, zero)]
    for row, each in enumerate(report.timeline):
        top = row * PAIR + 4
        parts += [_label(each.server, top + 22), *_paused(axis, each, top)]
        parts += _missed(axis, missed.get(f"udp {each.server}"), top + 18)
    for row, name in enumerate(others):
        top = PAIR * len(report.timeline) + row * LANE + 8
        parts += [_label(name.upper(), top + 12), *_missed(axis, missed[name], top)]
    return _svg(height, "The switchover, from the first pause", parts)


def gaps(report: Report) -> str:
    """Draw how long answers were missing, through the whole run, a lane for each kind of probe; nothing without one."""
    probe = report.probe
    if not probe or probe.end_s <= probe.start_s:
        return ""
    kinds: dict[str, list[tuple[str, Gap]]] = {}
    for stream in probe.streams:
        kinds.setdefault(stream.name.partition(" ")[0], []).extend((stream.name, gap) for gap in stream.gaps)
    axis, height = Axis(probe.start_s, probe.end_s), TALL * len(kinds) + AXIS
    longest = max((_length(gap) for found in kinds.values() for _, gap in found), default=0.01)
    parts = [axis.draw(height, 0.0)]
    for row, (kind, found) in enumerate(kinds.items()):
        base = (row + 1) * TALL - 6
        worst = max((_length(gap) for _, gap in found), default=0.0)
        parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
        parts += [_label(kind.upper(), base - 20), _label(f"≤ {show_seconds(worst)}" if found else "none", base - 3)]
        for name, gap in found:
            tall = max(2.0, _length(gap) / longest * (TALL - 14))
            tip = f"{name}: no answer for {show_seconds(_length(gap))} from {gap.start_s:.3f} s"
            parts.append(_bar(axis, (gap.start_s, gap.end_s), (base - tall, tall), "missed", tip))
    return _svg(height, "Times without an answer, through the whole run", parts)


def _length(gap: Gap) -> float:
    return gap.end_s - gap.start_s


def _around(stream: Stream, start: float, end: float) -> Gap | None:
    """Find the longest gap of a stream that has to do with the switchover."""
    near = [gap for gap in stream.gaps if gap.end_s > start - 0.05 and gap.start_s < end + 0.05]
    return max(near, key=_length, default=None)


def _paused(axis: Axis, each: ServerTimeline, top: float) -> Iterable[str]:
    at = {mark.what: mark.at_s for mark in each.marks}
    if "stopped" in at and "resumed" in at:
        length = show_seconds(at["resumed"] - at["stopped"])
        yield _bar(axis, (at["stopped"], at["resumed"]), (top, 14), "switch", f"{each.server}: paused for {length}")
        yield _beside(axis, at["resumed"], top + 11, f"paused {length}")
    for what, moment in at.items():
        if what not in ("stopped", "resumed"):
            after = f"{show_seconds(moment - at['stopped'])} after its stop" if "stopped" in at else ""
            yield _mark(axis, moment, (top - 2, 38), f"{each.server}: {what} {after}")


def _missed(axis: Axis, gap: Gap | None, top: float) -> Iterable[str]:
    if gap:
        length = f"no answer for {show_seconds(_length(gap))}"
        yield _bar(axis, (gap.start_s, gap.end_s), (top, 14), "missed", length)
        yield _beside(axis, gap.end_s, top + 11, length)
    else:
        yield f'<text class="note" x="{LEFT + 8}" y="{top + 11}">no answer was missing</text>'


def _label(text: str, y: float) -> str:
    return f'<text class="lane" x="{LEFT - 10}" y="{y:.0f}">{escape(text)}</text>'


def _bar(axis: Axis, span: tuple[float, float], place: tuple[float, float], style: str, tip: str) -> str:
    x, width = axis.x(span[0]), max(2.0, axis.x(span[1]) - axis.x(span[0]))
    return (
        f'<rect class="{style}" x="{x:.1f}" y="{place[0]:.0f}" width="{width:.1f}" height="{place[1]:.0f}" rx="2">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _mark(axis: Axis, at: float, place: tuple[float, float], tip: str) -> str:
    x, top = axis.x(at), place[0]
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.0f}" y2="{top + place[1]:.0f}">'
        f"<title>{escape(tip)}</title></line>"
    )


def _beside(axis: Axis, end: float, y: float, text: str) -> str:
    return f'<text class="note" x="{axis.x(end) + 8:.1f}" y="{y:.0f}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
