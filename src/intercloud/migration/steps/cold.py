"""The steps of a cold move: stop, copy the disks, boot at the target with the same MAC, IP and name."""

import time

from intercloud.clouds.port import DiskRef, ServerState
from intercloud.errors import VerifyError
from intercloud.migration import proof
from intercloud.migration.world import Moving, World
from intercloud.transfer.digest import since
from intercloud.units import Bytes, Seconds

BOOT = Seconds(120.0)
"""Longest time for the application to answer after the last server has been started."""


def stop(world: World) -> None:
    """Stop all servers at the source; from here on the application is down."""

    def stop_one(moving: Moving) -> None:
        world.source.stop_server(moving.name)
        world.timeline.mark(moving.name, "stopped", time.monotonic())

    world.each(stop_one)


def start_again(world: World) -> None:
    """Boot at the source again those that were running there."""
    site = world.here

    def start(moving: Moving) -> None:
        if world.source.server_state(moving.name) is ServerState.STOPPED:
            world.source.start_server(moving.name)
            for nic in moving.server.nics:
                port = world.control.registry().endpoint(nic.mac).ports.get(site)
                if port:
                    world.control.plug(nic.mac, site, port)

    world.each(start)


def copy(world: World) -> None:
    """Make each server at the target and fill its disks; both sides of each disk are digested before anything boots."""

    def copy_one(moving: Moving) -> None:
        with world.timeline.phase(moving.name, "disks"):
            moving.placement = world.target.create_server(world.plan.cluster, moving.server)
            for disk in moving.server.disks:
                what = DiskRef(moving.name, disk, since(world.plan.run))
                with world.source.offer(what) as offer:
                    told = world.progress(moving.name, "disks", disk.size)
                    moving.sent = Bytes(moving.sent + world.target.fetch(what, offer, told))
                    if world.plan.limits.verify_digests:
                        with world.target.offer(what) as arrived:
                            proof.compare_copies(world, moving, disk, (offer, arrived))

    world.each(copy_one)
    if problems := proof.problems(world):
        raise VerifyError("; ".join(problems))


def remove(world: World) -> None:
    """Take the servers at the target away; their traffic goes to the source again."""
    site = world.there
    if world.cutover:
        world.control.cutover(dict.fromkeys(world.macs, world.here))

    def remove_one(moving: Moving) -> None:
        for nic in moving.server.nics:
            world.control.unplug(nic.mac, site)
        world.target.delete_server(moving.name)

    world.each(remove_one)
    world.archive.drop(world.plan.run)


def boot(world: World) -> None:
    """Turn the traffic to the target and boot there. The sources are stopped, so nothing runs twice."""
    site = world.there
    world.go_on()

    def boot_one(moving: Moving) -> None:
        assert moving.placement
        with world.timeline.phase(moving.name, "boot"):
            world.target.start_server(moving.name)
            for mac, port in moving.placement.ports.items():
                world.control.plug(mac, site, port)

    world.each(boot_one)
    world.cutover = world.control.cutover(dict.fromkeys(world.macs, site))
    for name in world.moving:
        world.timeline.mark(name, "flows changed", world.cutover.ended)
    world.committed = True


def verify(world: World) -> None:
    """Wait until the application answers again. Raises VerifyError; the source's disks are then kept."""
    deadline = time.monotonic() + BOOT
    while problems := world.check_application(False):
        if time.monotonic() > deadline:
            raise VerifyError(
                f"{'; '.join(problems)}. It runs at {world.plan.target}; {world.plan.source} keeps its copy"
            )
        time.sleep(0.5)
