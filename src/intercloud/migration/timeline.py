"""When each server was in which phase, and the moments that matter. Times are time.monotonic()."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Timeline:
    """Written by every step of a run, from any thread (appending is one operation), and read for its report."""

    phases: list[tuple[str, str, float, float]] = field(default_factory=list)
    marks: list[tuple[str, str, float]] = field(default_factory=list)

    @contextmanager
    def phase(self, server: str, name: str) -> Iterator[None]:
        """Note that a server is in a phase while the context lasts."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(server, name, start, time.monotonic())

    def add(self, server: str, name: str, start: float, end: float) -> None:
        """Note a phase that has been."""
        self.phases.append((server, name, start, end))

    def mark(self, server: str, what: str, at: float) -> None:
        """Note a moment."""
        self.marks.append((server, what, at))

    def moment(self, server: str, what: str) -> float | None:
        """Return when something happened to a server, the last time it did."""
        return next((at for name, each, at in reversed(self.marks) if (name, each) == (server, what)), None)
