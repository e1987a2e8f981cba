"""Who executes a run: a lock of the kernel's, which ends with its process, however that ends."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from intercloud.errors import Refused

_FLOCK = "hhqqi"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""
_WHOLE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class Lease:
    """A lease that is held."""

    def __init__(self, descriptor: int, run: str) -> None:
        self._descriptor = descriptor
        self._head = f"run {run}, process {os.getpid()}, since {datetime.now(UTC):%H:%M:%S} UTC"
        self.note("begins")

    def note(self, doing: str) -> None:
        """Say beside it what is done now, for those who ask meanwhile or afterwards."""
        text = f"{self._head}: {doing}".encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


@contextmanager
def hold(folder: Path, key: str, run: str) -> Iterator[Lease]:
    """Hold a key among all processes of this machine. Raises Refused, saying who holds it.

    Whoever gets it has thereby proven that the process that held it before is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE)
        except BlockingIOError:
            raise Refused([f"another migration of {key} is under way ({path.read_text()}); wait for its end"]) from None
        yield Lease(descriptor, run)
    finally:
        os.close(descriptor)


def holder(folder: Path, key: str) -> str | None:
    """Say who holds a key and what it does; None when nobody does. Asks the kernel and disturbs nobody."""
    try:
        with (folder / f"{key}.lock").open() as file:
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _WHOLE)
            free = struct.unpack(_FLOCK, answer)[0] == fcntl.F_UNLCK
            return None if free else file.read()
    except FileNotFoundError:
        return None
