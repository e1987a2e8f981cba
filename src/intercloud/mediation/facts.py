"""What the pre-flight works on: the facts about both clouds, read by `survey`, judged by `findings`."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import ServerState
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Image, Nic
from intercloud.model.site import Platform, Quota, WanPath
from intercloud.units import BitsPerSecond, Bytes, Seconds

NO_PATH = WanPath(Seconds(0), BitsPerSecond(0), 0)
"""A path that carries nothing."""


@dataclass(frozen=True)
class Skew:
    """By how much the target's clock is ahead of the source's. error: half the time that asking both took."""

    ahead: Seconds
    error: Seconds


@dataclass(frozen=True)
class Survey:
    """Facts for the pre-flight.

    states: of the source's servers; missing: base images that the target lacks; free: bytes left at the target, see
    About; silence: why nothing crosses the path, which is NO_PATH then; seeds: what the target keeps, see About;
    source_routers, target_routers: see About.
    """

    source: str
    target: str
    cluster: Cluster
    states: dict[str, ServerState]
    source_abilities: Set[Ability]
    target_abilities: Set[Ability]
    source_platform: Platform | None
    target_platform: Platform | None
    limit: Quota
    used: Quota
    free: Bytes | None
    conflicts: tuple[Finding, ...]
    missing: tuple[Image, ...]
    path: WanPath
    skew: Skew
    silence: str | None = None
    seeds: Mapping[str, str] = field(default_factory=dict)
    source_routers: tuple[Nic, ...] = ()
    target_routers: tuple[Nic, ...] = ()
