"""Where the registry is kept: one file that is always whole."""

import os
import threading
from pathlib import Path

from intercloud.control.registry import Registry
from intercloud.errors import ControlError


class Store:
    """`registry.json` in a directory, with `registry.json.next` beside it until that is safe on the disk."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "registry.json"
        self._next = directory / "registry.json.next"
        self._draft = directory / "registry.json.draft"
        self._lock = threading.Lock()
        self._version = 0

    def load(self) -> Registry:
        """Read the newest whole registry; an empty one when there is none. Raises ControlError when it is damaged."""
        try:
            return Registry.from_json(self._next.read_bytes())
        except (FileNotFoundError, ValueError, ControlError):
            pass  # none, or the machine stopped while it was written: the one before is whole
        try:
            return Registry.from_json(self._path.read_bytes())
        except FileNotFoundError:
            return Registry()
        except ValueError as error:
            raise ControlError(f"{self._path} is damaged ({error}); remove it and put everything again") from error

    def note(self, registry: Registry, version: int) -> None:
        """Write it beside the old one, unless a newer version is there: it then survives the end of this process."""
        with self._lock:
            if version <= self._version:
                return
            self._version = version
            self._draft.write_bytes(registry.to_json())
            self._draft.replace(self._next)

    def settle(self) -> None:
        """Make what was noted last survive even a power cut. It takes as long as the disk pleases."""
        try:
            noted = self._next.stat()
            _flush(self._next)
        except FileNotFoundError:
            return  # somebody else has just settled it
        with self._lock:
            if self._next.exists() and self._next.stat().st_ino == noted.st_ino:
                self._next.replace(self._path)
        _flush(self._path.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
