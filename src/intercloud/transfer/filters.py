"""Filters between hypervisors that mirror disks and the disks' places, each a process: begun, asked, swept away."""

import subprocess
import sys
from pathlib import Path

from intercloud.clouds.address import Address
from intercloud.clouds.port import Monitor
from intercloud.errors import TransferError
from intercloud.model.digests import BlockDigests
from intercloud.transfer.nbdfilter import count_file
from intercloud.units import Bytes

START = 60.0
"""Seconds until it listens; a big disk has megabytes of digests."""
PROGRAM = "intercloud.transfer.nbdfilter"


def start(monitor: Monitor, server: Address, export: str, seed: BlockDigests | None) -> Address:
    """Start one beside a hypervisor, for one disk; returns where it waits for QEMU.

    server: the NBD server as one finds it from there; seed: of what its export holds, to which nobody else writes.
    Raises TransferError.
    """
    at_ports = monitor.doors is not None and not monitor.doors.disks.path
    where = Address("127.0.0.1") if at_ports else Address(path=str(_socket(monitor, export)))
    program = (sys.executable, "-m", PROGRAM, where.uri, server.uri, export)
    try:
        done = subprocess.run(
            (*monitor.beside, *program), input=seed.digests if seed else b"", capture_output=True, timeout=START,
            check=False, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransferError(f"the filter before {export} does not start: {error}") from error
    if done.returncode:
        raise TransferError(f"the filter before {export} does not start: {done.stderr.decode().strip()}")
    return Address.read(done.stdout.decode())


def sent(monitor: Monitor, export: str) -> Bytes | None:
    """Bytes that one before a seed has passed on so far; None when there is none."""
    try:
        return Bytes(int(count_file(_socket(monitor, export)).read_text()))
    except (FileNotFoundError, ValueError):
        return None


def sweep(monitor: Monitor, export: str) -> None:
    """Remove the files of one that is not needed any more. Safe to repeat."""
    for path in (_socket(monitor, export), count_file(_socket(monitor, export))):
        path.unlink(missing_ok=True)


def _socket(monitor: Monitor, export: str) -> Path:
    return Path(monitor.path).with_suffix(f".filter-{export}")
