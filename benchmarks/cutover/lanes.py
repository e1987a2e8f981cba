"""The contenders of the cutover, and one sample of each."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.cutover import changes
from benchmarks.cutover.arrivals import figures, mistake, stale, without
from benchmarks.cutover.learning import MOST, learning
from benchmarks.cutover.raw import Raw
from benchmarks.cutover.stand import NEW, OLD, Stand, stand
from benchmarks.cutover.traffic import Hosts, Traffic
from benchmarks.harness import Failed, Lane, Scenario
from benchmarks.result import Measured
from intercloud.control.messages import Cutover
from intercloud.model.site import Tunnel

RATE, SLOW_RATE = 4000, 1000
"""Packets a second."""
COUNTS = {Tunnel.VXLAN: (1, 10, 100, 1000, 10000), Tunnel.GRE: (1, 100)}
QUICK_COUNTS = {Tunnel.VXLAN: (1, 100)}

_BEFORE_S, _AFTER_S = 0.15, 0.2
"""How long packets go to the old place before the act, and to the new one after it."""
_SWITCH_INTERVAL_S, _PRIORITY = 0.0005, -10
"""The controller's, see intercloud.control.daemon: here others are in its place."""


@dataclass(frozen=True)
class Contender:
    """One way to move the endpoints. act: does it; back: makes everything as it was, whatever was done.

    ready: called before there is traffic. leaves_first: nobody is at the old place from the beginning of the act on,
    for it is the server itself, running at the new place, that begins it. Others turn traffic while both places hear.
    """

    act: Callable[[], Cutover]
    back: Callable[[], object]
    hosts: Hosts
    ready: Callable[[], object] = lambda: None
    leaves_first: bool = False


def scenarios(quick: bool) -> list[Scenario]:
    """List what is measured: numbers of endpoints over tunnels at the high rate, and one endpoint at the low rate."""
    counts = QUICK_COUNTS if quick else COUNTS
    cells = [(tunnel, count, RATE) for tunnel, each in counts.items() for count in each]
    cells += [] if quick else [(Tunnel.VXLAN, 1, SLOW_RATE)]
    return [
        Scenario(
            "B6",
            {"flows": count, "tunnel": tunnel.value, "packets_per_s": rate},
            partial(_open, tunnel, count, rate),
        )
        for tunnel, count, rate in cells
    ]


@contextmanager
def _open(tunnel: Tunnel, count: int, rate: int) -> Iterator[Sequence[Lane]]:
    with _as_the_controller(), stand(tunnel, count) as held:
        raw = Raw(held.switches)
        yield [Lane(name, partial(_sample, each, raw, rate)) for name, each in _contenders(held, raw).items()]


@contextmanager
def _as_the_controller() -> Iterator[None]:
    interval, priority = sys.getswitchinterval(), os.getpriority(os.PRIO_PROCESS, 0)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
        sys.setswitchinterval(interval)


def _contenders(held: Stand, raw: Raw) -> Mapping[str, Contender]:
    pairs = changes.changed(held.before, held.after, held.moves, held.ports)
    back = raw.prepare(changes.back(pairs))
    back()  # all begin from the same, even if the controller could not bring it about
    plans = {
        "modify": changes.modify(pairs),
        "bundle": changes.bundle(pairs),
        "delete-then-add": changes.delete_then_add(pairs),
        "clone-then-prune": changes.clone_then_prune(pairs, OLD, NEW),
    }
    contenders = {name: Contender(raw.prepare(plan), back, held.hosts) for name, plan in plans.items()}
    if held.held:
        mine = Contender(held.cutover, partial(_all_back, held, back), held.hosts, held.wake)
        contenders = {"intercloud": mine, **contenders}
    if len(held.moves) <= MOST:
        learn = learning(held)
        learn.back()
        contenders["rarp learning"] = Contender(learn.move, learn.back, learn.hosts, leaves_first=True)
    return contenders


def _all_back(held: Stand, back: Callable[[], object]) -> None:
    try:
        held.cut_back()
    finally:
        back()


def _sample(contender: Contender, raw: Raw, rate: int) -> Measured:
    contender.ready()
    try:
        return _measure(contender, raw, rate)
    finally:
        contender.back()


def _measure(contender: Contender, raw: Raw, rate: int) -> Measured:
    with Traffic(contender.hosts, rate) as traffic:
        traffic.wait_for_first(OLD)
        time.sleep(_BEFORE_S)
        barriers = raw.barriers()
        called = time.monotonic()
        done = contender.act()
        returned = time.monotonic()
        time.sleep(_AFTER_S)
        seen = traffic.stop()
    counted = without(seen, OLD, done.started) if contender.leaves_first else seen
    found = figures(counted) | {"stale": stale(counted, OLD, done.ended)}
    if done.per_switch_s:
        found |= {"call_s": returned - called} | _reconfiguration(done, barriers)
    measured = Measured(found)
    if why := mistake(seen, OLD, NEW, done.started):
        raise Failed(why, measured)
    return measured


def _reconfiguration(done: Cutover, barriers: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the act and of its slowest switch, which is compared with that switch's own bare barrier."""
    worst = max(done.per_switch_s, key=lambda site: done.per_switch_s[site])
    return {
        "reconfiguration_s": done.reconfiguration_s,
        "reconfiguration_per_switch_s": done.per_switch_s[worst],
        "barrier_s": barriers[worst],
        "ratio_to_barrier": done.per_switch_s[worst] / barriers[worst],
    }
