"""The switchover of a live move, and what is noted about it."""

import os
import time
from collections.abc import Iterable

from intercloud.clouds.port import ServerState
from intercloud.control.urgency import urgent
from intercloud.errors import IntercloudError, MonitorError
from intercloud.migration.gang import Gang, Member
from intercloud.migration.settle import Commit
from intercloud.migration.world import Moving, World
from intercloud.transfer.digest import since
from intercloud.transfer.qmp import Event, Qmp, receiver, together

WAKING = 0.4
"""Seconds. A guest without KVM has all its code translated anew when it awakes: some 100 ms of a processor, which
nothing of ours shall take from it."""


def switch_over(world: World, servers: Iterable[str]) -> None:
    """Move the whole gang at one moment. What a failure before the commit leaves, the table sets right."""
    servers = tuple(servers)
    bitmap, link = since(world.plan.run), world.plan.path.rate
    members = [Member.of(world.moving[name], bitmap, link) for name in servers]
    moves = dict.fromkeys(world.macs_of(servers), world.there)
    gang = Gang(members, moves, world.control, link)
    world.notes.load = os.getloadavg()
    with urgent([receiver()]):
        gang.approach(world.plan.limits.max_blackout, world.go_on)
        gang.hand_over()
        world.notes.commit = Commit.YES
        gang.commit()
    world.announce()
    let_go(world, servers)
    if world.notes.facts.get("accelerator") == "TCG":
        time.sleep(WAKING)
    world.notes.cutover = gang.cutover
    gang.tell_events()
    for member in gang.members:
        moving = world.moving[member.name]
        moving.notes.last_sample = member.sample
        _note(world, moving, member)


def let_go(world: World, servers: Iterable[str]) -> None:
    """Let the source's network know that servers run elsewhere. Without that, what is beside them waits for release."""

    def tell(moving: Moving) -> None:
        if world.is_lost(moving.source):
            return
        try:
            world.source.adopt_server(moving.name, elsewhere=True)
        except IntercloudError as error:
            lack = f"{world.plan.source} may go on to deliver to {moving.name} there until that is released: {error}"
            world.notes.trouble.append(lack)

    world.each(tell, servers)


def _note(world: World, moving: Moving, member: Member) -> None:
    timeline = world.notes.timeline
    resumed = _when(member.target, "RESUME", member.target_mark)
    stopped = member.source.wait_quietly(lambda event: event.name == "STOP", 0.1, member.source_mark)
    if stopped:  # else it had stopped by itself, before anybody listened: when, nobody knows
        timeline.mark(moving.name, "stopped", stopped.at)
        timeline.add(moving.name, "switchover", stopped.at, resumed.at)
    if world.notes.cutover:
        timeline.mark(moving.name, "flows changed", world.notes.cutover.ended)
    timeline.mark(moving.name, "resumed", resumed.at)


def _when(monitor: Qmp, name: str, since: int) -> Event:
    return monitor.wait(lambda event: event.name == name, 10.0, since)


def let_run(world: World, servers: Iterable[str]) -> None:
    """Let targets run that are complete: the rest of a switchover that was cut off. Their sources are stopped."""
    servers = tuple(servers)
    for name in servers:
        lost = world.is_lost(world.moving[name].source)
        if not lost and world.source.server_state(name) is ServerState.RUNNING:
            raise MonitorError(f"{name} runs at {world.plan.source} again; it is not let run at {world.plan.target}")
    world.notes.commit = Commit.YES
    together({name: world.moving[name].target.qmp for name in servers}, "cont")
    world.announce()
    for name in servers:
        world.notes.timeline.mark(name, "resumed", time.monotonic())
    let_go(world, servers)
