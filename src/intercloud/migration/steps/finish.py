"""After the servers run at the target: prove that they are what they were, then release the source."""

from intercloud.errors import VerifyError
from intercloud.migration import proof
from intercloud.migration.world import Moving, World


def verify(world: World) -> None:
    """Ask the application, and compare the disks of both sides. Raises VerifyError; the source is then kept."""
    problems: list[str] = []
    if world.plan.limits.verify_digests:  # first: asking the application costs the moved servers more than this
        for moving in world.moving.values():  # one after the other: the moved servers need the processors more
            proof.compare(world, moving)
        problems = proof.problems(world)
    problems += world.check_application(True)
    if problems:
        raise VerifyError(f"{'; '.join(problems)}. It runs at {world.plan.target}; {world.plan.source} keeps its copy")


def release(world: World) -> None:
    """Take the servers away from the source: ports, flows, machines, disks."""
    site = world.here

    def remove(moving: Moving) -> None:
        with world.timeline.phase(moving.name, "release"):
            world.source.delete_server(moving.name)
            for nic in moving.server.nics:
                world.control.unplug(nic.mac, site)

    world.each(remove)
