"""What sets things right: after a failure, after a crash, or because the user wants to go back. All safe to repeat."""

import contextlib
from collections.abc import Iterable

from intercloud.errors import ControlError
from intercloud.migration import proof
from intercloud.migration.settle import Commit
from intercloud.migration.world import Moving, World
from intercloud.model.strategy import Strategy
from intercloud.transfer import channel, mirror
from intercloud.units import Seconds

ENDS = Seconds(10.0)
"""Longest wait for a cancelled transfer to end."""


def clean(world: World, servers: Iterable[str]) -> None:
    """Take away all that a move has made for servers that run on at the source."""

    def remove(moving: Moving) -> None:
        if world.plan.strategy is Strategy.LIVE:
            moving.memory_at_source.cancel()
            mirror.abandon(moving.source.qmp, moving.source.monitor)
            proof.forget(moving)
            moving.memory_at_source.wait_ended(ENDS)
            moving.memory_at_source.leave()
            channel.sweep(moving.source.monitor)
        world.source.adopt_server(moving.name)
        moving.target.close()
        world.unplug(moving, world.plan.target)
        with world.giving_up(world.plan.target):
            world.target.delete_server(moving.name)
        moving.notes.proven = moving.notes.warm = False
        moving.copies.clear()

    world.each(remove, servers)
    world.archive.drop(world.plan.run)


def thaw(world: World, servers: Iterable[str]) -> None:
    """Let stopped sources go on where they stood, and turn their traffic back. Their targets never ran, or are lost."""
    servers = tuple(servers)

    def go_on(moving: Moving) -> None:
        memory = moving.memory_at_source
        memory.cancel()
        if memory.wait_ended(ENDS) == "completed":
            _give_up(world, moving)
        moving.source.qmp.execute("cont")
        if world.notes.commit is not Commit.NO:  # it may have been taken for one that runs elsewhere
            world.source.adopt_server(moving.name)

    world.each(go_on, servers)
    if world.notes.commit is Commit.MAYBE:  # none of these has crossed, and they switch over together
        world.notes.commit = Commit.NO
    with contextlib.suppress(ControlError):  # they run; where their traffic goes is looked at next
        turn_back(world, servers)


def _give_up(world: World, moving: Moving) -> None:
    """Say what is given up with a lost target that may have run."""
    if world.is_lost(moving.target):
        ran = f"{moving.name} may have run at {world.plan.target}, which is lost: what it wrote there is given up"
        world.notes.trouble.append(ran)


def fence(world: World, servers: Iterable[str]) -> None:
    """Stop a source that runs beside its target; its memory stays whole."""
    for name in servers:
        if world.plan.strategy is Strategy.LIVE:
            world.moving[name].source.qmp.execute("stop")
        else:
            world.source.stop_server(name)


def turn(world: World, servers: Iterable[str]) -> None:
    """Turn the traffic of each to the target."""
    world.notes.cutover = world.control.cutover(dict.fromkeys(world.macs_of(servers), world.there))


def turn_back(world: World, servers: Iterable[str]) -> None:
    """Turn the traffic of each to the source."""
    world.control.cutover(dict.fromkeys(world.macs_of(servers), world.here))


def start_source(world: World, servers: Iterable[str]) -> None:
    """Boot at the source again. Its target has never run, or is lost."""

    def start(moving: Moving) -> None:
        if world.committed:
            _give_up(world, moving)
        moving.notes.booted = True
        world.source.start_server(moving.name)
        moving.source.close()
        _plug_anew(world, moving, world.here)

    world.each(start, servers)


def start_target(world: World, servers: Iterable[str]) -> None:
    """Boot at the target: its source is stopped for good."""

    def start(moving: Moving) -> None:
        with world.notes.timeline.phase(moving.name, "boot"):
            moving.notes.booted = True
            world.target.adopt_server(moving.name)
            world.target.start_server(moving.name)
            moving.target.close()
            _plug_anew(world, moving, world.there)

    world.each(start, servers)


def _plug_anew(world: World, moving: Moving, site: str) -> None:
    """Plug a booted server's cards again where they were: its devices may have been made anew."""
    for nic in moving.server.nics:
        if port := world.control.registry().endpoint(nic.mac).ports.get(site):
            world.control.plug(nic.mac, site, port)
