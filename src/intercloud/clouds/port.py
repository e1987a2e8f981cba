"""The port to a cloud: four small protocols, implemented by every adapter.

A repeat of any call is safe. The caller retries only errors whose `retry` is true; an adapter never retries itself.
Every call raises CloudUnreachable when the cloud does not answer. Times are seconds, sizes bytes.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from intercloud.clouds.ability import Ability
from intercloud.clouds.address import Address
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Disk, Image, Nic, Server
from intercloud.model.site import Placement, Platform, Quota, Site, WanPath
from intercloud.units import Bytes


class ServerState(StrEnum):
    """A server as its own cloud records it."""

    ABSENT = "absent"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    INCOMING = "incoming"
    """Made by receive_server, waiting for its memory."""


@dataclass(frozen=True)
class About:
    """What a cloud is, and how it stands.

    name: for messages; abilities: for the plan; site: the cloud as the control layer sees it.
    clock: seconds since the epoch by the cloud's own clock, at the moment of the answer.
    platform: what its servers run on; free: bytes that its disks and images can still grow by, whatever the quota
    says; None where the cloud does not tell.
    seeds: servers that have left and whose disks are kept → the mark of what these hold, see delete_server.
    routers: their cards at the networks' gateways, if the cloud tells.
    """

    name: str
    abilities: frozenset[Ability]
    site: Site
    clock: float
    platform: Platform | None = None
    free: Bytes | None = None
    seeds: Mapping[str, str] = field(default_factory=dict)
    routers: tuple[Nic, ...] = ()


@dataclass(frozen=True)
class DiskRef:
    """One disk of one server. bitmap: when it is filled, note under that name what is written from then on."""

    server: str
    disk: Disk
    bitmap: str | None = None


@dataclass(frozen=True)
class Extent:
    """A part of a disk: bytes `start` up to, not including, `end`."""

    start: Bytes
    length: Bytes

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + self.length


@dataclass(frozen=True)
class Offer:
    """Bytes that can be read over NBD while the offer stands. size: bytes.

    uri: what the peer cloud reads over the WAN; local: what a process beside this cloud reads (a digest).
    mark: a name for this content of a disk, unlike any other; None when later offers will not say what changed since.
    changed: mark of an earlier content → the parts, in order, in which this content may differ from that one: all that
    has to be carried to a disk with that content. A new disk's mark is Disk.blank. What is not told: everything.
    How a cloud knows is its own affair: a record of writes, or the digests of two snapshots. A dirty bitmap that has
    missed no write since it began (DiskRef.bitmap, or one that a hypervisor was given) is a mark by its own name.
    bitmaps: such bitmaps as are stored with a stopped server's disk, to be read at `local`.
    """

    uri: str
    local: str
    size: Bytes
    mark: str | None = None
    changed: Mapping[str, tuple[Extent, ...]] = field(default_factory=dict)
    bitmaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Doors:
    """Where a process beside a hypervisor meets it, to send on what it sends: its memory, and its disks.

    record: path there of a file of that process, named after the server.
    """

    memory: Address
    disks: Address
    record: str


@dataclass(frozen=True)
class Monitor:
    """Where a hypervisor's monitor is. path: its QMP socket; nodes: disk name → block node under the guest's disk.

    beside: words before a command that shall run beside that hypervisor, where it can reach what the hypervisor can.
    doors: None where no command can be run there.
    reading: host and port at which it may offer its disks to be read; None: at a socket beside that of its monitor.
    """

    path: str
    nodes: Mapping[str, str]
    beside: tuple[str, ...] = ()
    reading: tuple[str, int] | None = None
    doors: Doors | None = None


@dataclass(frozen=True)
class Landing:
    """A server that waits for its memory at the target.

    host, memory_port, nbd_port: where on the WAN its memory is awaited, and its NBD server shall listen for the mirror.
    placement: where its cards are.
    seeds: names of those disks that were not empty when it was made: they hold what was kept when it left.
    bare: its disks do not lie over their images, so these must cross with them.
    """

    monitor: Monitor
    host: str
    memory_port: int
    nbd_port: int
    placement: Placement
    seeds: frozenset[str] = frozenset()
    bare: bool = False


Progress = Callable[[Bytes], None]
"""Called with the bytes moved so far, from any thread, at most some ten times a second."""


class Inventory(Protocol):
    """What there is. Read-only, all of it."""

    def about(self) -> About:
        """Say what this cloud is. Asked often: an adapter keeps what does not change, and asks for the rest only."""

    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters that have at least one server here."""

    def cluster(self, name: str) -> Cluster:
        """Read a cluster's servers that are here, in a stable order. Raises NotFound, naming the clusters there are."""

    def quota(self) -> tuple[Quota, Quota]:
        """What this cloud allows, and what is used of it now."""

    def conflicts(self, cluster: Cluster) -> tuple[Finding, ...]:
        """What here is in the way of these servers; their own idle copies are not.

        A name, MAC or IP address that something else has; a network or a security group that is not as it is wanted.
        """

    def reach(self, peer: str) -> WanPath:
        """Measure the path to a peer site, in a second or two. Raises CloudUnreachable when nothing comes back."""


class Storage(Protocol):
    """Images and disks as bytes."""

    def find_image(self, digest: str) -> Image | None:
        """Find a base image by the digest of its bytes."""

    def delete_image(self, digest: str) -> None:
        """Delete a base image, unless a disk still uses it."""

    def offer(self, what: Image | DiskRef) -> AbstractContextManager[Offer]:
        """Offer an image file or the content of a disk, to be read until the context ends.

        With Ability.WARM the disk may be that of a running server: it is offered as at the moment of the call (as after
        a power cut), while the server writes on; one disk of a server at a time. Raises CloudError for a disk that is
        written otherwise. A context that ends without an exception says that a peer has this content: changes are then
        told since this mark, and no earlier one but bitmaps. After an exception, or a kill, every earlier mark stays
        good. What a kill leaves at a running server (room is used for what it overwrites) goes with the next offer of
        its disks, with monitor, stop_server, adopt_server and delete_server.
        """

    def fetch(self, what: Image | DiskRef, offer: Offer, progress: Progress) -> Bytes:
        """Fill an image, or a stopped server's disk, from a peer's offer; returns the bytes that crossed the WAN.

        An image is visible to find_image only when it is whole and its digest is right. The mark of what a disk was
        filled with is kept beside it until its server is started; a disk whose mark is among offer.changed is given
        just those parts, any other everything.
        Raises StoreFull before the first byte where that can be known; TransferError when the peer goes away:
        a half-filled image is removed, a disk is left so that the next fetch makes it right.
        """


class Compute(Protocol):
    """Servers, without looking inside."""

    def create_server(self, cluster: Cluster, server: Server) -> Placement:
        """Make a stopped server of this cluster: disks over their images, cards not plugged anywhere yet.

        The disks are empty, or else those that were kept when a server of this name with the same disks left; then
        their marks are beside them, and nothing is kept any more. They are there to be filled: one that is not, when
        the server is started, is made empty. The same name and content again gives the same server. Raises
        QuotaReached, AddressTaken, StoreFull or NotFound (an image is missing here): nothing is left after those.
        """

    def start_server(self, name: str) -> None:
        """Boot a stopped server. Its placement's devices exist when this returns."""

    def stop_server(self, name: str) -> None:
        """Power a server off after its guest has had a few seconds to sync; its disks can then be offered."""

    def adopt_server(self, name: str, *, elsewhere: bool = False) -> None:
        """Record that a server is an ordinary one from now on. Raises NotFound.

        Of a move that it came by, or that was given up, nothing is left with it: no memory is awaited, no mark known.
        elsewhere: record instead that it runs at another cloud, and its own here is kept for a return: this cloud's
        network does not deliver to it any more, until it is adopted or started again.
        """

    def delete_server(self, name: str, seed: str | None = None) -> None:
        """Remove a server in whatever state, with its disks and devices. No error when there is none.

        seed: a mark of what its disks hold, for it has stopped; with it the cloud may keep them aside as seeds until
        the server comes back. They replace any kept before, are not in the quota, and go when their room is needed.
        """

    def server_state(self, name: str) -> ServerState:
        """Tell how a server is now, from evidence and not from memory."""


class Hypervisor(Protocol):
    """What a live move needs; only clouds with Ability.HYPERVISOR have it."""

    def monitor(self, name: str, *, claim: bool = False) -> Monitor:
        """Find the monitor of a running or paused server. Raises NotFound when there is no such process.

        claim: let nobody else command this server through its cloud until it is adopted, started or deleted.
        """

    def receive_server(self, cluster: Cluster, server: Server) -> Landing:
        """Make a server that waits for its memory (-incoming defer, -S), its disks as those of create_server.

        It is claimed, and counts against the quota from now on. Raises as create_server does; delete_server removes it.
        """


class Cloud(Inventory, Storage, Compute, Hypervisor, Protocol):
    """Everything together; an adapter without hypervisor access raises CloudError from those three."""
