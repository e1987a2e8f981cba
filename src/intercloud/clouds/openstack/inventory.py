"""What a project's clusters are made of, read from the services of its cloud."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from intercloud.clouds.openstack.images import Images, describe
from intercloud.clouds.openstack.names import BASE, BLANK, CLUSTER, FOR_MEMORY, HEALTH, ROOT
from intercloud.clouds.openstack.networks import Networks, port_losses, read_nic
from intercloud.clouds.openstack.selection import Selection
from intercloud.clouds.openstack.servers import GIB_IN_MIB, Servers, gib, state, waits
from intercloud.clouds.openstack.volumes import Volumes, as_disk
from intercloud.clouds.port import ServerState
from intercloud.clouds.taken import taken
from intercloud.errors import NotFound
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Disk, Image, Nic, Server
from intercloud.units import MIB, Bytes

MOVABLE = ("ACTIVE", "SHUTOFF", "PAUSED")
"""A server in any other state of Nova's is more, or less, than its disk, memory and cards."""


@dataclass(frozen=True)
class Inventory:
    """The clusters of one project. selections: cluster → the servers it is made of, besides those that say so."""

    cloud: str
    images: Images
    servers: Servers
    volumes: Volumes
    networks: Networks
    selections: Mapping[str, Selection]

    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that have a server here."""
        found = self.listed()
        chosen = {name for name, selection in self.selections.items() if any(map(selection.holds, found))}
        return tuple(sorted(chosen | {server.metadata[CLUSTER] for server in found if CLUSTER in server.metadata}))

    def listed(self) -> list[Any]:
        """Servers that are this project's own: one that waits for its memory runs elsewhere."""
        return [each for each in self.servers.all() if waits(each) != FOR_MEMORY]

    def cluster(self, name: str) -> Cluster:
        """Read a cluster's servers that are here, by name."""
        selection = self.selections.get(name, Selection())
        found = [each for each in self.listed() if each.metadata.get(CLUSTER) == name or selection.holds(each)]
        if not found:
            raise NotFound(f"{self.cloud} has no cluster {name!r}; it has: {', '.join(self.clusters()) or 'none'}")
        ports = {each.id: self.networks.ports(each) for each in found}
        networks = self.networks.read(port.network_id for mine in ports.values() for port in mine)
        group_names = {group.id: name for name, group in self.networks.groups().items()}
        floating = self.networks.floating()
        servers = []
        for each in found:
            mine = ports[each.id]
            nics = tuple(read_nic(port, networks[port.network_id].name, group_names) for port in mine)
            volumes = self.volumes_of(each)
            losses = (*self.losses(each, volumes.values()), *port_losses(each.name, mine, floating))
            servers.append(replace(self.read(each, volumes), nics=nics, losses=losses))
        return Cluster(
            name,
            tuple(sorted(networks.values(), key=lambda network: network.name)),
            tuple(servers),
            selection.health or next((each.metadata[HEALTH] for each in found if HEALTH in each.metadata), None),
            self.networks.read_groups({group for server in servers for nic in server.nics for group in nic.groups}),
            self.servers.keys({server.key for server in servers if server.key}),
            self.servers.read_server_groups({server.group for server in servers if server.group}),
        )

    def volumes_of(self, server: Any) -> dict[str, Any]:
        """Its volumes, by the names of its disks; most servers have none, and nothing is asked then."""
        return self.volumes.of(server) if server.attached_volumes or waits(server) else {}

    def read(self, server: Any, volumes: Mapping[str, Any]) -> Server:
        """A server as the model has it, without its cards."""
        flavor = server.flavor
        root = () if ROOT in volumes else (Disk(ROOT, Bytes(flavor.disk * GIB_IN_MIB * MIB), self.base(server)),)
        return Server(
            name=server.name,
            vcpus=flavor.vcpus,
            memory=Bytes(flavor.ram * MIB),
            disks=(*root, *(as_disk(volume, name) for name, volume in volumes.items())),
            nics=(),
            metadata=self.servers.guest_metadata(server),
            drive=server.config_drive in (True, "True"),
            key=server.key_name,
            flavor=flavor.original_name,
            hardware=self.images.hardware(server, volumes.get(ROOT)),
            group=self.servers.group_name(server),
        )

    def base(self, server: Any) -> Image | None:
        """The image that a server's root disk lies over, as far as it is still there."""
        if BASE in server.metadata:
            found = self.images.find(server.metadata[BASE])
        else:
            found = self.images.get(server.image.id) if server.image and server.image.id else None
        return describe(found) if found and BLANK not in found.tags else None

    def losses(self, server: Any, volumes: Collection[Any]) -> Iterator[Finding]:
        """What of a server cannot be carried, or not be read with these rights."""
        name, flavor = server.name, server.flavor
        if server.status not in MOVABLE and waits(server) is None:
            yield Finding(name, f"is in Nova's state {server.status}", "bring it to ACTIVE, or SHUTOFF, first")
        yield from self.volumes.losses(name, volumes)
        if flavor.ephemeral:
            text = f"its flavor {flavor.original_name} has an ephemeral disk, which this version does not carry"
            yield Finding(name, text, "leave it out, or resize it to a flavor without")
        if self.servers.operator is None:
            text = f"{self.cloud} tells a tenant no server's user data"
            cure = "a guest that has booted once seldom needs it; name an operator's credentials to carry it (operator)"
            yield Finding(name, text, cure, blocking=False)

    def conflicts(self, cluster: Cluster) -> tuple[Finding, ...]:
        """Names and addresses that are taken, networks and security groups that are otherwise, services that lack."""
        lines = (line for server in cluster.servers for line in self.taken(server))
        return (
            *taken(self.cloud, lines),
            *self.networks.obstacles(cluster),
            *self.servers.obstacles(cluster.servers),
            *self.volumes.obstacles(cluster.servers),
        )

    def taken(self, server: Server) -> tuple[str, ...]:
        """One line for each of its name and addresses that is taken; its own idle copy takes nothing."""
        found = self.servers.find(server.name)
        if found is not None:
            if not self.is_same(found, server) or state(found) in (ServerState.RUNNING, ServerState.PAUSED):
                return (f"the name {server.name} is taken by a server of this project",)
            return ()
        return tuple(self.networks.taken(server))

    def is_same(self, found: Any, wanted: Server) -> bool:
        """Whether a server here is the one that is wanted. User data counts only where it can be read."""
        group_names = {group.id: name for name, group in self.networks.groups().items()}
        ports = self.networks.ports(found)
        names = {each.network_id: self.networks.door.network.get_network(each.network_id).name for each in ports}
        nics = by_mac(read_nic(port, names[port.network_id], group_names) for port in ports)
        told = {name: value for name, value in wanted.metadata.items() if self.servers.operator or name != "user_data"}
        disks = tuple(replace(disk, size=Bytes(gib(disk.size) * GIB_IN_MIB * MIB)) for disk in wanted.disks)
        same = replace(wanted, nics=by_mac(wanted.nics), metadata=told, disks=disks)
        return replace(self.read(found, self.volumes_of(found)), nics=nics) == same


def by_mac(nics: Iterable[Nic]) -> tuple[Nic, ...]:
    """Cards in an order that every cloud can tell."""
    return tuple(sorted(nics, key=lambda nic: nic.mac))
