"""QEMUs without a lab around them: a process and its monitor."""

import subprocess
import time
import unittest
from collections.abc import Sequence
from pathlib import Path

from intercloud.errors import MonitorError
from intercloud.transfer.qmp import Qmp

PATIENCE = 20.0
"""Seconds, for whatever should come."""


def start(case: unittest.TestCase, path: Path, words: Sequence[str]) -> tuple[Qmp, int]:
    """Start one that ends with the test; returns its monitor, which is at the path, and its process."""
    process = subprocess.Popen([*words, "-qmp", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL)
    case.addCleanup(process.wait, PATIENCE)
    case.addCleanup(process.kill)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return case.enterContext(Qmp(str(path), path.name)), process.pid
        except MonitorError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
