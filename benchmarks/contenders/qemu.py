"""Plain QEMU, by its own documentation: disks by a mirror over NBD, memory with all parameters at their defaults.

The network learns where a server is from what QEMU announces when it resumes (RARP). OVN's way is the same with flows
(ovn.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import cast

from benchmarks.contenders.guests import Guests, other
from benchmarks.contenders.ovn import Chassis
from benchmarks.result import Measured, Setting
from benchmarks.watch import Seen, watch
from intercloud.bootstrap.lab import wait_for_application
from intercloud.clouds.lab.qemu import node
from intercloud.migration.world import together
from intercloud.model.server import Server
from intercloud.transfer.qmp import Event, Qmp

LONGEST = 60.0
"""Seconds for one step, as: all of the memory; some ten times what it takes an idle server."""
PORTS = 49500
"""The first port at the target: two for each server."""
SETTINGS: Mapping[str, Setting] = {
    "disks": "blockdev-mirror sync=full to NBD, until ready",
    "memory": "migrate, parameters at their defaults; pause-before-switchover and late-block-activate, as libvirt",
    "longest_s": LONGEST,
}


@dataclass
class Move:
    """One server on its way. resumed, paused: time.monotonic() of these events."""

    guests: Guests
    server: Server
    number: int
    postcopy: bool = False
    paused: float = 0.0
    resumed: float = 0.0
    began: float = 0.0

    def run(self) -> None:
        """Move it; the target is prepared first, as everybody does. The source's process ends in the end."""
        source, target = self.guests.home, other(self.guests.home)
        self.place()
        here, there = (self.guests.files(self.server, site) for site in (source, target))
        address = self.guests.stage.place(target).address
        self.began = time.monotonic()
        with Qmp(str(here.monitor), self.server.name) as a, Qmp(str(there.monitor), self.server.name) as b:
            self._mirror(a, b, address)
            self._memory(a, b, f"tcp:{address}:{PORTS + 2 * self.number + 1}")

    def place(self) -> None:
        """Let a process wait for it at the target, unless one does."""
        target = other(self.guests.home)
        if not self.guests.files(self.server, target).pid.exists():
            self.guests.boot(self.server, target, incoming=True)

    def _mirror(self, a: Qmp, b: Qmp, address: str) -> None:
        nbd = {"host": address, "port": str(PORTS + 2 * self.number)}
        b.execute("nbd-server-start", addr={"type": "inet", "data": nbd})
        for disk in self.server.disks:
            name = node(disk.name)
            b.execute("block-export-add", type="nbd", id=name, name=name, node_name=name, writable=True)
            remote = {"type": "inet", **nbd}
            a.execute("blockdev-add", driver="nbd", node_name=f"to-{name}", server=remote, export=name)
            a.execute("blockdev-mirror", job_id=name, device=name, target=f"to-{name}", sync="full")
            a.wait(_job(name, "BLOCK_JOB_READY"), LONGEST)

    def _memory(self, a: Qmp, b: Qmp, uri: str) -> None:
        capabilities = {"events": True, "pause-before-switchover": True, "postcopy-ram": self.postcopy}
        for monitor, more in ((a, {}), (b, {"late-block-activate": True})):
            wanted = [{"capability": name, "state": state} for name, state in (capabilities | more).items()]
            monitor.execute("migrate-set-capabilities", capabilities=wanted)
        b.execute("migrate-incoming", uri=uri)
        a.execute("migrate", uri=uri)
        if self.postcopy:  # after the first round, as libvirt's --postcopy-after-precopy
            a.wait(lambda event: event.name == "MIGRATION_PASS" and cast("int", event.data["pass"]) >= 2, LONGEST)
            a.execute("migrate-start-postcopy")
        a.wait(_status("pre-switchover"), LONGEST)
        for disk in self.server.disks:
            name = node(disk.name)
            a.execute("block-job-cancel", device=name)
            a.wait(_job(name, "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED"), LONGEST)
            a.execute("blockdev-del", node_name=f"to-{name}")
        b.execute("nbd-server-stop")
        a.execute("migrate-continue", state="pre-switchover")
        b.wait(_status("postcopy-active" if self.postcopy else "completed"), LONGEST)
        b.execute("cont")
        self.resumed = b.wait(lambda event: event.name == "RESUME", LONGEST).at
        a.wait(_status("completed"), LONGEST)
        self.paused = next(event.at for event in a.events() if event.name == "STOP")


def _status(wanted: str) -> Callable[[Event], bool]:
    return lambda event: event.name == "MIGRATION" and event.data.get("status") in (wanted, "failed")


def _job(name: str, *wanted: str) -> Callable[[Event], bool]:
    return lambda event: event.name in wanted and event.data["device"] == name


@dataclass(frozen=True)
class Way:
    """How plain QEMU is used. parallel: all servers at the same time; ovn: its way in the network."""

    parallel: bool = True
    ovn: bool = False
    postcopy: bool = False


def mover(guests: Guests, way: Way) -> Callable[[], Measured]:
    """Give the operation: one move of all, to the other site."""
    return partial(_move, guests, way)


def _move(guests: Guests, way: Way) -> Measured:
    source, target = guests.home, other(guests.home)
    moves = [Move(guests, server, number, way.postcopy) for number, server in enumerate(guests.fleet.servers)]
    with ExitStack() as stack:
        stack.enter_context(guests.awake())
        if way.ovn:
            chassis = Chassis(guests)
            stack.callback(guests.segment.learn)
            chassis.settle(source)
        wait_for_application(guests.prefix, guests.fleet)
        began = time.monotonic()
        ended: list[float] = []

        def act() -> None:
            if way.ovn:
                for move in moves:
                    move.place()
                chassis.prepare(source)
            if way.parallel:
                together(Move.run, moves)
            else:
                for move in moves:
                    move.run()
            if way.ovn:
                chassis.settle(target)
            guests.home = target
            for move in moves:
                guests.remove(move.server, source)
            ended.append(time.monotonic())

        before = guests.stage.sent(source)
        seen = watch(guests.prefix, guests.fleet, act)
        sent = guests.stage.sent(source) - before
    return _measured(moves, seen, {"migration_s": ended[0] - began, "sent_bytes": sent})


def _measured(moves: Sequence[Move], seen: Seen, others: Mapping[str, float]) -> Measured:
    figures = {
        **seen.figures,
        **others,
        "transfer_s": max(move.resumed for move in moves) - min(move.began for move in moves),
        "split_s": max(move.resumed for move in moves) - min(move.paused for move in moves),
        **seen.until_answered({move.server.name: move.resumed for move in moves}),
    }
    return Measured(figures, {"blackout_s": seen.blackouts})
