"""OpenStack as a cloud: the port of clouds/port.py over the public APIs of one project, with a tenant's rights.

What a tenant cannot read or write directly goes through the image service: a server's disk is read as a snapshot, and
a place's is filled with images (`filling.py`).
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercloud.clouds import reach
from intercloud.clouds.ability import Ability
from intercloud.clouds.openstack.contents import Contents
from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.filling import Filling
from intercloud.clouds.openstack.images import Images, describe
from intercloud.clouds.openstack.inventory import Inventory
from intercloud.clouds.openstack.names import (
    BASE,
    FOR_BOOT,
    FOR_CONTENT,
    FOR_MEMORY,
    ROOT,
)
from intercloud.clouds.openstack.networks import Networks
from intercloud.clouds.openstack.selection import Selection
from intercloud.clouds.openstack.servers import GIB_IN_MIB, Servers, boots_from_volume, state, waits
from intercloud.clouds.openstack.volumes import Volumes
from intercloud.clouds.port import About, DiskRef, Landing, Monitor, Offer, Progress, ServerState
from intercloud.clouds.quota import admit
from intercloud.errors import AddressTaken, CloudError, CloudUnreachable, NotFound, StoreFull
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Image, Server
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
    operator: what reads and makes what a tenant may not, if there is one. spool: folder for contents on their way;
    cache: for what is built once.
    hosts: name of a compute host, server's id and name, root device → its domain there; with it, servers move live.
    selections: cluster → the servers it is made of, besides those that say so.
    """

    name: str
    door: Door
    site: Site
    ends: Mapping[str, reach.End]
    spool: Path
    cache: Path
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
    def volumes(self) -> Volumes:
        """Its block storage."""
        return Volumes(self.name, self.door)

    @cached_property
    def inventory(self) -> Inventory:
        """What there is of the project's clusters."""
        return Inventory(self.name, self.images, self.servers, self.volumes, self.networks, self.selections)

    @cached_property
    def contents(self) -> Contents:
        """Contents of images and disks."""
        return Contents(self.name, self.images, self.servers, self.volumes, self.spool, self.cache)

    @cached_property
    def filling(self) -> Filling:
        """The disks of its places."""
        return Filling(self.contents)

    # Inventory

    def about(self) -> About:
        """Name it. With a tenant's rights servers move cold or warm."""
        abilities = {Ability.COLD, Ability.WARM} | ({Ability.HYPERVISOR} if self.hosts else set())
        routers = self.networks.routers
        return About(self.name, frozenset(abilities), self.site, clock=self.door.clock(), routers=routers)

    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that have a server here."""
        return self.inventory.clusters()

    def cluster(self, name: str) -> Cluster:
        """Read a cluster's servers that are here, by name."""
        found = self.inventory.cluster(name)
        return found if self.hosts is None else replace(found, servers=tuple(map(self.with_layout, found.servers)))

    def with_layout(self, server: Server) -> Server:
        """Add where a running server's devices are, if its hypervisor tells: only a live move needs it."""
        with suppress(CloudError):
            return replace(server, layout=self.guest(self.servers.get(server.name)).layout())
        return server

    def conflicts(self, cluster: Cluster) -> tuple[Finding, ...]:
        """What here is in the way of these servers; their own idle copies are not."""
        return self.inventory.conflicts(cluster)

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
        """Offer an image's bytes, or what a server's disk holds: a place's, what it will hold when it is started."""
        if isinstance(what, Image):
            return self.contents.offer_image(what)
        server = self.servers.get(what.server)
        if what.disk.name == ROOT and waits(server):
            return self.filling.offer(server, what)
        if what.disk.name != ROOT or boots_from_volume(server):
            return self.contents.offer_volume(server, what)
        return self.contents.offer_disk(server, what)

    def fetch(self, what: Image | DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Store a peer's image, or what a place will boot from. What crossed the WAN crosses it to this computer."""
        if isinstance(what, Image):
            limit, used = self.quota()
            if used.image_store + what.size > limit.image_store:
                raise StoreFull(f"{self.name}: no room for {show_bytes(what.size)} more of images")
            return self.contents.fetch_image(what, offer, progress)
        return self.filling.fetch(what, offer, progress)

    # Compute

    def create_server(self, cluster: Cluster, server: Server) -> Placement:
        """Make a place for a server."""
        self.make(cluster, server, FOR_CONTENT)
        return self.placement(server)

    def make(self, cluster: Cluster, server: Server, waits: str) -> Any:
        """Find a server that is the same, or make a place for it."""
        found = self.servers.find(server.name)
        if found is not None:
            if self._made.get(found.id) != server and not self.inventory.is_same(found, server):
                raise AddressTaken(f"{self.name}: there is another server {server.name}")
            self._made[found.id] = server
            return found
        if lines := self.inventory.taken(server):
            raise AddressTaken(f"{self.name}: {'; '.join(lines)}")
        for disk in server.disks:
            if disk.image is not None and self.images.find(disk.image.digest) is None:
                raise NotFound(f"{self.name} has no image {disk.image.name} ({disk.image.digest[:19]}…)")
        admit(self.name, server, *self.quota())
        self.volumes.delete(server.name)  # of one that is gone
        try:
            with self._making:
                self.networks.prepare(cluster)
                self.servers.prepare_keys(cluster.keys)
                self.servers.prepare_server_groups(cluster.server_groups)
                ports = [self.networks.make_port(server.name, nic) for nic in server.nics]
            self.networks.step_aside(ports)  # its server runs where it did until it is adopted, or started here
            blank = self.contents.blank(server.hardware, quick=waits == FOR_CONTENT)
            made = self.servers.make_place(cluster, server, ports, self.volumes.blank(server, blank), waits)
            self._made[made.id] = server
            self.volumes.prepare(server, made)
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
        self.networks.step_back(self.networks.ports(server))
        if not waits(server):
            self.servers.start(server)
            return
        self.filling.boot(server)
        self.contents.drop_blank()

    def stop_server(self, name: str) -> None:
        """Power a server off."""
        server = self.servers.get(name)
        if not waits(server):
            self.servers.stop(server)

    def adopt_server(self, name: str, *, elsewhere: bool = False) -> None:
        """Record that a server is an ordinary one: no snapshot of it is left."""
        server = self.servers.get(name)
        if elsewhere:
            self.networks.step_aside(self.networks.ports(server))
            return
        self.networks.step_back(self.networks.ports(server))
        self.servers.disclaim(server)
        if waits(server) == FOR_MEMORY:
            self.servers.settle(server)
        self.contents.drop_snapshots(name)
        self.volumes.drop_copies(name)
        if waits(server) != FOR_CONTENT:
            self.volumes.settle(server)
        self.contents.marks(server, ROOT).forget()

    def delete_server(self, name: str, seed: str | None = None) -> None:  # noqa: ARG002
        """Remove a server with what we have made of it, and its ports but for those with floating IPs.

        Disks are not kept here.
        """
        server = self.servers.find(name)
        ports = [*self.networks.of_server(name), *(self.networks.ports(server) if server is not None else ())]
        self.networks.claim(name, ports)  # so that a repeat finds them when their server is gone
        stay = self.networks.with_floating(ports)
        if server is not None:
            self.servers.disclaim(server)
            self.volumes.claim(server)
            self.servers.delete(server)
            self.contents.marks(server, ROOT).forget()
            self.filling.held(server).unlink(missing_ok=True)
        self.volumes.drop_copies(name)
        self.volumes.delete(name)
        with self._making:
            self.networks.leave(name, stay.values())
            self.networks.delete_ports(port for port in ports if port.id not in stay)
            self.networks.tidy()
        self.contents.drop_snapshots(name)
        self.filling.drop_images(name)
        self.contents.drop_blank()

    def server_state(self, name: str) -> ServerState:
        """Ask Nova; where there is access to it, ask the hypervisor: Nova hears of it some seconds later."""
        server = self.servers.find(name)
        return ServerState.ABSENT if server is None else self.state(server)

    def state(self, server: Any) -> ServerState:
        """How a server that was just read is."""
        if self.hosts is None or waits(server) in (FOR_CONTENT, FOR_BOOT):
            return state(server)
        guest = self.guest(server)
        found = guest.state()
        if found is ServerState.ABSENT or (waits(server) and not guest.was_let_in()):
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
        if self.state(server) in (ServerState.STOPPED, ServerState.ABSENT):
            raise NotFound(f"{self.name}: server {name} has no process")
        guest = self.guest(server)
        if claim:
            self.servers.claim(server)
        return guest.monitor(self.spool)

    def receive_server(self, cluster: Cluster, server: Server) -> Landing:
        """Make a place, and let it wait for its memory. Its disk holds nothing: the image must cross with it."""
        if self.hosts is None:
            raise CloudError(f"{self.name} gives no access to its hypervisors; move its servers cold")
        place = self.make(cluster, server, FOR_MEMORY)
        self.volumes.attach(place)
        self.servers.claim(place)
        guest = self.guest(place)
        self.let_in(place, guest, server.layout)
        memory, disks, _ = guest.ports
        return Landing(
            monitor=guest.monitor(self.spool),
            host=guest.host.address,
            memory_port=memory,
            nbd_port=disks,
            placement=self.placement(server),
            bare=True,
        )

    def let_in(self, place: Any, guest: "Guest", layout: Mapping[str, str]) -> None:
        """Let a place wait for its memory without Nova's noticing, or in spite of it."""
        for _ in range(TRIES):
            if self.servers.get(place.name).status == "SHUTOFF":
                self.servers.call_active(place)
            if guest.receive(layout) or self.is_left_alone(place, guest):
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
