"""Commands to a guest's QMP socket: the little that the lab itself asks of QEMU."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intercloud.errors import MonitorError

Execute = Callable[..., Any]
"""Runs one command, its arguments given by name ('_' for '-'), and returns QEMU's answer."""


@contextmanager
def session(path: Path, timeout: float = 5) -> Iterator[Execute]:
    """Connect for several commands; a socket serves one client at a time, so keep it short. timeout: seconds, of each.

    Connecting and every command raise MonitorError when QEMU is gone, busy or says no.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(timeout)
        lines = channel.makefile("rw", encoding="utf-8")

        def execute(command: str, **arguments: object) -> Any:
            words = {name.replace("_", "-"): value for name, value in arguments.items()}
            try:
                lines.write(json.dumps({"execute": command, "arguments": words}) + "\n")
                lines.flush()
                answer = next(answer for line in lines if "event" not in (answer := json.loads(line)))
            except (OSError, StopIteration, ValueError) as error:
                raise MonitorError(f"{path}: {command}: {error or 'QEMU closed the connection'}") from error
            if "error" in answer:
                raise MonitorError(f"{path}: {command}: {answer['error']['desc']}")
            return answer["return"]

        try:
            channel.connect(str(path))
            lines.readline()
        except OSError as error:
            raise MonitorError(f"{path}: {error}") from error
        execute("qmp_capabilities")
        yield execute


def ask(path: Path, command: str) -> Any:
    """Connect, run one command and return its answer. Raises MonitorError as session does."""
    with session(path) as execute:
        return execute(command)
