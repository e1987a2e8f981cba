"""The guard of a migration: a small process that waits for the end of the program, and goes on if that was its death.

A gang that stands stopped in the middle of its switchover must not wait until somebody notices. The guard outlives its
program in a session of its own, sleeps in the kernel, and is ended by a program that ends in order.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WAIT = """
import os, select, sys
select.select([int(sys.argv[1])], [], [])
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextmanager
def guarded(resume: Sequence[str]) -> Iterator[None]:
    """While the context lasts, have `intercloud RESUME...` run if this process dies."""
    end = os.pidfd_open(os.getpid())
    command = [sys.executable, "-I", "-c", WAIT, str(end), "-m", "intercloud.cli.main", *resume]
    guard = subprocess.Popen(
        command,
        pass_fds=[end],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        os.close(end)
