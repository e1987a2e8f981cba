"""After the servers run at the target: prove that they are what they were, then release the source."""

from pathlib import Path

from intercloud.clouds.port import DiskRef
from intercloud.errors import VerifyError
from intercloud.migration.world import Moving, World
from intercloud.transfer import digest


def verify(world: World) -> None:
    """Ask the application, and compare the disks of both sides. Raises VerifyError; the source is then kept."""
    problems = []
    if world.plan.limits.verify_digests:  # first: asking the application costs the moved servers more than this
        for moving in world.moving.values():  # one after the other: the moved servers need the processors more
            _compare(world, moving)
        problems = [f"{m.name}: the disks of both sides differ" for m in world.moving.values() if not m.digests_equal]
    problems += world.check_application(True)
    if problems:
        raise VerifyError(f"{'; '.join(problems)}. It runs at {world.plan.target}; {world.plan.source} keeps its copy")


def _compare(world: World, moving: Moving) -> None:
    assert moving.target and moving.landing
    equal = True
    with world.timeline.phase(moving.name, "verify"):
        for disk in moving.server.disks:
            told = world.progress(moving.name, "verify", disk.size)
            with world.source.offer(DiskRef(moving.name, disk)) as offer:
                socket = str(Path(moving.landing.monitor.path).with_suffix(".digest"))
                node = moving.landing.monitor.nodes[disk.name]
                equal &= digest.compare(offer.local, moving.target, node, socket).equal
            told(disk.size)
    moving.digests_equal = equal


def release(world: World) -> None:
    """Take the servers away from the source: ports, flows, machines, disks."""
    site = world.here

    def remove(moving: Moving) -> None:
        with world.timeline.phase(moving.name, "release"):
            world.source.delete_server(moving.name)
            for nic in moving.server.nics:
                world.control.unplug(nic.mac, site)

    world.each(remove)
