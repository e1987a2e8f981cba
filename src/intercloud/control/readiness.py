"""Whether the control layer can carry a move: from what the controller says to findings. Pure."""

from collections.abc import Iterator

from intercloud.control.messages import StatusBySite
from intercloud.control.registry import Registry
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster

SILENT_S = 30.0
"""The controller looks at each switch, and sends a frame into each tunnel, every 5 s."""


def readiness(
    registry: Registry, status: StatusBySite, move: tuple[str, str], cluster: Cluster, now: float
) -> tuple[Finding, ...]:
    """Everything that keeps these servers' traffic from following them. move: names of source's and target's site.

    now: time.time(). Whether a tunnel carries is measured by the frames that came through it.
    """
    found = [finding for site in move for finding in _switch(status, site, now)]
    return tuple(found) or (
        *_tunnel(registry, status, move, now),
        *_cards(registry, status, move[0], cluster),
        *_fabrics(registry, move, cluster),
    )


def _switch(status: StatusBySite, site: str, now: float) -> Iterator[Finding]:
    switch = status.get(site)
    if switch is None:
        text = "the controller does not know this site"
        yield Finding(site, text, "tell it: intercloud network up, or for the lab: intercloud lab up")
    elif not switch.connected:
        text = "its switch is not connected to the controller, so no tunnel from there is in order"
        yield Finding(site, text, "start its Open vSwitch, and see that it reaches the controller")
    elif switch.error is not None:
        yield Finding(site, f"its switch is not in order: {switch.error}", "see the controller's log")
    elif now - switch.reconciled > SILENT_S:
        text = f"its switch was not looked at for more than {SILENT_S:.0f} s"
        yield Finding(site, text, "see the controller's log; a restart of the controller disturbs no traffic")


def _tunnel(registry: Registry, status: StatusBySite, move: tuple[str, str], now: float) -> Iterator[Finding]:
    for site, peer in (move, move[::-1]):
        if peer not in registry.sites[site].underlay:
            yield Finding(site, f"it has no tunnel to {peer}", f"give the site an underlay address towards {peer}")
        elif now - status[site].heard.get(peer, 0.0) > SILENT_S:
            text = f"nothing came through the {registry.tunnel} tunnel from {peer} for more than {SILENT_S:.0f} s"
            yield Finding(site, text, f"let {registry.tunnel} pass between both sites' underlay addresses")


def _cards(registry: Registry, status: StatusBySite, source: str, cluster: Cluster) -> Iterator[Finding]:
    for server in cluster.servers:
        for nic in server.nics:
            endpoint = registry.endpoints.get(nic.mac.lower())
            if endpoint is None and nic.network in registry.sites[source].fabrics:
                text = f"the border does not let its card {nic.mac} through yet"
                yield Finding(server.name, text, "nothing to do: it is told when the move begins", blocking=False)
            elif endpoint is None:
                text = f"the controller does not know its card {nic.mac}, so its traffic cannot follow it"
                yield Finding(server.name, text, "register the card as an endpoint")
            elif (why := status[source].missing.get(endpoint.ports.get(source, ""))) is not None:
                text = f"its device is not on the switch of {source}: {why}"
                yield Finding(server.name, text, "nobody reaches it now; start it again", blocking=False)


def _fabrics(registry: Registry, move: tuple[str, str], cluster: Cluster) -> Iterator[Finding]:
    """Where a cloud's own fabric ends at the border, it must do so for each network of the cluster."""
    for site in move:
        there = registry.sites[site].fabrics
        for network in cluster.networks if there else ():
            if network.name not in there:
                text = f"network {network.name} has no end at its border, which has: {', '.join(sorted(there))}"
                yield Finding(site, text, f"lead it there, and name its device in clouds.{site}.border.fabrics")
