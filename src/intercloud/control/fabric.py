"""What each switch shall hold: registry x the switch's own port numbers → flows; wanted x found → changes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from intercloud.control import pipeline
from intercloud.control.pipeline import Flow
from intercloud.control.registry import Endpoint, Registry
from intercloud.control.tunnels import tunnel_name
from intercloud.model.server import Network

Ports = Mapping[str, int]
"""Device name → OpenFlow port number, as one switch has them."""


class Verb(StrEnum):
    """What to do with a flow."""

    ADD = "add"
    DELETE = "delete"


@dataclass(frozen=True)
class FlowChange:
    """One change of a switch's tables. Adding replaces the flow of the same key; deleting an absent one is no error."""

    verb: Verb
    flow: Flow


def flows(registry: Registry, site: str, ports: Ports) -> frozenset[Flow]:
    """Give all flows that a site's switch shall hold. What needs a port that is not there yet is left out."""
    return frozenset(
        (
            *pipeline.always(),
            *(flow for network in registry.networks.values() for flow in _network(registry, network, site, ports)),
            *(flow for endpoint in registry.endpoints.values() for flow in _endpoint(registry, endpoint, site, ports)),
        )
    )


def placement(
    registry: Registry, macs: Collection[str], site: str, ports: Ports, *, flooding: bool
) -> tuple[Flow, ...]:
    """Give only the flows that depend on where these endpoints are, with or without those for flooding."""
    endpoints = [registry.endpoint(mac) for mac in macs]
    networks = sorted({endpoint.network for endpoint in endpoints}) if flooding else ()
    return (
        *(_delivery(registry, endpoint, site, ports) for endpoint in endpoints),
        *(_arp(registry, each, site) for each in endpoints if each.network in registry.sites[site].fabrics),
        *(flow for name in networks for flow in _flood(registry, registry.networks[name], site, ports)),
    )


@dataclass(frozen=True)
class Announcement:
    """What a fabric's switches shall learn, by which port of the border bridge.

    here: they shall look for this endpoint at the border; else in the fabric, where it must be made to speak.
    """

    port: int
    endpoint: Endpoint
    here: bool


def announcements(registry: Registry, site: str, ports: Ports, left: Collection[str] = ()) -> tuple[Announcement, ...]:
    """Say what the fabrics of a site's cloud shall learn. left: MAC addresses that have just moved.

    Of who is elsewhere only where somebody is who may look for them; but for that a fabric that knows nothing is the
    best: it asks everywhere, so what comes for a server that has just arrived finds it before it speaks. A gateway
    counts only when it would else go on looking for those that have just left where they were.
    """
    fabrics = registry.sites[site].fabrics
    homes = {endpoint.network for endpoint in registry.endpoints.values() if endpoint.site == site}
    return tuple(
        Announcement(port, endpoint, endpoint.site != site)
        for endpoint in registry.endpoints.values()
        if (port := ports.get(fabrics.get(endpoint.network, ""))) is not None
        and _instead(registry, endpoint, site) is None
        and (endpoint.network in homes or (endpoint.mac in left and registry.networks[endpoint.network].gateway))
    )


def changes(wanted: Collection[Flow], found: Collection[Flow]) -> tuple[FlowChange, ...]:
    """Compare; adds come before deletes, so that no packet finds less than before."""
    keys = {flow.key for flow in wanted}
    have = set(found)
    return (
        *(FlowChange(Verb.ADD, flow) for flow in wanted if flow not in have),
        *(FlowChange(Verb.DELETE, flow) for flow in found if flow.key not in keys),
    )


def _network(registry: Registry, network: Network, site: str, ports: Ports) -> Iterable[Flow]:
    for peer in registry.sites:
        tunnel = _tunnel(registry, peer, ports)
        if tunnel is not None:
            yield pipeline.admit_tunnel(network.key, tunnel)
    fabric = ports.get(registry.sites[site].fabrics.get(network.name, ""))
    if fabric is not None:
        yield from pipeline.refuse_from_fabric(fabric)
    yield from _flood(registry, network, site, ports)


def _flood(registry: Registry, network: Network, site: str, ports: Ports) -> tuple[Flow, ...]:
    members = [endpoint for endpoint in registry.endpoints.values() if endpoint.network == network.name]
    local = (_local(e, site, ports) for e in members if e.site == site)
    peers = {name for e in members for name in (e.site, *e.ports)} - {site}
    tunnels = (_tunnel(registry, peer, ports) for peer in peers)
    return pipeline.flood(network.key, (p for p in local if p is not None), (p for p in tunnels if p is not None))


def _endpoint(registry: Registry, endpoint: Endpoint, site: str, ports: Ports) -> Iterable[Flow]:
    key = registry.networks[endpoint.network].key
    if endpoint.routes and endpoint.site != site:
        yield from _far_router(registry, endpoint, site, ports)
        return
    port = _local(endpoint, site, ports)
    if port is not None:
        yield from pipeline.admit_endpoint(endpoint, key, port)
    yield pipeline.keep_arp(endpoint, key, port) if endpoint.routes else _arp(registry, endpoint, site)
    yield _delivery(registry, endpoint, site, ports)


def _instead(registry: Registry, endpoint: Endpoint, site: str) -> Endpoint | None:
    """The router that a site has itself in the place of another site's."""
    return registry.router(endpoint.network, site) if endpoint.routes and endpoint.site != site else None


def _far_router(registry: Registry, endpoint: Endpoint, site: str, ports: Ports) -> Iterable[Flow]:
    """A router of another site: this site's own takes its place, or else the first there is answers for all."""
    key = registry.networks[endpoint.network].key
    if (own := _instead(registry, endpoint, site)) is not None:
        yield pipeline.hand_to(own, endpoint, key, _local(own, site, ports))
        return
    yield _delivery(registry, endpoint, site, ports)
    if registry.router(endpoint.network) is endpoint:
        yield pipeline.answer_arp(endpoint, key)


def _delivery(registry: Registry, endpoint: Endpoint, site: str, ports: Ports) -> Flow:
    key = registry.networks[endpoint.network].key
    if endpoint.site == site:
        return pipeline.deliver(endpoint, key, _local(endpoint, site, ports))
    return pipeline.forward(endpoint, key, _tunnel(registry, endpoint.site, ports), back=site in endpoint.ports)


def _arp(registry: Registry, endpoint: Endpoint, site: str) -> Flow:
    key = registry.networks[endpoint.network].key
    at_home = endpoint.site == site and registry.fabric(endpoint, site)
    return pipeline.leave_arp(endpoint, key) if at_home else pipeline.answer_arp(endpoint, key)


def _local(endpoint: Endpoint, site: str, ports: Ports) -> int | None:
    return ports.get(endpoint.ports.get(site, ""))


def _tunnel(registry: Registry, peer: str, ports: Ports) -> int | None:
    return ports.get(tunnel_name(registry.tunnel, peer))
