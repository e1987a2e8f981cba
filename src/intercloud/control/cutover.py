"""The cutover of endpoints to other sites: make before break, as ordered messages that somebody else sends.

For each endpoint, first the switch of its new site delivers locally; when that is confirmed, the switch of its old
site sends on through the tunnel; when that is confirmed, all other switches send straight to the new site. So at every
moment each packet, wherever it is, has a way that ends at the old or the new port: a switch only ever points to one
that delivers or, third sites for a moment, to the old site, which delivers or sends on. The other order would make two
switches point at each other. A whole gang goes in the same stages, whatever the directions of its members.
"""

from collections.abc import Mapping

from intercloud.control import fabric
from intercloud.control.fabric import FlowChange, Ports, Verb
from intercloud.control.registry import Registry
from intercloud.errors import ControlError

Stage = Mapping[str, tuple[FlowChange, ...]]
"""Site → changes of its switch, each one bundle. The next stage may begin when all barriers of this one are back."""

LAST = 2
"""The stage of the switches that are neither old nor new site: without it their packets take a detour, no more."""


def stages(registry: Registry, moves: Mapping[str, str], ports: Mapping[str, Ports]) -> tuple[Stage, ...]:
    """Say what to send, stage by stage, so that each MAC's traffic goes to its new site.

    ports: of every switch that takes part; other switches are left out and must be reconciled when they come back.
    The messages do not depend on what the switches hold: a repeat leads to the same tables.
    Raises ControlError when an endpoint has no port at its new site, or that site's switch does not have it.
    """
    moves = {registry.endpoint(mac).mac: site for mac, site in moves.items()}
    after = registry.move(moves)
    for mac, site in moves.items():
        device = after.endpoint(mac).ports[site]
        if device not in ports.get(site, {}):
            raise ControlError(f"{after.endpoint(mac).name}: the switch of {site} has no port {device}; plug it there")
    return tuple(
        {site: batch for site in ports if (batch := _batch(registry, moves, ports, site, stage))}
        for stage in range(LAST + 1)
    )


def _batch(
    registry: Registry, moves: Mapping[str, str], ports: Mapping[str, Ports], site: str, stage: int
) -> tuple[FlowChange, ...]:
    ranks = {mac: _rank(registry, mac, target, site) for mac, target in moves.items()}
    now = [mac for mac, rank in ranks.items() if rank == stage]
    if not now:
        return ()
    view = registry.move({mac: moves[mac] for mac, rank in ranks.items() if rank <= stage})
    # A third site floods to every site that has a port, so the plug at the new one has changed that before.
    return tuple(
        FlowChange(Verb.ADD, flow) for flow in fabric.placement(view, now, site, ports[site], flooding=stage < LAST)
    )


def _rank(registry: Registry, mac: str, target: str, site: str) -> int:
    if site == target:
        return 0
    return 1 if site == registry.endpoint(mac).site else 2
