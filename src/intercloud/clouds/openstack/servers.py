"""A cloud's servers, and places for servers that are still to come.

A place is a real server of the right flavor with the right ports, booted from an image that holds nothing: so quota,
room on a host and addresses are proven while the server still runs elsewhere. It boots by being rebuilt.
"""

import base64
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.names import (
    BASE,
    CLUSTER,
    FOR_BOOT,
    FOR_CONTENT,
    FOR_MEMORY,
    HEALTH,
    MARK,
    OURS,
    WAITS,
)
from intercloud.clouds.port import ServerState
from intercloud.errors import CloudError, NotFound
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, KeyPair, Server, ServerGroup
from intercloud.units import MIB

LONG = 600.0
"""Seconds for a server to be made or rebuilt, the image brought to its host."""
SHORT = 180.0
"""Seconds for one to stop or go: Nova gives a guest a minute to shut down."""
LOOK = 0.5
GIB_IN_MIB = 1024
CLAIM = "intercloud moves it"
"""Why a server is locked."""
FILLS_VOLUMES, OLDEST = (2, 93), (2, 1)
"""Microversions of Nova: from which on it rebuilds servers that boot from volumes; what it speaks without any."""
LONGEST_VALUE = 255
"""Characters of a server's metadatum."""


class Power(IntEnum):
    """Nova's own record of what the hypervisor says."""

    NONE = 0
    RUNNING = 1
    PAUSED = 3
    OFF = 4
    CRASHED = 6
    SUSPENDED = 7


def waits(server: Any) -> str | None:
    """For what a place waits; None for a server, and for a place that has begun to be one."""
    found: str | None = server.metadata.get(WAITS)
    return None if found == FOR_BOOT and server.status not in ("SHUTOFF", "RESCUE") else found


def state(server: Any | None) -> ServerState:
    """How a server is. One that is being booted counts as running: it may run at any moment."""
    if server is None:
        return ServerState.ABSENT
    if waits(server) in (FOR_CONTENT, FOR_MEMORY) or server.task_state == "rescuing":
        return ServerState.STOPPED
    if server.status == "RESCUE":  # what runs is not the server
        return ServerState.RUNNING if server.task_state else ServerState.STOPPED
    if server.status in ("BUILD", "REBUILD", "REBOOT", "HARD_REBOOT") or server.power_state == Power.RUNNING:
        return ServerState.RUNNING
    return ServerState.PAUSED if server.power_state == Power.PAUSED else ServerState.STOPPED


def boots_from_volume(server: Any) -> bool:
    """Whether a server's root disk is a volume: Nova names no image then."""
    return not (server.image and server.image.id)


def own_metadata(cluster: Cluster, server: Server, waits: str) -> dict[str, str]:
    """Everything that is written on a place. Raises CloudError for what is too long to be."""
    told = {name: value for name, value in server.metadata.items() if name != "user_data"}
    told |= {CLUSTER: cluster.name, WAITS: waits}
    if cluster.health:
        told[HEALTH] = cluster.health
    if server.disks[0].image:
        told[BASE] = server.disks[0].image.digest
    for name, value in told.items():
        if len(value) > LONGEST_VALUE:
            raise CloudError(f"{server.name}: its metadatum {name} is longer than {LONGEST_VALUE} characters")
    return told


def gib(size: int) -> int:
    """GiB of a flavor whose root disk has room for so many bytes: flavors count whole ones."""
    return -(-size // (GIB_IN_MIB * MIB))


def disk_of_flavor(server: Server) -> int:
    """GiB that a flavor gives a server; none where its root disk is a volume."""
    return 0 if server.disks[0].volume else gib(server.disks[0].size)


def fits(flavor: Any, server: Server) -> bool:
    """Whether a flavor gives just these figures. What disk it names is nothing to a server that boots from a volume."""
    same = (flavor.vcpus, flavor.ram * MIB, flavor.ephemeral or 0) == (server.vcpus, server.memory, 0)
    return same and (server.disks[0].volume is not None or flavor.disk == disk_of_flavor(server))


def too_old(cloud: str, spoken: tuple[int, int] | None, servers: Iterable[Server]) -> Iterator[Finding]:
    """Servers that a Nova cannot boot from their volumes. spoken: its newest microversion; None where it has none."""
    rooted = [server.name for server in servers if server.disks[0].volume]
    if rooted and (spoken or OLDEST) < FILLS_VOLUMES:
        version = ".".join(map(str, spoken or OLDEST))
        text = f"its Nova (up to microversion {version}) cannot fill the volume that a server boots from"
        yield Finding(cloud, text, f"bring it to OpenStack 2022.2 (Zed), or leave {', '.join(rooted)} out")


@dataclass(frozen=True)
class Servers:
    """The compute service of one cloud. operator: who may read and make what a tenant may not, if there is one."""

    cloud: str
    door: Door
    operator: Door | None = None

    def guest_metadata(self, server: Any) -> dict[str, str]:
        """What a server's guest is told, its user data among it where that can be read."""
        told = {name: value for name, value in server.metadata.items() if not name.startswith(OURS)}
        if self.operator is not None:
            server = self.operator.compute.get_server(server.id)
        if server.user_data:
            told["user_data"] = base64.b64decode(server.user_data).decode(errors="surrogateescape")
        return told

    def all(self) -> list[Any]:
        """The project's servers, by name."""
        found = list(self.door.compute.servers(details=True))
        return sorted(found, key=lambda each: (each.name, each.id))

    def find(self, name: str) -> Any | None:
        """Find a server by its name. Raises CloudError when several have it."""
        found = [each for each in self.door.compute.servers(details=True, name=re.escape(name)) if each.name == name]
        if len(found) > 1:
            raise CloudError(f"{self.cloud}: {len(found)} servers are called {name}; give each a name of its own")
        return found[0] if found else None

    def get(self, name: str) -> Any:
        """Find a server. Raises NotFound."""
        server = self.find(name)
        if server is None:
            raise NotFound(f"{self.cloud} has no server {name!r}")
        return server

    def obstacles(self, servers: Iterable[Server]) -> Iterator[Finding]:
        """Servers that cannot be booted here."""
        return too_old(self.cloud, self.door.compute.get_endpoint_data().max_microversion, servers)

    def flavor(self, server: Server) -> Any:
        """Choose a flavor with a server's figures, of its own flavor's name if there is one; make it where allowed."""
        there = [flavor for flavor in self.door.compute.flavors() if fits(flavor, server)]
        if there:
            return min(there, key=lambda each: (each.name != server.flavor, each.name))
        ram, disk = server.memory // MIB, disk_of_flavor(server)
        figures = f"{server.vcpus} vCPU, {ram} MiB of memory, {disk} GiB of disk"
        name = server.flavor or f"intercloud-{server.vcpus}-{ram}-{disk}"
        try:
            return (self.operator or self.door).compute.create_flavor(name=name, vcpus=server.vcpus, ram=ram, disk=disk)
        except CloudError as error:
            raise NotFound(f"{self.cloud} has no flavor of {figures}; let its operator make one ({error})") from error

    def prepare_keys(self, keys: Collection[KeyPair]) -> None:
        """Let key pairs be there."""
        there = {each.name for each in self.door.compute.keypairs()} if keys else set()
        for key in keys:
            if key.name not in there:
                self.door.compute.create_keypair(name=key.name, public_key=key.public, key_type=key.kind)

    def keys(self, names: Collection[str]) -> tuple[KeyPair, ...]:
        """Key pairs of these names."""
        found = self.door.compute.keypairs() if names else ()
        return tuple(KeyPair(each.name, each.public_key, each.type or "ssh") for each in found if each.name in names)

    def server_groups(self) -> dict[str, Any]:
        """The project's server groups, by name."""
        return {each.name: each for each in self.door.compute.server_groups()}

    def group_name(self, server: Any) -> str | None:
        """The name of a server's group, if it is in one."""
        mine = set(server.server_groups or ())
        return next((name for name, each in self.server_groups().items() if each.id in mine), None) if mine else None

    def read_server_groups(self, names: Collection[str]) -> tuple[ServerGroup, ...]:
        """Server groups of these names, in their order."""
        there = self.server_groups() if names else {}
        return tuple(ServerGroup(name, there[name].policy) for name in sorted(names) if name in there)

    def prepare_server_groups(self, wanted: Collection[ServerGroup]) -> None:
        """Let server groups be there."""
        there = self.server_groups() if wanted else {}
        for group in wanted:
            if group.name not in there:
                self.door.compute.create_server_group(name=group.name, policy=group.policy)

    def make_place(
        self, cluster: Cluster, server: Server, ports: Collection[Any], blank: Mapping[str, Any], waits: str
    ) -> Any:
        """Make a server from what holds nothing, and wait until it is. Raises CloudError, QuotaReached.

        blank: as Nova is told what to boot from; waits: for what, as names.WAITS has it.
        """
        user_data = server.metadata.get("user_data")
        options: dict[str, Any] = {"key_name": server.key} if server.key else {}
        if server.group:
            options["scheduler_hints"] = {"group": self.server_groups()[server.group].id}
        if user_data:
            options["user_data"] = base64.b64encode(user_data.encode(errors="surrogateescape")).decode()
        made = self.door.compute.create_server(
            name=server.name,
            flavor_id=self.flavor(server).id,
            networks=[{"port": port.id} for port in ports],
            metadata=own_metadata(cluster, server, waits),
            config_drive=server.drive,
            **blank,
            **options,
        )
        return self.wait(made.id, lambda it: it.status == "ACTIVE" and it.task_state is None, LONG)

    def placed(self, server: Any) -> tuple[str, str]:
        """Name of the host that a server is on, and of its root device there, as only an operator is told."""
        assert self.operator is not None
        seen = self.operator.compute.get_server(server.id)
        return seen.compute_host, (seen.root_device_name or "/dev/vda").removeprefix("/dev/")

    def claim(self, server: Any) -> None:
        """Let nobody else command a server: an unpause of one whose memory has left would start a second copy."""
        if not server.is_locked:
            self.door.compute.lock_server(server.id, locked_reason=CLAIM)

    def disclaim(self, server: Any) -> None:
        """Let its users command a server that was claimed; one that they have locked themselves stays so."""
        if server.is_locked and server.locked_reason == CLAIM:
            self.door.compute.unlock_server(server.id)

    def note(self, server: Any, told: Mapping[str, str]) -> None:
        """Write something on a server."""
        self.door.compute.set_server_metadata(server.id, **told)

    def forget(self, server: Any, name: str) -> None:
        """Let something not be written on a server any more."""
        if name in server.metadata:
            self.door.compute.delete_server_metadata(server.id, [name])

    def settle(self, server: Any) -> None:
        """Let a place that runs be an ordinary server."""
        for name in (WAITS, MARK):
            self.forget(server, name)

    def call_active(self, server: Any) -> None:
        """Let Nova believe that a server runs which it has seen stopped; else it would stop it again."""
        assert self.operator is not None
        self.operator.compute.reset_server_state(server.id, "active")

    def boot_place(self, server: Any, image: Any, metadata: Mapping[str, str]) -> None:
        """Boot a place from its content, and wait until it runs. From the request on it is a place no more."""
        self.door.compute.rebuild_server(server.id, image.id, metadata=dict(metadata))

        def runs(it: Any) -> bool:
            return (
                it.status == "ACTIVE" and it.task_state is None and (boots_from_volume(it) or it.image.id == image.id)
            )

        self.wait(server.id, runs, LONG)

    def rebuild(self, server: Any, image: Any) -> None:
        """Let a stopped place's disk hold an image; it boots for a moment and is stopped again, by Nova itself."""
        self.door.compute.rebuild_server(server.id, image.id)
        self.wait(
            server.id, lambda it: it.status == "SHUTOFF" and it.task_state is None and it.image.id == image.id, LONG
        )

    def rescue(self, server: Any, image: Any) -> None:
        """Boot an image beside a server's disk, and wait until it runs; nothing happens when one does."""
        if self.door.compute.get_server(server.id).status != "RESCUE":
            self.door.compute.rescue_server(server.id, image=image.id)
            self.wait(server.id, lambda it: it.status == "RESCUE" and it.task_state is None, LONG)

    def leave_rescue(self, server: Any) -> None:
        """End a rescue, if there is one, and switch the server off again."""
        if self.door.compute.get_server(server.id).status == "RESCUE":
            self.door.compute.unrescue_server(server.id)
            self.wait(server.id, lambda it: it.status in ("ACTIVE", "SHUTOFF") and it.task_state is None, LONG)
            self.switch_off(server)

    def console(self, server: Any) -> str:
        """What a server says on its console; nothing while it is not to be had."""
        try:
            return str(self.door.compute.get_server_console_output(server.id)["output"])
        except NotFound:
            return ""

    def start(self, server: Any) -> None:
        """Boot a server, and wait until it runs; nothing happens to one that does."""
        if server.status == "ERROR":  # a rebuild would help one that has never run, and destroy what any other wrote
            why = (server.fault or {}).get("message", "Nova says nothing of why")
            raise CloudError(f"{self.cloud}: {server.name} is in error ({why}); let its operator set that right")
        if server.status == "RESCUE" and not server.task_state:
            self.door.compute.unrescue_server(server.id)
        elif state(server) is ServerState.STOPPED:
            self.door.compute.start_server(server.id)
        self.wait(server.id, lambda it: it.status == "ACTIVE" and it.power_state == Power.RUNNING, LONG)

    def stop(self, server: Any) -> None:
        """Power a server off, and wait until it is; nothing happens to one that is."""
        if state(server) is not ServerState.STOPPED:
            self.switch_off(server)
        self.wait(server.id, lambda it: it.status == "SHUTOFF" and it.task_state is None, SHORT)

    def switch_off(self, server: Any) -> None:
        """Power off whatever runs as a server, and wait until it is off."""
        if self.door.compute.get_server(server.id).status != "SHUTOFF":
            self.door.compute.stop_server(server.id)
        self.wait(server.id, lambda it: it.status == "SHUTOFF" and it.task_state is None, SHORT)

    def delete(self, server: Any) -> None:
        """Delete a server, and wait until it is gone."""
        self.door.compute.delete_server(server.id, ignore_missing=True)
        deadline = time.monotonic() + SHORT
        while True:
            try:
                self.door.compute.get_server(server.id)
            except NotFound:
                return
            if time.monotonic() > deadline:
                raise CloudError(f"{self.cloud}: {server.name} is not gone {SHORT:.0f} s after its deletion")
            time.sleep(LOOK)

    def wait(self, number: str, is_so: Callable[[Any], bool], longest: float) -> Any:
        """Wait until a server is as it shall be. Raises CloudError with Nova's own words when it fails."""
        deadline = time.monotonic() + longest
        while True:
            server = self.door.compute.get_server(number)
            if is_so(server):
                return server
            if server.status == "ERROR":
                why = (server.fault or {}).get("message", "it says nothing of why")
                raise CloudError(f"{self.cloud}: server {server.name} failed: {why}")
            if time.monotonic() > deadline:
                raise CloudError(f"{self.cloud}: {server.name} is still {server.status} after {longest:.0f} s")
            time.sleep(LOOK)
