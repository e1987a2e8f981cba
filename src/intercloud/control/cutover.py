"""The cutover of endpoints to other sites: make before break, as ordered messages that somebody else sends.

For each endpoint, first the switch of its new site delivers locally; when that is confirmed, the switch of its old
site sends on through the tunnel, and all others send straight to the new site. So at every moment each packet,
wherever it is, has a way that ends at the old or the new port: a switch only ever points to one that delivers or, third
sites for a moment, to the old site, which delivers or sends on. The other order would make two switches point at each
other. A whole gang goes in the same stages, whatever the directions of its members.
"""

from collections.abc import Mapping

from intercloud.control import fabric
from intercloud.control.fabric import FlowChange, Ports, Verb
from intercloud.control.registry import Registry
from intercloud.errors import ControlError

Stage = Mapping[str, tuple[FlowChange, ...]]
"""Site → changes of its switch, each one bundle. The next stage may begin when all barriers of this one are back."""


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
        {site: batch for site in ports if (batch := _batch(registry, moves, ports, site, stage))} for stage in range(2)
    )


def _batch(
    registry: Registry, moves: Mapping[str, str], ports: Mapping[str, Ports], site: str, stage: int
) -> tuple[FlowChange, ...]:
    new = [mac for mac, target in moves.items() if target == site]
    old = [mac for mac in moves if mac not in new and registry.endpoint(mac).site == site]
    third = [mac for mac in moves if mac not in new and mac not in old]
    if stage == 0:
        flows = fabric.placement(registry.move(dict.fromkeys(new, site)), new, site, ports[site], flooding=True)
    else:
        after = registry.move(moves)
        # A third site floods to every site that has a port, so the plug at the new one has changed that before.
        flows = fabric.placement(after, old, site, ports[site], flooding=True)
        flows += fabric.placement(after, third, site, ports[site], flooding=False)
    return tuple(FlowChange(Verb.ADD, flow) for flow in flows)
