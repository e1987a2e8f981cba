"""What there is at both clouds, read once before anything is changed."""

import time
from collections.abc import Set

from intercloud.clouds.port import Cloud
from intercloud.errors import CloudUnreachable, NotFound
from intercloud.mediation.facts import NO_PATH, Skew, Survey
from intercloud.model.server import Cluster, Image
from intercloud.model.site import WanPath
from intercloud.units import Seconds


def survey(source: Cloud, target: Cloud, cluster: str, servers: Set[str]) -> Survey:
    """Read both clouds. servers: which of the cluster's; empty means all.

    Raises NotFound (cluster or server) and CloudUnreachable (a cloud).
    """
    found = source.cluster(cluster)
    here, there = source.about(), target.about()
    names = {server.name for server in found.servers}
    if unknown := sorted(servers - names):
        raise NotFound(
            f"cluster {cluster} at {here.name} has no server {unknown[0]}; it has {', '.join(sorted(names))}"
        )
    found = found.subset(frozenset(servers or names))
    limit, used = target.quota()
    path, silence = _reach(source, there.site.name)
    return Survey(
        here.name,
        there.name,
        found,
        {server.name: source.server_state(server.name) for server in found.servers},
        here.abilities,
        there.abilities,
        here.platform,
        there.platform,
        limit,
        used,
        there.free,
        target.conflicts(found),
        tuple(image for image in images(found) if target.find_image(image.digest) is None),
        path,
        _skew(source, target),
        silence,
        there.seeds,
        here.routers,
        there.routers,
    )


def images(cluster: Cluster) -> tuple[Image, ...]:
    """Every base image that a cluster's disks lie over, once."""
    found = {disk.image.digest: disk.image for server in cluster.servers for disk in server.disks if disk.image}
    return tuple(found.values())


def _reach(source: Cloud, peer: str) -> tuple[WanPath, str | None]:
    try:
        return source.reach(peer), None
    except CloudUnreachable as error:
        return NO_PATH, str(error)


def _skew(source: Cloud, target: Cloud) -> Skew:
    (here, doubt), (there, more) = _ahead(source), _ahead(target)
    return Skew(Seconds(there - here), Seconds(doubt + more))


def _ahead(cloud: Cloud) -> tuple[float, float]:
    """By how much a cloud's clock is ahead of this machine's, ± half the time that asking took."""
    asked = time.time()
    clock = cloud.about().clock
    answered = time.time()
    return clock - (asked + answered) / 2, (answered - asked) / 2
