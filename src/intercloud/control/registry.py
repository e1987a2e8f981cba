"""What the control layer is told: sites, networks, and the static internal endpoints with the place of each.

A Registry never changes; each update gives a new one, checked, or raises ControlError and leaves all as it was.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from pydantic import TypeAdapter

from intercloud.errors import ControlError
from intercloud.model.server import Cluster, Network, Nic
from intercloud.model.site import Site, Tunnel

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_KEY_LIMIT = 1 << 24


@dataclass(frozen=True)
class Endpoint:
    """A static internal endpoint: name, MAC and IP address never change; only its place does.

    site: where its traffic goes now. ports: site name → device on that site's bridge; during a move it has two.
    routes: it is a router, and what it sends comes from any address.
    """

    name: str
    network: str
    mac: str
    ip: str
    site: str
    ports: Mapping[str, str] = field(default_factory=dict)
    routes: bool = False


@dataclass(frozen=True)
class Registry:
    """Everything that is wanted of the switches. Endpoints are keyed by MAC address, in lower case."""

    tunnel: Tunnel = Tunnel.VXLAN
    sites: Mapping[str, Site] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)

    def put(
        self,
        *,
        sites: Iterable[Site] = (),
        networks: Iterable[Network] = (),
        endpoints: Iterable[Endpoint] = (),
        tunnel: Tunnel | None = None,
    ) -> "Registry":
        """Add these, each as a whole in place of what had its name (an endpoint: its MAC) before."""
        return _checked(
            Registry(
                tunnel or self.tunnel,
                {**self.sites, **{site.name: site for site in sites}},
                {**self.networks, **{network.name: network for network in networks}},
                {**self.endpoints, **{e.mac.lower(): replace(e, mac=e.mac.lower()) for e in endpoints}},
            )
        )

    def drop(
        self, *, endpoints: Collection[str] = (), networks: Collection[str] = (), sites: Collection[str] = ()
    ) -> "Registry":
        """Forget endpoints (by MAC), networks and sites (by name); those that are not there are no error."""
        macs = {mac.lower() for mac in endpoints}
        return _checked(
            Registry(
                self.tunnel,
                {name: site for name, site in self.sites.items() if name not in sites},
                {name: network for name, network in self.networks.items() if name not in networks},
                {mac: endpoint for mac, endpoint in self.endpoints.items() if mac not in macs},
            )
        )

    def endpoint(self, mac: str) -> Endpoint:
        """Find an endpoint by its MAC address."""
        try:
            return self.endpoints[mac.lower()]
        except KeyError:
            raise ControlError(f"no endpoint has the MAC address {mac}; put it first") from None

    def missing(self, site: str, cluster: Cluster) -> tuple[tuple[Network, ...], tuple[Endpoint, ...]]:
        """Networks and endpoints of a cluster behind a site's fabrics that nobody has told yet."""
        fabrics = self.sites[site].fabrics
        return (
            tuple(network for network in cluster.networks if network.name not in self.networks),
            tuple(
                Endpoint(server.name, nic.network, nic.mac, nic.ip, site, {site: fabrics[nic.network]})
                for server in cluster.servers
                for nic in server.nics
                if nic.network in fabrics and nic.mac.lower() not in self.endpoints
            ),
        )

    def routers(self, found: Mapping[str, Collection[Nic]]) -> tuple[Endpoint, ...]:
        """Endpoints for routers in clouds' fabrics. found: site → their cards at the networks' gateways.

        One MAC address at several sites is none that could be found by it: each site keeps its own to itself.
        """
        seen = [nic.mac for nics in found.values() for nic in nics]
        return tuple(
            Endpoint(f"router at {site}", nic.network, nic.mac, nic.ip, site, {site: fabric}, routes=True)
            for site, nics in found.items()
            for nic in nics
            if seen.count(nic.mac) == 1
            and nic.network in self.networks
            and (fabric := self.sites[site].fabrics.get(nic.network))
        )

    def router(self, network: str, site: str | None = None) -> Endpoint | None:
        """The router that a network has at a site, if any; without a site, that of the first that has one."""
        found = (e for e in self.endpoints.values() if e.routes and e.network == network and site in (None, e.site))
        return min(found, key=lambda endpoint: endpoint.site, default=None)

    def fabric(self, endpoint: Endpoint, site: str) -> bool:
        """Whether an endpoint's port at a site is that of the cloud's own fabric, which others share."""
        port = endpoint.ports.get(site)
        return port is not None and self.sites[site].fabrics.get(endpoint.network) == port

    def plug(self, mac: str, site: str, port: str) -> "Registry":
        """Give an endpoint a device at a site; where its traffic goes stays."""
        endpoint = self.endpoint(mac)
        return self.put(endpoints=(replace(endpoint, ports={**endpoint.ports, site: port}),))

    def unplug(self, mac: str, site: str) -> "Registry":
        """Take an endpoint's device at a site away; where its traffic goes stays. No error when it has none."""
        endpoint = self.endpoint(mac)
        ports = {name: port for name, port in endpoint.ports.items() if name != site}
        return self.put(endpoints=(replace(endpoint, ports=ports),))

    def move(self, moves: Mapping[str, str]) -> "Registry":
        """Say for each MAC at which site its endpoint is from now on. Each needs a port there."""
        moved = {}
        for mac, site in moves.items():
            endpoint = self.endpoint(mac)
            if site not in endpoint.ports:
                raise ControlError(f"{endpoint.name} ({endpoint.mac}) has no port at {site}; plug it there first")
            moved[endpoint.mac] = replace(endpoint, site=site)
        return replace(self, endpoints={**self.endpoints, **moved})

    def to_json(self) -> bytes:
        """Write it down; from_json gives an equal registry."""
        return _adapter().dump_json(self, indent=1)

    @staticmethod
    def from_json(text: bytes) -> "Registry":
        """Read what to_json wrote. Raises ValueError when the text is no whole registry."""
        return _checked(_adapter().validate_json(text))


@cache
def _adapter() -> TypeAdapter[Registry]:
    return TypeAdapter(Registry)


def _checked(registry: Registry) -> Registry:
    problem = next(iter(_problems(registry)), None)
    if problem is not None:
        raise ControlError(problem)
    return registry


def _problems(registry: Registry) -> Iterable[str]:
    return (
        *_repeated("datapath id", ((site.name, site.datapath_id) for site in registry.sites.values())),
        *_repeated("tunnel key", ((net.name, net.key) for net in registry.networks.values())),
        *_repeated("address", ((e.name, (e.network, e.ip)) for e in registry.endpoints.values() if not e.routes)),
        *_repeated("port", _own_ports(registry)),
        *(problem for site in registry.sites.values() for problem in _site_problems(site)),
        *(f"{n.name}: tunnel key {n.key} is not in 1..2^24-1" for n in registry.networks.values() if _bad_key(n)),
        *(problem for endpoint in registry.endpoints.values() for problem in _endpoint_problems(registry, endpoint)),
    )


def _repeated(what: str, owners: Iterable[tuple[str, object]]) -> Iterable[str]:
    seen: dict[object, str] = {}
    for name, value in owners:
        if seen.setdefault(value, name) != name:
            yield f"{name} and {seen[value]} have the same {what}: {value}"


def _own_ports(registry: Registry) -> Iterable[tuple[str, object]]:
    for site in registry.sites.values():
        yield from (
            (f"the fabric of {network} at {site.name}", (site.name, port)) for network, port in site.fabrics.items()
        )
    for endpoint in registry.endpoints.values():
        for site_name, port in endpoint.ports.items():
            if site_name in registry.sites and not registry.fabric(endpoint, site_name):
                yield endpoint.name, (site_name, port)


def _bad_key(network: Network) -> bool:
    return not 0 < network.key < _KEY_LIMIT


def _site_problems(site: Site) -> Iterable[str]:
    if not re.fullmatch(r"[0-9a-f]{16}", site.datapath_id):
        yield f"{site.name}: datapath id {site.datapath_id!r} is not 16 hex digits in lower case"


def _endpoint_problems(registry: Registry, endpoint: Endpoint) -> Iterable[str]:
    if not _MAC.fullmatch(endpoint.mac):
        yield f"{endpoint.name}: {endpoint.mac!r} is not a MAC address"
    try:
        ipaddress.IPv4Address(endpoint.ip)
    except ValueError:
        yield f"{endpoint.name}: {endpoint.ip!r} is not an IPv4 address"
    if endpoint.network not in registry.networks:
        yield f"{endpoint.name}: unknown network {endpoint.network}"
    for site in (endpoint.site, *endpoint.ports):
        if site not in registry.sites:
            yield f"{endpoint.name}: unknown site {site}"
