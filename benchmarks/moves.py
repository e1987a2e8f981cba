"""The benchmarks that move servers: B1 idle, B2 busy, B3 far away, B4 the queue, B5 clusters, B7 end to end, B8 killed.

B10, cold, is in B1 and B7. Two of them are the scenarios that users name: "single VM" and "clustered VMs".
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias, TypeVar, cast

from benchmarks import fleet
from benchmarks.contenders import intercloud, qemu, virsh
from benchmarks.contenders.guests import Guests
from benchmarks.harness import Lane, Scenario
from benchmarks.memories import distinct_bytes
from benchmarks.ratios import derive
from benchmarks.result import Measured, Setting
from benchmarks.segment import SETTINGS, Segment
from benchmarks.stage import UNLIMITED_MBIT, Stage, Wan
from intercloud.bootstrap.lab import wait_for_application
from intercloud.clouds.lab import demo
from intercloud.model.server import Cluster
from intercloud.units import MIB

Fleet: TypeAlias = intercloud.Fleet | Guests
F = TypeVar("F", intercloud.Fleet, Guests, virsh.Libvirt)
QEMU_LIMIT = 0.3
"""Seconds: QEMU's own downtime-limit."""
FILLED = 3.0
"""Seconds in which four servers on two processors without KVM rewrite 40 MiB each."""
NEXT_TO_NEVER = 0.01
"""MiB a second."""
CONTENDERS = ("intercloud", "qemu", "virsh", "ovn", "cold")


class Players:
    """The fleets of all contenders, of as many servers as are wanted now; booted when they are first wanted."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.segment = Segment(stage)
        self.segment.learn()
        self.count = 0
        self._fleets: dict[str, Fleet] = {}

    def gather(self, count: int) -> None:
        """From now on there are that many servers in each fleet."""
        if count != self.count:
            self.down()
            self.count = count

    def down(self) -> None:
        """End all fleets."""
        while self._fleets:
            _, each = self._fleets.popitem()
            each.down()

    def fleets(self) -> list[Fleet]:
        """Those that have been booted."""
        return [*self._fleets.values()]

    def ours(self) -> intercloud.Fleet:
        """The fleet in the clouds."""
        return self._booted("ours", partial(intercloud.Fleet, self.stage))

    def plain(self) -> Guests:
        """The fleet of plain QEMU."""
        return self._booted("plain", partial(Guests, self.stage, self.segment))

    def libvirt(self) -> virsh.Libvirt:
        """The fleet of libvirt."""
        return self._booted("libvirt", partial(virsh.Libvirt, self.stage, self.segment))

    def _booted(self, owner: str, make: Callable[[Cluster, str], F]) -> F:
        if owner not in self._fleets:
            self._fleets[owner] = make(fleet.cluster(self.stage.image, self.count), owner)
            _boot(self._fleets[owner])
        return cast("F", self._fleets[owner])

    def of(self, contender: str) -> Fleet:
        """Give a contender's fleet."""
        if contender == "virsh":
            return self.libvirt()
        return self.ours() if contender in (*OURS, KILLED) else self.plain()

    def lane(self, contender: str) -> Lane:
        """Give a contender's lane."""
        ways = {
            "qemu": qemu.Way(),
            SEQUENTIAL: qemu.Way(parallel=False),
            "qemu post-copy": qemu.Way(postcopy=True),
            "ovn": qemu.Way(ovn=True),
        }
        if contender in ways:
            return Lane(contender, qemu.mover(self.plain(), ways[contender]), {**qemu.SETTINGS, **SETTINGS})
        if contender == "virsh":
            return Lane(contender, virsh.mover(self.libvirt()), virsh.SETTINGS | SETTINGS)
        if contender == KILLED:
            return Lane(contender, intercloud.killed(self.ours(), KILLED_IN), intercloud.KILLED_SETTINGS)
        way = OURS[contender]
        return Lane(contender, intercloud.mover(self.ours(), way), way.settings)


KILLED, KILLED_IN = "intercloud, killed", "memory"
UNCOMPRESSED, SEQUENTIAL = "intercloud, uncompressed", "qemu sequential"
OURS: Mapping[str, intercloud.Way] = {
    "intercloud": intercloud.Way(),
    UNCOMPRESSED: intercloud.Way(migration={"compress": False}),
    "cold": intercloud.Way(("--strategy", "cold")),
}


@dataclass(frozen=True)
class Moves:
    """One scenario of moves.

    hot_mib: rewritten by each server for ever, at rho times what the link carries; None: as fast as it can.
    own_mib: in each server's memory and nowhere else, and nothing of it compresses. unsent: bytes at most that wait in
    the kernel to be sent, of contenders that leave that to it; None: no bound.
    """

    benchmark: str
    contenders: Sequence[str]
    servers: int = 1
    wan: Wan = field(default_factory=Wan)
    tunnel: str = "vxlan"
    hot_mib: int = 0
    rho: float | None = None
    own_mib: int = 0
    unsent: int | None = None
    name: str = ""

    def settings(self) -> dict[str, Setting]:
        """As it is written down."""
        unlimited = self.wan.rate_mbit >= UNLIMITED_MBIT
        found: dict[str, Setting] = {
            "name": self.name or None,
            "servers": self.servers,
            "images": None if self.servers == 1 else "own data" if self.own_mib else "same",
            "rate_mbit": "unlimited" if unlimited else self.wan.rate_mbit,
            "delay_ms": self.wan.delay_ms,
            "tunnel": self.tunnel,
            "mtu": demo.NETWORK.mtu,
            "memory_mib": demo.MEMORY // MIB,
            "disk_mib": demo.DISK // MIB,
            "hot_mib": self.hot_mib,
            "hot_to_limit": self._hot_to_limit(),
            "rho": self.rho,
            "own_mib": self.own_mib or None,
            "unsent_kib": self.unsent // 1024 if self.unsent else "no bound" if self.benchmark == "B4" else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _hot_to_limit(self) -> float | None:
        """Give hot set / (D_lim * B): above 1 a pre-copy that stops by QEMU's own rule does not end by itself."""
        if not self.hot_mib or self.wan.rate_mbit >= UNLIMITED_MBIT:
            return None
        return round(self.hot_mib * MIB * 8 / (QEMU_LIMIT * self.wan.rate_mbit * 1e6), 2)

    def scenario(self, players: Players) -> Scenario:
        """Give it to the harness."""
        return Scenario(self.benchmark, self.settings(), partial(self._open, players))

    @contextmanager
    def _open(self, players: Players) -> Iterator[Sequence[Lane]]:
        players.stage.hold(self.wan, self.tunnel)
        players.stage.unsent = self.unsent
        players.gather(self.servers)
        lanes = [players.lane(contender) for contender in self.contenders]
        facts: dict[str, float] = {}
        self._load(players.fleets())
        if "intercloud" in self.contenders and self.servers > 1:
            facts["distinct_bytes"] = distinct_bytes(players.ours())
        try:
            yield [
                replace(lane, measure=partial(_derived, lane.measure, facts), renew=partial(self._renew, players, lane))
                for lane in lanes
            ]
        finally:
            self._heat(players.fleets(), 0)
            players.stage.unsent = None
            if self.own_mib:
                players.down()  # what they have of their own stays in their memories

    def _renew(self, players: Players, lane: Lane) -> None:
        """Boot a fleet anew, with the load that this scenario holds."""
        each = players.of(lane.contender)
        each.down()
        _boot(each)
        self._load([each])

    def _load(self, fleets: Sequence[Fleet]) -> None:
        self._heat(fleets, self.hot_mib)
        self._fill(fleets)

    def _fill(self, fleets: Sequence[Fleet]) -> None:
        """Rewrite it once, and then next to never."""
        if not self.own_mib:
            return
        for each in fleets:
            with each.awake():
                for rate in (0, NEXT_TO_NEVER):
                    demo.heat(each.client, self.own_mib, rate, fleet.addresses(each.fleet).values())
                    time.sleep(FILLED)

    def _heat(self, fleets: Sequence[Fleet], mib: int) -> None:
        if not self.hot_mib:
            return
        rate = 0 if self.rho is None else self.rho * self.wan.rate_mbit * 1e6 / 8 / MIB
        for each in fleets:
            with each.awake():
                demo.heat(each.client, mib, rate, fleet.addresses(each.fleet).values())


def _boot(each: Fleet) -> None:
    """Let a fleet come up, and sleep."""
    each.up()
    wait_for_application(each.prefix, each.fleet)
    each.tell("stop")


def _derived(measure: Callable[[], Measured], facts: dict[str, float]) -> Measured:
    measured = measure()
    return replace(measured, figures=derive({**measured.figures, **facts}))


def _briefly(each: Moves) -> Moves:
    """Leave out who tells only where a contender's time goes."""
    return replace(each, contenders=[name for name in each.contenders if name not in (UNCOMPRESSED, SEQUENTIAL)])


def scenarios(players: Players, quick: bool) -> list[Scenario]:
    """Give all scenarios, or those that suffice for a first look."""
    slow, office, busy = Wan(400), Wan(400, 5), Wan(200)
    single = Moves("B1", CONTENDERS, name="single VM")
    idle = Moves("B1", ("intercloud", "qemu"), wan=slow)
    hot = Moves("B2", ("intercloud", UNCOMPRESSED, "qemu", "virsh"), wan=busy, hot_mib=1)
    clustered = Moves("B7", CONTENDERS, servers=3, wan=office, name="clustered VMs")
    parties = ("intercloud", UNCOMPRESSED, "qemu", SEQUENTIAL)
    gangs = [Moves("B5", parties, servers=n, wan=slow) for n in (2, 4, 8)]
    if quick:
        chosen = [single, idle, *(_briefly(each) for each in (hot, gangs[1])), clustered]
    else:
        sweep = [
            Moves("B2", ("intercloud", "qemu", "qemu post-copy"), wan=busy, hot_mib=32, rho=rho)
            for rho in (0.25, 0.5, 0.75, 0.9, 1.2)
        ]
        far = [Moves("B3", ("intercloud", "qemu"), wan=Wan(200, delay)) for delay in (0, 5, 25, 50, 100)]
        gre = replace(clustered, tunnel="gre", contenders=("intercloud",), name="")
        bounds = (None, *(kib * 1024 for kib in (32, 128, 512, 1024)))
        queue = [Moves("B4", ("qemu",), wan=busy, hot_mib=1, unsent=bound) for bound in bounds]
        own = replace(gangs[1], contenders=("intercloud", "qemu"), own_mib=40)
        killed = replace(clustered, benchmark="B8", contenders=("intercloud", KILLED), name="")
        chosen = [single, idle, hot, *sweep, *far, *queue, *gangs, own, clustered, gre, killed]
    return [each.scenario(players) for each in sorted(chosen, key=lambda each: each.servers)]
