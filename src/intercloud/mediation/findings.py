"""The pre-flight: from a survey to reasons why the move cannot be made. Pure; each line says its cure."""

from collections.abc import Iterator

from intercloud.clouds.port import ServerState
from intercloud.mediation.survey import Survey
from intercloud.model.site import Tunnel
from intercloud.model.strategy import Strategy
from intercloud.units import show_bytes


def blocking(survey: Survey, strategy: Strategy, tunnel: Tunnel) -> tuple[str, ...]:
    """Every reason why this cluster cannot be moved by this strategy."""
    return (
        *_states(survey, strategy),
        *_quota(survey),
        *survey.conflicts,
        *_store(survey),
        *_mtu(survey, tunnel),
    )


def _states(survey: Survey, strategy: Strategy) -> Iterator[str]:
    for name, state in survey.states.items():
        if strategy is not Strategy.COLD and state is not ServerState.RUNNING:
            yield f"{name} at {survey.source} is {state}, not running; start it, or use --strategy cold"


def _quota(survey: Survey) -> Iterator[str]:
    servers = survey.cluster.servers
    for what, needed, limit, used in (
        ("vCPUs", sum(each.vcpus for each in servers), survey.limit.vcpus, survey.used.vcpus),
        ("memory", sum(each.memory for each in servers), survey.limit.memory, survey.used.memory),
        ("disk", sum(d.size for each in servers for d in each.disks), survey.limit.disk, survey.used.disk),
    ):
        if needed > limit - used:
            show = str if what == "vCPUs" else show_bytes
            yield (
                f"{survey.target}: quota too small: {show(needed)} {what} needed, {show(limit - used)} free of "
                f"{show(limit)}; raise the quota or move fewer servers"
            )


def _store(survey: Survey) -> Iterator[str]:
    needed = sum(image.size for image in survey.missing)
    free = survey.limit.image_store - survey.used.image_store
    if needed > free:
        yield (
            f"{survey.target}: image store full: {show_bytes(needed)} needed, {show_bytes(max(free, 0))} free of "
            f"{show_bytes(survey.limit.image_store)}; delete images there or enlarge it"
        )


def _mtu(survey: Survey, tunnel: Tunnel) -> Iterator[str]:
    for network in survey.cluster.networks:
        if network.mtu + tunnel.overhead > survey.path.mtu:
            yield (
                f"network {network.name}: its MTU of {network.mtu} bytes and {tunnel.overhead} of {tunnel} make "
                f"{network.mtu + tunnel.overhead}, but the WAN from {survey.source} to {survey.target} carries "
                f"{survey.path.mtu}; lower the network's MTU or raise the WAN's"
            )
