"""The pre-flight: from a survey to what speaks against the move, and what is good to know before it. Pure."""

from collections.abc import Iterator

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import ServerState
from intercloud.mediation.facts import Survey
from intercloud.model.finding import Finding
from intercloud.model.site import Tunnel
from intercloud.model.strategy import Strategy
from intercloud.units import Seconds, show_bytes, show_rate, show_seconds

CLOCKS = Seconds(1.0)
"""Clocks that differ by less are not worth a word: no program may rely on two machines agreeing better."""


def findings(survey: Survey, strategy: Strategy, tunnel: Tunnel) -> tuple[Finding, ...]:
    """Everything that is to be said before this cluster moves by this strategy."""
    return (
        *(loss for server in survey.cluster.servers for loss in server.losses),
        *_states(survey, strategy),
        *_platforms(survey, strategy),
        *_postcopy(survey, strategy),
        *_quota(survey),
        *survey.conflicts,
        *_store(survey),
        *_space(survey),
        *_path(survey, tunnel),
        *_routers(survey),
        *_images(survey),
        *_clocks(survey),
    )


def _states(survey: Survey, strategy: Strategy) -> Iterator[Finding]:
    for name, state in survey.states.items():
        if strategy is Strategy.LIVE and state is not ServerState.RUNNING:
            yield Finding(name, f"is {state} at {survey.source}, not running", "start it, or use --strategy cold")


def _platforms(survey: Survey, strategy: Strategy) -> Iterator[Finding]:
    """A running server needs the same at the target; one that boots there finds other hardware."""
    live = strategy is Strategy.LIVE
    here, there = survey.source_platform, survey.target_platform
    if here is None or there is None:
        if live:
            silent = survey.source if here is None else survey.target
            text = "does not tell its CPU model and machine type, so they cannot be compared before the move"
            yield Finding(silent, text, "make sure that both clouds have the same", blocking=False)
        return
    for what, mine, its in (("CPU model", here.cpu, there.cpu), ("machine type", here.machine, there.machine)):
        if mine != its:
            yield Finding(
                survey.target,
                f"its {what} is {its}, that of {survey.source} is {mine}"
                + ("" if live else ": the servers boot on other hardware"),
                f"give both the same {what}, or use --strategy warm or cold"
                if live
                else "look whether the guests have drivers",
                blocking=live,
            )
    if live and here.hypervisor != there.hypervisor:
        yield Finding(
            survey.target,
            f"runs {there.hypervisor}, {survey.source} runs {here.hypervisor}",
            "move one server first, from the older version to the newer",
            blocking=False,
        )


def _postcopy(survey: Survey, strategy: Strategy) -> Iterator[Finding]:
    for name, abilities in ((survey.source, survey.source_abilities), (survey.target, survey.target_abilities)):
        if strategy is Strategy.LIVE and Ability.POSTCOPY not in abilities:
            yield Finding(
                name,
                "has no post-copy: a guest that writes faster than the link carries is slowed down instead",
                "allow userfaultfd on its hosts, or move when the servers are less busy",
                blocking=False,
            )


def _quota(survey: Survey) -> Iterator[Finding]:
    servers = survey.cluster.servers
    for what, needed, limit, used in (
        ("vCPUs", sum(each.vcpus for each in servers), survey.limit.vcpus, survey.used.vcpus),
        ("memory", sum(each.memory for each in servers), survey.limit.memory, survey.used.memory),
        ("disk", sum(d.size for each in servers for d in each.disks), survey.limit.disk, survey.used.disk),
    ):
        if needed > limit - used:
            show = str if what == "vCPUs" else show_bytes
            yield Finding(
                survey.target,
                f"quota too small: {show(needed)} {what} needed, {show(limit - used)} free of {show(limit)}",
                "raise the quota or move fewer servers",
            )


def _store(survey: Survey) -> Iterator[Finding]:
    needed = sum(image.size for image in survey.missing)
    free = survey.limit.image_store - survey.used.image_store
    if needed > free:
        yield Finding(
            survey.target,
            f"image store full: {show_bytes(needed)} needed, {show_bytes(max(free, 0))} free of "
            f"{show_bytes(survey.limit.image_store)}",
            "delete images there or enlarge it",
        )


def _space(survey: Survey) -> Iterator[Finding]:
    """What is held now must fit; what the disks may grow to is the operator's own bet."""
    if survey.free is None:
        return
    disks = [disk for server in survey.cluster.servers for disk in server.disks]
    images = sum(image.size for image in survey.missing)
    now = images + sum(disk.held or 0 for disk in disks)
    full = images + sum(disk.size for disk in disks)
    cure = "make room there or move fewer servers"
    if now > survey.free:
        text = f"disk space too small: {show_bytes(now)} needed, {show_bytes(survey.free)} free"
        yield Finding(survey.target, text, cure)
    elif full > survey.free:
        text = f"the disks can grow to {show_bytes(full)} there, and {show_bytes(survey.free)} are free"
        yield Finding(survey.target, text, cure, blocking=False)


def _path(survey: Survey, tunnel: Tunnel) -> Iterator[Finding]:
    between = f"from {survey.source} to {survey.target}"
    path = survey.path
    if survey.silence is not None:
        yield Finding("WAN", survey.silence, "bring it up; then what it carries can be measured")
    elif path.tunnel_mtu == 0:
        cure = "let packets pass between the addresses that the sites' underlay names"
        yield Finding("WAN", f"nothing crosses between the ends of the {tunnel} tunnel {between}", cure)
    else:
        carried = path.mtu if path.tunnel_mtu is None else min(path.mtu, path.tunnel_mtu)
        for network in survey.cluster.networks:
            if network.mtu + tunnel.overhead > carried:
                yield Finding(
                    f"network {network.name}",
                    f"its MTU of {network.mtu} bytes and {tunnel.overhead} of {tunnel} make "
                    f"{network.mtu + tunnel.overhead}, but the WAN {between} carries {carried}",
                    "lower the network's MTU or raise the WAN's",
                )


def _routers(survey: Survey) -> Iterator[Finding]:
    """By which router servers that have moved leave their network. The flows are such: control.fabric."""
    cards = [{nic.network: nic.mac for nic in found} for found in (survey.source_routers, survey.target_routers)]
    for network in survey.cluster.networks:
        here, there = (found.get(network.name) for found in cards)
        name = f"its network {network.name}"
        if here and not there:
            text = f"{name} has no router at {network.gateway}: what leaves it goes on through the source's"
            cure = "to end that, attach one there and run: intercloud network up"
            yield Finding(survey.target, text, cure, blocking=False)
        elif here != there:
            text = f"{name} has a router at {network.gateway}, which the servers use at once"
            cure = "detach it if they have clients that reach them through one of the source: its answers go lost"
            yield Finding(survey.target, text, cure if here else "see that it leads where they go", blocking=False)


def _images(survey: Survey) -> Iterator[Finding]:
    for image in survey.missing if survey.silence is None else ():
        rate = survey.path.rate
        yield Finding(
            survey.target,
            f"image {image.name} is not there: {show_bytes(image.size)}, "
            f"{show_seconds(image.size * 8 / rate)} at the {show_rate(rate)} measured",
            "nothing to do: it is sent once, before any server is touched",
            blocking=False,
        )


def _clocks(survey: Survey) -> Iterator[Finding]:
    skew = survey.skew
    if abs(skew.ahead) - skew.error > CLOCKS:
        yield Finding(
            survey.target,
            f"its clock is {show_seconds(abs(skew.ahead))} {'ahead of' if skew.ahead > 0 else 'behind'} that of "
            f"{survey.source} (± {show_seconds(skew.error)}): a server that boots there starts with that time",
            "synchronise both with NTP",
            blocking=False,
        )
