"""Before any server is touched: the base images at the target, each sent once."""

from collections.abc import Iterable

from intercloud.mediation.survey import images
from intercloud.migration.world import World


def send_images(world: World, _: Iterable[str]) -> None:
    """Copy every base image that the target lacks, once for the whole cluster."""
    for image in images(world.plan.cluster):
        world.go_on()
        if world.target.find_image(image.digest) is None:
            names = [m.name for m in world.moving.values() if any(d.image == image for d in m.server.disks)]
            told = world.progress(names[0], "base image", image.size)
            with world.notes.timeline.phase(names[0], "base image"), world.source.offer(image) as offer:
                world.notes.image_bytes += world.target.fetch(image, offer, told)  # type: ignore[assignment]


def leave_target(world: World, servers: Iterable[str]) -> None:
    """Take back what was not there before; an image that somebody else has begun to use stays."""
    world.each(lambda moving: world.unplug(moving, world.plan.target), servers)
    with world.giving_up(world.plan.target):
        for digest in world.plan.missing:
            world.target.delete_image(digest)
