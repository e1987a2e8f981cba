"""Run other programs: in a namespace or not, always with a time limit, with their own words in the error."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from intercloud.errors import CloudError

log = logging.getLogger(__name__)


def run(words: Sequence[str], *, timeout: float = 30, text: str | None = None) -> str:
    """Run a program to its end and return its output. Raises CloudError with the end of what the program says."""
    log.debug("run %s", " ".join(words))
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise CloudError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise CloudError(f"{' '.join(words)}: no end after {timeout:g} s") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        # Two lines: `ip -batch` says what is wrong in the first and where in the second.
        raise CloudError(f"{' '.join(words)}: {'; '.join(said.splitlines()[-2:])}")
    return done.stdout


def inside(namespace: str, words: Sequence[str]) -> tuple[str, ...]:
    """The same command, run inside a network namespace."""
    return ("ip", "netns", "exec", namespace, *words)


@cache
def urgently() -> tuple[str, ...]:
    """Words before a command that gets a processor as soon as it wants one.

    Switches and the WAN have processors of their own in the world. Here they share them with the guests, and a switch
    that waits for 50 ms loses packets: its sockets hold some 200.
    """
    real_time = ("chrt", "--rr", "1")
    try:
        run([*real_time, "true"])
    except CloudError:
        return ("nice", "-n", "-10")  # a kernel or a container that gives no real-time priorities
    return real_time


def wait_until(true: Callable[[], bool], what: str, timeout: float = 10, interval: float = 0.02) -> None:
    """Wait for something that tells nobody when it comes. Raises CloudError after timeout seconds."""
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            raise CloudError(f"{what}: not seen within {timeout:g} s")
        time.sleep(interval)


def command_line(pid: int) -> tuple[str, ...]:
    """The words a process was started with; nothing when there is no such process, or it has ended."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
    except (FileNotFoundError, ProcessLookupError):
        return ()


def find_process(pid_file: Path, mark: str) -> int | None:
    """The process of a pid file, if it lives and one of its words contains `mark`: a pid is soon another's."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if any(mark in word for word in command_line(pid)) else None


def kill(pids: Sequence[int], timeout: float = 10, how: signal.Signals = signal.SIGKILL) -> None:
    """End processes and wait until none is left, nor holds a file or a device. No error for those that are gone.

    Raises CloudError when one has not ended within timeout seconds.
    """
    end = time.monotonic() + timeout
    with contextlib.ExitStack() as opened:
        ends = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                ends.append(os.pidfd_open(pid))
                opened.callback(os.close, ends[-1])
                signal.pidfd_send_signal(ends[-1], how)
        for process in ends:
            if not select.select([process], [], [], max(0.0, end - time.monotonic()))[0]:
                raise CloudError(f"the end of processes {list(pids)}: not seen within {timeout:g} s")
