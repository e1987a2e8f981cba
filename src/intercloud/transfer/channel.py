"""Ways from hypervisors at one cloud to those at another: each server's own, or one compressed channel for a gang."""

import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from intercloud.clouds.address import Address
from intercloud.clouds.port import Doors, Landing, Monitor
from intercloud.errors import TransferError
from intercloud.transfer.multiplexer import End
from intercloud.units import Bytes

START = 20.0
"""Seconds for one end to get ready; it takes some 0.2 s."""
PROGRAM = (sys.executable, "-m", "intercloud.transfer.multiplexer")
WINDOWS = range(20, 30)
"""Powers of two that a window may be: up to half a GiB at both sides."""


@dataclass(frozen=True)
class Way:
    """One connection: where the target's hypervisor waits, and where the source's finds it."""

    target: Address
    source: Address


@dataclass(frozen=True)
class Ways:
    """One server's."""

    memory: Way
    disks: Way


def direct(landing: Landing) -> Ways:
    """Let both hypervisors meet over the WAN."""
    memory = Address(landing.host, landing.memory_port)
    disks = Address(landing.host, landing.nbd_port)
    return Ways(Way(memory, memory), Way(disks, disks))


@dataclass(frozen=True)
class Channel:
    """A channel for servers whose hypervisors are beside each other, at either side. window: see window_for.

    source: monitors there; landings: of the same servers in the same order. All monitors have doors.
    """

    source: Sequence[Monitor]
    landings: Sequence[Landing]
    window: int

    def ways(self) -> list[Ways]:
        """One for each server."""
        there = [_doors(landing.monitor) for landing in self.landings]
        return [
            Ways(Way(far.memory, near.memory), Way(far.disks, near.disks))
            for near, far in zip(map(_doors, self.source), there, strict=True)
        ]

    def open(self) -> None:
        """Start a process at either side, unless they live. Raises TransferError."""
        first, landing = self.source[0], self.landings[0]
        if is_open(first):
            return
        wan = Address(landing.host, landing.memory_port)
        end = partial(End, wan.uri, secrets.token_hex(16), window=self.window)
        _start(landing.monitor, end(_meet([each.monitor for each in self.landings])))
        _start(first, end(_meet(self.source), record=_doors(first).record))


def window_for(memory: Bytes) -> int:
    """Say of what size a window shall be for servers with so much memory in all, as a power of two."""
    return min(WINDOWS[-1], max(WINDOWS[0], (memory - 1).bit_length()))


def is_open(monitor: Monitor) -> bool:
    """Whether a channel lives that begins at this server of the source: then it holds its record's lock."""
    return _beside(monitor, "flock", "--nonblock", _doors(monitor).record, "true").returncode == 1


def sent(monitor: Monitor) -> Bytes | None:
    """Bytes that a channel which begins at this server has sent; None when there is none."""
    told = _beside(monitor, "cat", _doors(monitor).record).stdout.strip()
    return Bytes(int(told)) if told else None


def sweep(monitor: Monitor) -> None:
    """Let a channel end that nobody uses, and remove its files beside a server of the source. Safe to repeat."""
    if monitor.doors is not None:
        sockets = (address.path for address in (monitor.doors.memory, monitor.doors.disks) if address.path)
        _beside(monitor, "rm", "-f", monitor.doors.record, *sockets)


def _start(monitor: Monitor, end: End) -> None:
    done = _beside(monitor, *PROGRAM, _doors(monitor).record, text=end.to_json())
    if done.returncode:
        raise TransferError(f"the channel beside {monitor.path} does not start: {done.stderr.strip()}")


def _beside(monitor: Monitor, *words: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            (*monitor.beside, *words), input=text, capture_output=True, text=True, timeout=START, check=False,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransferError(f"{words[0]} cannot be run beside {monitor.path}: {error}") from error


def _doors(monitor: Monitor) -> Doors:
    assert monitor.doors is not None
    return monitor.doors


def _meet(monitors: Sequence[Monitor]) -> tuple[str, ...]:
    return tuple(door.uri for doors in map(_doors, monitors) for door in (doors.memory, doors.disks))
