"""Starting and stopping the controller's process. Both are safe to repeat, from any process."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from intercloud.errors import ControlError

PID_FILE = "controller.pid"
LOG_FILE = "controller.log"
SOCKET_FILE = "control.sock"

_FLOCK = "hhqqi"
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""

_START_S = 30.0
_STOP_S = 10.0
_POLL_S = 0.02


def spawn(state_dir: Path, listen: str, python: str = sys.executable) -> int:
    """Start the controller unless it runs; returns its pid when it is ready.

    It outlives the caller and keeps none of its files. Raises ControlError with the controller's own words.
    """
    command = [python, "-m", "intercloud.control.daemon", "--state", str(state_dir), "--listen", listen, "--detach"]
    if (pid := running(state_dir)) is None:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_START_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ControlError(
                f"the controller was not ready within {_START_S:g} s; see {state_dir}/{LOG_FILE}"
            ) from None
        pid = running(state_dir)
        if pid is None:
            said = done.stderr.strip().splitlines() or [f"see {state_dir}/{LOG_FILE}"]
            raise ControlError(f"cannot start the controller: {said[-1]}")
    return pid


def stop(state_dir: Path) -> None:
    """End the controller and wait until it is gone; no error when none runs. The switches keep their flows."""
    for number, patience in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        deadline = time.monotonic() + patience
        if (pid := running(state_dir)) is not None:
            os.kill(pid, number)
        while running(state_dir) is not None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    if running(state_dir) is not None:
        raise ControlError(f"the controller (pid {pid}) does not end")
    (Path(state_dir) / PID_FILE).unlink(missing_ok=True)


def running(state_dir: Path) -> int | None:
    """Find the pid of the controller: the kernel says who holds the lock, so a stale file misleads nobody."""
    try:
        with (Path(state_dir) / PID_FILE).open() as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return None
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else int(pid)
