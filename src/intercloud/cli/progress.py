"""Progress on stderr: bars on a terminal, now and then a line elsewhere, nothing when asked to be quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from intercloud.model.progress import (
    Estimate,
    Event,
    Note,
    PhaseChange,
    ProgressSink,
    ServerProgress,
    estimate,
    show_nothing,
)
from intercloud.units import show_bytes

EACH = 3.0
"""Seconds between two plain lines about one server."""


@contextmanager
def open_progress(stream: TextIO, quiet: bool) -> Iterator[ProgressSink]:
    """Show progress on this stream while the context lasts."""
    if quiet:
        yield show_nothing
    elif stream.isatty():
        # stdout is for results and must not be taken over
        with Progress(*_columns(), console=Console(file=stream), redirect_stdout=False) as progress:
            yield Bars(progress)
    else:
        yield Lines(stream)


class Lines:
    """Plain lines: one for each change of phase, and one every few seconds for each server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()
        self._estimates: dict[str, Estimate] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            match event:
                case Note(text):
                    self._write(text)
                case PhaseChange(phase, step, steps):
                    self._write(f"[{step}/{steps}] {phase}")
                case ServerProgress():
                    self._show(event)

    def _show(self, event: ServerProgress) -> None:
        before = self._estimates.get(event.server)
        now = self._estimates[event.server] = estimate(before, event)
        new = before is None or before.phase != now.phase
        finished = now.fraction == 1 and (new or (before is not None and before.fraction < 1))
        if new or finished or event.at - self._shown[event.server] >= EACH:
            self._shown[event.server] = event.at
            self._write(f"{event.server}: {now.phase} {now.fraction:4.0%}  {figures(now)}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Bars:
    """One bar for each server, and one for the cluster: steps done, and how far the servers are in this one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._estimates: dict[str, Estimate] = {}
        self._bars: dict[str, TaskID] = {}
        self._cluster = progress.add_task("cluster", total=1.0, phase="", figures="")
        self._step: PhaseChange | None = None
        self._within: dict[str, float] = {}
        self._done = 0.0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            match event:
                case Note(text):
                    self._progress.console.print(text, highlight=False, markup=False)
                case PhaseChange():
                    self._step, self._within = event, {}
                    self._show_cluster()
                case ServerProgress():
                    self._show(event)

    def _show(self, event: ServerProgress) -> None:
        now = self._estimates[event.server] = estimate(self._estimates.get(event.server), event)
        if event.server not in self._bars:
            self._bars[event.server] = self._progress.add_task(event.server, total=1.0, phase="", figures="")
        self._progress.update(self._bars[event.server], completed=now.fraction, phase=now.phase, figures=figures(now))
        self._within[event.server] = now.fraction
        self._show_cluster()

    def _show_cluster(self) -> None:
        if self._step is None:
            return
        within = sum(self._within.values()) / max(1, len(self._estimates))
        self._done = max(self._done, (self._step.step - 1 + within) / self._step.steps)
        self._progress.update(
            self._cluster,
            completed=self._done,
            phase=self._step.phase,
            figures=f"step {self._step.step} of {self._step.steps}",
        )


def figures(now: Estimate) -> str:
    """Say an estimate's bytes, rate and time left."""
    parts = [f"{show_bytes(now.done)} of {show_bytes(now.total)}"]
    if now.rate > 0 and now.fraction < 1:
        parts.append(f"{show_bytes(now.rate)}/s")
    if now.left is not None and now.fraction < 1:
        parts.append(f"{max(1.0, now.left):.0f} s left")
    return "  ".join(parts)


def _columns() -> tuple[TextColumn | BarColumn | TimeElapsedColumn, ...]:
    return (
        TextColumn("{task.description}", style="bold"),
        TextColumn("{task.fields[phase]}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[figures]}", style="dim"),
        TimeElapsedColumn(),
    )
