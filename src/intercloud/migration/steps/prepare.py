"""Before any server is touched: the plan's findings, and the base images at the target, each sent once."""

from collections.abc import Sequence

from intercloud.mediation.survey import images
from intercloud.migration.world import World


def check_plan(world: World) -> Sequence[str]:
    """Repeat what the pre-flight found to block."""
    return world.plan.blocking


def send_images(world: World) -> None:
    """Copy every base image that the target lacks, once for the whole cluster."""
    for image in images(world.plan.cluster):
        world.go_on()
        if world.target.find_image(image.digest) is None:
            names = [m.name for m in world.moving.values() if any(d.image == image for d in m.server.disks)]
            told = world.progress(names[0], "base image", image.size)
            world.fetched.append(image.digest)
            with world.timeline.phase(names[0], "base image"), world.source.offer(image) as offer:
                world.image_bytes += world.target.fetch(image, offer, told)  # type: ignore[assignment]


def remove_images(world: World) -> None:
    """Take back the images that were sent."""
    for digest in world.fetched:
        world.target.delete_image(digest)
