"""OpenStack as a cloud: the port of clouds/port.py over the public APIs of one project, with a tenant's rights.

What a tenant cannot read or write directly goes through the image service: a stopped server's disk is read as a
snapshot, and filled by giving its place the content as an image.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercloud.clouds import reach
from intercloud.clouds.ability import Ability
from intercloud.clouds.openstack.contents import Contents
from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.images import Images, describe
from intercloud.clouds.openstack.names import BASE, BLANK, CLUSTER, FOR_CONTENT, FOR_MEMORY, HEALTH, ROOT, WAITS
from intercloud.clouds.openstack.networks import Networks, port_losses, read_nic
from intercloud.clouds.openstack.selection import Selection
from intercloud.clouds.openstack.servers import GIB_IN_MIB, Servers, state
from intercloud.clouds.port import About, DiskRef, Landing, Monitor, Offer, Progress, ServerState
from intercloud.clouds.quota import admit
from intercloud.errors import AddressTaken, CloudError, CloudUnreachable, NotFound, StoreFull
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Disk, Image, Nic, Server
from intercloud.model.site import Placement, Quota, Site, WanPath
from intercloud.units import MIB, Bytes, show_bytes

TRIES = 3
NOTICES = 5.0
"""Seconds from when Nova is told that a domain has stopped until it has acted on it."""
UNLIMITED = 1 << 62
"""Bytes; Nova and Glance tell of no limit."""

if TYPE_CHECKING:  # libvirt is there only where servers move live
    from intercloud.clouds.openstack.hypervisor import Guest


@dataclass(frozen=True)
class OpenStackCloud:
    """One project of an OpenStack cloud.

    site: its border, as the control layer sees it; ends: this border and others' → how the paths to them are measured.
    operator: what reads and makes what a tenant may not, if there is one. spool: folder for contents on their way.
    hosts: name of a compute host, server's id and name, root device → its domain there; with it, servers move live.
    selections: cluster → the servers it is made of, besides those that say so.
    """

    name: str
    door: Door
    site: Site
    ends: Mapping[str, reach.End]
    spool: Path
    selections: Mapping[str, Selection] = field(default_factory=dict)
    operator: Door | None = None
    hosts: "Callable[[str, str, str, str], Guest] | None" = None
    _made: dict[str, Server] = field(default_factory=dict, compare=False, repr=False)
    """Id of a place → what it was made for."""
    _guests: dict[str, "Guest"] = field(default_factory=dict, compare=False, repr=False)
    _making: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)
    """Of what servers share: so that one that fails takes nothing away that another is about to use."""

    @cached_property
    def images(self) -> Images:
        """Its image service."""
        return Images(self.name, self.door)

    @cached_property
    def servers(self) -> Servers:
        """Its compute service."""
        return Servers(self.name, self.door, self.operator)

    @cached_property
    def networks(self) -> Networks:
        """Its network service."""
        return Networks(self.name, self.door)

    @cached_property
    def contents(self) -> Contents:
        """Contents of images and disks."""
        return Contents(self.name, self.images, self.servers, self.spool)

    # Inventory

    def about(self) -> About:
        """Name it. With a tenant's rights servers move cold."""
        abilities = {Ability.COLD, Ability.HYPERVISOR} if self.hosts else {Ability.COLD}
        return About(self.name, frozenset(abilities), self.site, clock=self.door.clock())

    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that have a server here."""
        found = self.listed()
        chosen = {name for name, selection in self.selections.items() if any(map(selection.holds, found))}
        return tuple(sorted(chosen | {server.metadata[CLUSTER] for server in found if CLUSTER in server.metadata}))

    def listed(self) -> list[Any]:
        """Servers that are this project's own: one that waits for its memory runs elsewhere."""
        return [each for each in self.servers.all() if each.metadata.get(WAITS) != FOR_MEMORY]

    def cluster(self, name: str) -> Cluster:
        """Read a cluster's servers that are here, by name."""
        selection = self.selections.get(name, Selection())
        found = [each for each in self.listed() if each.metadata.get(CLUSTER) == name or selection.holds(each)]
        if not found:
            raise NotFound(f"{self.name} has no cluster {name!r}; it has: {', '.join(self.clusters()) or 'none'}")
        ports = {each.id: self.networks.ports(each) for each in found}
        networks = self.networks.read(port.network_id for mine in ports.values() for port in mine)
        group_names = {group.id: name for name, group in self.networks.groups().items()}
        floating = self.networks.floating()
        servers = []
        for each in found:
            mine = ports[each.id]
            nics = tuple(read_nic(port, networks[port.network_id].name, group_names) for port in mine)
            losses = (*self.losses(each), *port_losses(each.name, mine, floating))
            servers.append(replace(self.read(each), nics=nics, losses=losses))
        return Cluster(
            name,
            tuple(sorted(networks.values(), key=lambda network: network.name)),
            tuple(servers),
            selection.health or next((each.metadata[HEALTH] for each in found if HEALTH in each.metadata), None),
            self.networks.read_groups({group for server in servers for nic in server.nics for group in nic.groups}),
            self.servers.keys({server.key for server in servers if server.key}),
            self.servers.read_server_groups({server.group for server in servers if server.group}),
        )

    def read(self, server: Any) -> Server:
        """A server as the model has it, without its cards."""
        flavor = server.flavor
        disk = Disk(ROOT, Bytes(flavor.disk * GIB_IN_MIB * MIB), self.base(server))
        return Server(
            name=server.name,
            vcpus=flavor.vcpus,
            memory=Bytes(flavor.ram * MIB),
            disks=(disk,),
            nics=(),
            metadata=self.servers.guest_metadata(server),
            drive=server.config_drive in (True, "True"),
            key=server.key_name,
            flavor=flavor.original_name,
            group=self.servers.group_name(server),
        )

    def base(self, server: Any) -> Image | None:
        """The image that a server's root disk lies over, as far as it is still there."""
        if BASE in server.metadata:
            found = self.images.find(server.metadata[BASE])
        else:
            found = self.images.get(server.image.id) if server.image and server.image.id else None
        return describe(found) if found and BLANK not in found.tags else None

    def losses(self, server: Any) -> Iterator[Finding]:
        """What of a server cannot be carried, or not be read with these rights."""
        name, flavor = server.name, server.flavor
        if server.attached_volumes:
            yield Finding(name, "has volumes, which this version does not carry", "detach them")
        if not flavor.disk:
            yield Finding(name, "boots from a volume, which this version does not carry", "leave it out")
        if flavor.ephemeral:
            text = f"its flavor {flavor.original_name} has an ephemeral disk, which this version does not carry"
            yield Finding(name, text, "leave it out, or resize it to a flavor without")
        if self.operator is None:
            text = f"{self.name} tells a tenant no server's user data"
            cure = "a guest that has booted once seldom needs it; name an operator's credentials to carry it (operator)"
            yield Finding(name, text, cure, blocking=False)

    def quota(self) -> tuple[Quota, Quota]:
        """What Nova allows this project. Of disks and images it tells no limit."""
        told = self.door.compute.get_limits().absolute
        disks = sum(each.flavor.disk * GIB_IN_MIB * MIB for each in self.servers.all())

        def limit(value: int, unit: int = 1) -> int:
            return value * unit if value >= 0 else UNLIMITED

        return (
            Quota(limit(told.total_cores), Bytes(limit(told.total_ram, MIB)), Bytes(UNLIMITED), Bytes(UNLIMITED)),
            Quota(told.total_cores_used, Bytes(told.total_ram_used * MIB), Bytes(disks), self.images.used()),
        )

    def conflicts(self, server: Server) -> tuple[str, ...]:
        """One line for each of its name and addresses that is taken; its own idle copy takes nothing."""
        found = self.servers.find(server.name)
        if found is not None:
            if not self.is_same(found, server) or state(found) in (ServerState.RUNNING, ServerState.PAUSED):
                return (f"the name {server.name} is taken by a server of this project",)
            return ()
        return tuple(self.networks.conflicts(server))

    def is_same(self, found: Any, wanted: Server) -> bool:
        """Whether a server here is the one that is wanted. User data counts only where it can be read."""
        group_names = {group.id: name for name, group in self.networks.groups().items()}
        ports = self.networks.ports(found)
        names = {each.network_id: self.door.network.get_network(each.network_id).name for each in ports}
        nics = by_mac(read_nic(port, names[port.network_id], group_names) for port in ports)
        told = {name: value for name, value in wanted.metadata.items() if self.operator or name != "user_data"}
        return replace(self.read(found), nics=nics) == replace(wanted, nics=by_mac(wanted.nics), metadata=told)

    def reach(self, peer: str) -> WanPath:
        """Measure the path between the borders."""
        if peer not in self.ends:
            raise CloudUnreachable(f"the configuration names no border of {peer!r}, so the path there is not known")
        return reach.measure(self.ends[self.site.name], self.ends[peer])

    # Storage

    def find_image(self, digest: str) -> Image | None:
        """Find a base image."""
        found = self.images.find(digest)
        return describe(found) if found else None

    def delete_image(self, digest: str) -> None:
        """Delete a base image, unless a server was made from it."""
        found = self.images.find(digest)
        if found is None or found.owner_id != self.door.project:
            return
        servers = self.servers.all()
        used = {each.image.id for each in servers if each.image} | {each.metadata.get(BASE) for each in servers}
        if not used & {found.id, digest}:
            self.images.delete(found)

    def offer(self, what: Image | DiskRef) -> AbstractContextManager[Offer]:
        """Offer an image's bytes, or what a stopped server's disk holds."""
        return self.contents.offer(what)

    def fetch(self, what: Image | DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Store a peer's image, or what a place will boot from. What crossed the WAN crosses it to this computer."""
        if isinstance(what, Image):
            limit, used = self.quota()
            if used.image_store + what.size > limit.image_store:
                raise StoreFull(f"{self.name}: no room for {show_bytes(what.size)} more of images")
            return self.contents.fetch_image(what, offer, progress)
        return self.contents.fetch_disk(what, offer, progress)

    # Compute

    def create_server(self, cluster: Cluster, server: Server) -> Placement:
        """Make a place for a server."""
        self.make(cluster, server, FOR_CONTENT)
        return self.placement(server)

    def make(self, cluster: Cluster, server: Server, waits: str) -> Any:
        """Find a server that is the same, or make a place for it."""
        found = self.servers.find(server.name)
        if found is not None:
            if self._made.get(found.id) != server and not self.is_same(found, server):
                raise AddressTaken(f"{self.name}: there is another server {server.name}")
            self._made[found.id] = server
            return found
        taken = self.conflicts(server)
        if taken:
            raise AddressTaken(f"{self.name}: {'; '.join(taken)}")
        for disk in server.disks:
            if disk.image is not None and self.images.find(disk.image.digest) is None:
                raise NotFound(f"{self.name} has no image {disk.image.name} ({disk.image.digest[:19]}…)")
        admit(self.name, server, *self.quota())
        try:
            with self._making:
                self.networks.prepare(cluster)
                self.servers.prepare_keys(cluster.keys)
                self.servers.prepare_server_groups(cluster.server_groups)
                ports = [self.networks.make_port(server.name, nic) for nic in server.nics]
            made = self.servers.make_place(cluster, server, ports, self.contents.blank(), waits)
            self._made[made.id] = server
            return made
        except CloudError:
            self.delete_server(server.name)
            raise

    def placement(self, server: Server) -> Placement:
        """Where its cards are: behind the fabric's port at the border."""
        return Placement(self.site.name, {nic.mac: self.site.fabrics.get(nic.network, "") for nic in server.nics})

    def start_server(self, name: str) -> None:
        """Boot a server; a place boots from what has arrived, or else from its image."""
        server = self.servers.get(name)
        self.servers.disclaim(server)
        if WAITS not in server.metadata:
            self.servers.start(server)
            return
        image = self.contents.arrived(name) or self.images.find(server.metadata.get(BASE, ""))
        if image is None:
            raise CloudError(f"{self.name}: {name} has nothing to boot from")
        told = {key: value for key, value in server.metadata.items() if key != WAITS}
        self.servers.boot_place(server, image, told)
        self.contents.drop_blank()

    def stop_server(self, name: str) -> None:
        """Power a server off."""
        server = self.servers.get(name)
        if WAITS not in server.metadata:
            self.servers.stop(server)

    def adopt_server(self, name: str) -> None:
        """Record that a server is an ordinary one: no snapshot of it is left."""
        server = self.servers.get(name)
        self.servers.disclaim(server)
        if server.metadata.get(WAITS) == FOR_MEMORY:
            self.servers.settle(server)
        self.contents.drop_snapshots(name)

    def delete_server(self, name: str, seed: str | None = None) -> None:  # noqa: ARG002
        """Remove a server with its ports and what we have made of it. Disks are not kept here."""
        server = self.servers.find(name)
        ports = [*self.networks.of_server(name), *(self.networks.ports(server) if server is not None else ())]
        self.networks.claim(name, ports)  # so that a repeat finds them when their server is gone
        if server is not None:
            self.servers.disclaim(server)
            self.servers.delete(server)
        with self._making:
            self.networks.delete_ports(ports)
            self.networks.tidy()
        self.contents.drop_snapshots(name)
        self.contents.drop_arrived(name)
        self.contents.drop_blank()

    def server_state(self, name: str) -> ServerState:
        """Ask Nova; where there is access to it, ask the hypervisor: Nova hears of it some seconds later."""
        server = self.servers.find(name)
        if server is None or self.hosts is None or server.metadata.get(WAITS) == FOR_CONTENT:
            return state(server)
        guest = self.guest(server)
        found = guest.state()
        if found is ServerState.ABSENT or (WAITS in server.metadata and not guest.was_let_in()):
            return ServerState.STOPPED
        return found

    # Hypervisor

    def guest(self, server: Any) -> "Guest":
        """Find a server's domain. Raises CloudError where there is no access to the hypervisors."""
        if self.hosts is None:
            raise CloudError(f"{self.name} gives no access to its hypervisors; move its servers cold")
        if server.id not in self._guests:
            host, root = self.servers.placed(server)
            self._guests[server.id] = self.hosts(host, server.id, server.name, root)
        return self._guests[server.id]

    def monitor(self, name: str, *, claim: bool = False) -> Monitor:
        """Find the monitor of a running or paused server."""
        server = self.servers.get(name)
        guest = self.guest(server)
        if guest.state() in (ServerState.STOPPED, ServerState.ABSENT):
            raise NotFound(f"{self.name}: server {name} has no process")
        if claim:
            self.servers.claim(server)
        return guest.monitor(self.spool)

    def receive_server(self, cluster: Cluster, server: Server) -> Landing:
        """Make a place, and let it wait for its memory. Its disk holds nothing: the image must cross with it."""
        if self.hosts is None:
            raise CloudError(f"{self.name} gives no access to its hypervisors; move its servers cold")
        place = self.make(cluster, server, FOR_MEMORY)
        self.servers.claim(place)
        guest = self.guest(place)
        self.let_in(place, guest)
        memory, disks, _ = guest.ports
        return Landing(
            monitor=guest.monitor(self.spool),
            memory_uri=f"tcp:{guest.host.address}:{memory}",
            nbd_host=guest.host.address,
            nbd_port=disks,
            placement=self.placement(server),
            bare=True,
        )

    def let_in(self, place: Any, guest: "Guest") -> None:
        """Let a place wait for its memory without Nova's noticing, or in spite of it."""
        for _ in range(TRIES):
            if self.servers.get(place.name).status == "SHUTOFF":
                self.servers.call_active(place)
            if guest.receive() or self.is_left_alone(place, guest):
                return
        raise CloudError(f"{self.name}: Nova stops {place.name} again and again while it waits for its memory")

    def is_left_alone(self, place: Any, guest: "Guest") -> bool:
        """Watch for some seconds whether Nova stops a place of which it may have been told that it was stopped."""
        end = time.monotonic() + NOTICES
        while time.monotonic() < end:
            if guest.state() is not ServerState.INCOMING or self.servers.get(place.name).status != "ACTIVE":
                return False
            time.sleep(0.5)
        return True


def by_mac(nics: Iterable[Nic]) -> tuple[Nic, ...]:
    """Cards in an order that every cloud can tell."""
    return tuple(sorted(nics, key=lambda nic: nic.mac))
