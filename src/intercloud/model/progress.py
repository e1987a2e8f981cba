"""What a migration tells while it runs, and how far along that is: plain values, and a pure estimate that only goes on.

Steps say what they know (bytes done, bytes to do); how it is shown is the business of `cli`. A total may grow while
memory is copied, because the guest goes on writing: people are shown a fraction and a time left that never run back.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from intercloud.units import Bytes, Seconds

SMOOTHING = 2.0
"""Seconds over which the rate is smoothed."""


@dataclass(frozen=True)
class ServerProgress:
    """So many bytes of one phase of one server are done. at: time.monotonic()."""

    server: str
    phase: str
    done: Bytes
    total: Bytes
    at: float


@dataclass(frozen=True)
class PhaseChange:
    """The whole cluster enters a phase, the `step`-th of `steps`, counted from 1. at: time.monotonic()."""

    phase: str
    step: int
    steps: int
    at: float


@dataclass(frozen=True)
class Note:
    """One line that people should read now."""

    text: str


Event = ServerProgress | PhaseChange | Note


class ProgressSink(Protocol):
    """Takes events, from any thread, and never raises or blocks for long."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""


def show_nothing(_: Event) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Estimate:
    """How far one phase of one server is. fraction: 0..1, never falls; left: never rises, None while not known.

    rate: bytes a second, smoothed; 0 at the beginning.
    """

    phase: str
    done: Bytes
    total: Bytes
    fraction: float
    rate: float
    left: Seconds | None
    at: float


def estimate(before: Estimate | None, event: ServerProgress) -> Estimate:
    """Go on from the estimate before this event; another phase begins anew."""
    if before is None or before.phase != event.phase:
        fraction = min(1.0, event.done / event.total) if event.total else 0.0
        return Estimate(event.phase, event.done, event.total, fraction, 0.0, None, event.at)
    done = max(before.done, event.done)
    total = Bytes(max(done, event.total))
    fraction = max(before.fraction, done / total if total else 0.0)
    rate, at = before.rate, before.at
    if event.at > before.at:
        at = event.at
        now = (done - before.done) / (at - before.at)
        rate = now if rate == 0 else rate + (now - rate) * (1 - math.exp((before.at - at) / SMOOTHING))
    left = Seconds((total - done) / rate) if rate > 0 else None
    known = [time for time in (left, before.left) if time is not None]
    return Estimate(event.phase, done, total, fraction, rate, min(known, default=None), at)
