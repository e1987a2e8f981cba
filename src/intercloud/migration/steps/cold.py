"""The steps of a cold move: a place, stop, copy the disks, boot at the target with the same MAC, IP and name."""

import time
from collections.abc import Iterable

from intercloud.clouds.port import DiskRef
from intercloud.errors import VerifyError
from intercloud.migration import proof
from intercloud.migration.settle import Commit
from intercloud.migration.steps.back import turn
from intercloud.migration.world import Moving, World
from intercloud.transfer.digest import since
from intercloud.units import Bytes


def land(world: World, servers: Iterable[str]) -> None:
    """Make each server at the target, stopped, so that no want of room shows when the application is down."""

    def make(moving: Moving) -> None:
        world.go_on()
        with world.notes.timeline.phase(moving.name, "landing"):
            world.plug_target(moving.create())

    world.each(make, servers)


def stop(world: World, servers: Iterable[str]) -> None:
    """Stop all servers at the source; from here on the application is down."""

    def stop_one(moving: Moving) -> None:
        world.source.stop_server(moving.name)
        world.notes.timeline.mark(moving.name, "stopped", time.monotonic())

    world.each(stop_one, servers)


def copy(world: World, servers: Iterable[str]) -> None:
    """Fill the disks at the target; both sides of each disk are digested before anything boots."""
    servers = tuple(servers)

    def copy_one(moving: Moving) -> None:
        with world.notes.timeline.phase(moving.name, "disks"):
            # whoever made the place may have been killed before its cards were plugged
            world.plug_target(moving.create())
            for disk in moving.server.disks:
                what = DiskRef(moving.name, disk, since(world.plan.run))
                with world.source.offer(what) as offer:
                    told = world.progress(moving.name, "disks", disk.size)
                    moving.notes.sent = Bytes(moving.notes.sent + world.target.fetch(what, offer, told))
                    if world.plan.limits.verify_digests:
                        with world.target.offer(what) as arrived:
                            proof.compare_copies(world, moving, disk, (offer, arrived))

    world.each(copy_one, servers)
    if problems := proof.problems(world):
        raise VerifyError("; ".join(problems))
    for name in servers:
        world.moving[name].notes.proven = True


def commit(world: World, servers: Iterable[str]) -> None:
    """Cross the point of no return: recorded before anything boots at the target. The traffic goes there already."""
    servers = tuple(servers)
    world.go_on()
    turn(world, servers)
    for name in servers:
        if world.notes.cutover:
            world.notes.timeline.mark(name, "flows changed", world.notes.cutover.ended)
    world.notes.commit = Commit.YES
