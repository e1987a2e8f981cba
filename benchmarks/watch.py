"""What clients see of an act: the project's own probe around it, for every contender the same."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.fleet import addresses
from intercloud.endpoints.downtime import Gap
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import ProbeConfig, ProbeResult
from intercloud.model.server import Cluster

BEFORE, AFTER = 1.0, 1.5
"""Seconds of probing around the act. QEMU's last announcement comes 0.8 s after the resume."""


@dataclass(frozen=True)
class Seen:
    """What clients saw. blackouts: of each server. gaps: server → its times without an answer, in order of time."""

    figures: Mapping[str, float]
    blackouts: tuple[float, ...]
    gaps: Mapping[str, Sequence[Gap]]

    def until_answered(self, resumed: Mapping[str, float]) -> dict[str, float]:
        """How a network that learns is reconfigured: from a server's resume until it answers, the slowest one's time.

        resumed: server → time.monotonic() of its resume. The gap in which that falls ends with the first answer, and
        need not be the longest one: a server may be silent for longer while its disk is copied. One that was resumed
        between two answers in time has no such gap; when none has one, there is no such figure.
        """
        late = [
            gap.end - at
            for name, at in resumed.items()
            for gap in self.gaps.get(name, ())
            if gap.start <= at <= gap.end
        ]
        return {"reconfiguration_s": max(late)} if late else {}


def watch(prefix: Sequence[str], fleet: Cluster, act: Callable[[], None]) -> Seen:
    """Probe a fleet from behind `prefix` while something is done to it. Raises what the act raises."""
    where = addresses(fleet)
    web = fleet.health.split("/")[2] if fleet.health else None
    config = ProbeConfig(
        run=f"{time.monotonic_ns() % 10**8:08d}",
        targets=where,
        stream=next(iter(where)),
        web=web,
        ready_within=20.0,
    )
    with Probe.start(prefix, config) as probe:
        time.sleep(BEFORE)
        act()
        time.sleep(AFTER)
        return read(probe.stop())


def read(result: ProbeResult) -> Seen:
    """Take what is compared from what the probe hands back."""
    udp = result.udp.values()
    others = [each for each in (result.tcp, result.http) if each]
    figures = {
        "blackout_s": max(each.downtime for each in udp),
        "worst_gap_s": max(each.downtime for each in (*udp, *others)),
        "lost": sum(each.lost for each in udp),
        "duplicated": sum(each.duplicated for each in udp),
        "tcp_broken": result.broken,
        "late_s": result.late,
    }
    if result.http:
        figures["http_failed"] = result.http.lost
    if result.lost_writes is not None:
        figures["writes_lost"] = result.lost_writes
    return Seen(figures, tuple(each.downtime for each in udp), {name: each.gaps for name, each in result.udp.items()})
