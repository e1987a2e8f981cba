"""The switchover of a live move, and what is noted about it."""

import os

from intercloud.migration.gang import Gang, Member
from intercloud.migration.world import Moving, World
from intercloud.transfer.digest import since
from intercloud.transfer.qmp import Event, Qmp
from intercloud.units import Seconds

LAST_PAGE = Seconds(600.0)
"""Longest time for the pages that follow a post-copy."""


def switch_over(world: World) -> None:
    """Move the whole gang at one moment. Before the commit a failure leaves all running at the source."""
    members = [Member.of(moving, since(world.plan.run)) for moving in world.moving.values()]
    gang = Gang(members, world.control, world.plan.path.rate)
    world.load = os.getloadavg()
    gang.approach(world.plan.limits.max_blackout, world.go_on)
    gang.hand_over(dict.fromkeys(world.macs, world.there), dict.fromkeys(world.macs, world.here))
    world.committed = True
    gang.commit()
    world.cutover = gang.cutover
    gang.tell_events()
    for member in gang.members:
        moving = world.moving[member.name]
        moving.last_sample = member.sample
        _note(world, moving, member)


def _note(world: World, moving: Moving, member: Member) -> None:
    stopped = _when(member.source, "STOP", member.source_mark)
    resumed = _when(member.target, "RESUME", member.target_mark)
    world.timeline.mark(moving.name, "stopped", stopped.at)
    if world.cutover:
        world.timeline.mark(moving.name, "flows changed", world.cutover.ended)
    world.timeline.mark(moving.name, "resumed", resumed.at)
    world.timeline.add(moving.name, "switchover", stopped.at, resumed.at)


def _when(monitor: Qmp, name: str, since: int) -> Event:
    return monitor.wait(lambda event: event.name == name, 10.0, since)


def settle_target(world: World) -> None:
    """Wait for what follows a post-copy, and let the target's cloud record the servers as its own."""

    def settle(moving: Moving) -> None:
        assert moving.memory
        moving.final_sample = moving.memory.wait_complete(LAST_PAGE)
        world.target.adopt_server(moving.name)

    world.each(settle)
