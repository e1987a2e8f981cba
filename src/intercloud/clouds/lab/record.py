"""What a lab cloud keeps of a server on disk, and how it is written and read back."""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from intercloud.errors import StoreFull
from intercloud.model.server import Cluster, Server


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
        with part.open("wb") as file:
            file.write(_adapter().dump_json(record, indent=1))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StoreFull(f"the record {path} cannot be written: {error.strerror}") from error


def load(path: Path) -> Record | None:
    """Read a record back; None when there is none."""
    try:
        return _adapter().validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)
