"""What a lab cloud keeps of a server on disk, and how it is written and read back."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from intercloud.errors import StoreFull
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.units import Bytes


@dataclass(frozen=True)
class Record:
    """A server that was asked for.

    cluster: what it belongs to, without servers. incoming: made by receive_server and not yet adopted.
    slot: a small number that no other server of the site has; its ports follow from it. seeds: names of its disks that
    were kept from an earlier stay and not filled since, until it is adopted.
    """

    cluster: Cluster
    server: Server
    slot: int
    incoming: bool = False
    seeds: tuple[str, ...] = ()

    @property
    def memory_port(self) -> int:
        """TCP port for the server's memory."""
        return 30000 + 2 * self.slot

    @property
    def nbd_port(self) -> int:
        """TCP port for the server's disks."""
        return self.memory_port + 1


def without_servers(cluster: Cluster) -> Cluster:
    """The cluster as a record keeps it."""
    return replace(cluster, servers=())


def save(record: Record, path: Path) -> None:
    """Write a record; whoever reads meanwhile, or after a crash, sees the old one or the new one whole.

    Raises StoreFull when it cannot be written; the old one stays.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("w") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StoreFull(f"the record {path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Record | None:
    """Read a record back; None when there is none."""
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    cluster = data["cluster"]
    networks = tuple(Network(**network) for network in cluster["networks"])
    return Record(
        cluster=Cluster(cluster["name"], networks, (), cluster["health"]),
        server=load_server(data["server"]),
        slot=data["slot"],
        incoming=data["incoming"],
        seeds=tuple(data.get("seeds", ())),
    )


def load_server(data: Mapping[str, Any]) -> Server:
    """Rebuild a server from what asdict made of it."""
    disks = (
        Disk(disk["name"], Bytes(disk["size"]), Image(**disk["image"]) if disk["image"] else None)
        for disk in data["disks"]
    )
    return Server(
        name=data["name"],
        vcpus=data["vcpus"],
        memory=Bytes(data["memory"]),
        disks=tuple(disks),
        nics=tuple(Nic(**nic) for nic in data["nics"]),
        metadata=dict(data["metadata"]),
    )
