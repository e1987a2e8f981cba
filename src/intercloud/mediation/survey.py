"""What there is at both clouds, read once before anything is changed."""

from collections.abc import Set
from dataclasses import dataclass

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import Cloud, ServerState
from intercloud.errors import NotFound
from intercloud.model.server import Cluster, Image
from intercloud.model.site import Quota, WanPath


@dataclass(frozen=True)
class Survey:
    """Facts for the pre-flight. states: of the source's servers; missing: base images that the target lacks."""

    source: str
    target: str
    cluster: Cluster
    states: dict[str, ServerState]
    source_abilities: Set[Ability]
    target_abilities: Set[Ability]
    limit: Quota
    used: Quota
    conflicts: tuple[str, ...]
    missing: tuple[Image, ...]
    path: WanPath


def survey(source: Cloud, target: Cloud, cluster: str, servers: Set[str]) -> Survey:
    """Read both clouds. servers: which of the cluster's; empty means all.

    Raises NotFound (cluster or server) and CloudUnreachable (a cloud, or the WAN between them).
    """
    found = source.cluster(cluster)
    names = {server.name for server in found.servers}
    if unknown := sorted(servers - names):
        raise NotFound(
            f"cluster {cluster} at {source.about().name} has no server {unknown[0]}; it has {', '.join(sorted(names))}"
        )
    found = found.subset(frozenset(servers or names))
    limit, used = target.quota()
    return Survey(
        source.about().name,
        target.about().name,
        found,
        {server.name: source.server_state(server.name) for server in found.servers},
        source.about().abilities,
        target.about().abilities,
        limit,
        used,
        tuple(line for server in found.servers for line in target.conflicts(server)),
        tuple(image for image in images(found) if target.find_image(image.digest) is None),
        source.reach(target.about().site.name),
    )


def images(cluster: Cluster) -> tuple[Image, ...]:
    """Every base image that a cluster's disks lie over, once."""
    found = {disk.image.digest: disk.image for server in cluster.servers for disk in server.disks if disk.image}
    return tuple(found.values())
